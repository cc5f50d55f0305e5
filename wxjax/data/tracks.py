"""What travels beside a film's restored pictures: sounds, subtitles, chapters, tags, covers.

What a container takes is asked of FFmpeg, header by header, before the first frame is
restored; what is lost all the same is found by reading the finished film (`lost`).
"""

import dataclasses
import io
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from wxjax.data import containers, sounds, video
from wxjax.data.containers import av, printable
from wxjax.data.encoders import Target

# Tags that describe a file and not a film: the new file has its own.
_STALE = ("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "duration")
_STALE += ("bps", "number_of_", "_statistics_", "source_id", "variant_bitrate", "alpha_mode")
# What MP4 and QuickTime have atoms for; other tags need `use_metadata_tags`.
_ATOMS = frozenset(
    "title artist album_artist composer album date comment genre copyright grouping lyrics "
    "description synopsis show episode_id network keywords track disc location creation_time "
    "timecode".split()
)


@dataclasses.dataclass(frozen=True)
class Track:
    """A track besides the pictures, and what becomes of it.

    Attributes:
      index: in the source; kind: audio, subtitle, video, data or attachment; codec: FFmpeg's.
      does: 'copied', 'transcoded', 'retold' (text in another codec), 'attached', 'renewed'
        (the container writes its own) or 'left out'.
      encoder: of a transcoded one; note: for people, empty where all is as it was.
    """

    index: int
    kind: str
    codec: str
    does: str
    encoder: str = ""
    note: str = ""


def plan(path: os.PathLike | str, target: Target) -> tuple[Track, ...]:
    """What becomes of every track but the pictures in a container."""
    with containers.opened(path) as origin:
        main = video.picture(origin, path)
        numbers: dict[str, int] = {}
        out = []
        for stream in origin.streams:
            numbers[stream.type] = numbers.get(stream.type, 0) + 1
            if stream.index != main.index:
                out.append(_plan(stream, target, f"{stream.type} track {numbers[stream.type]}"))
    return tuple(out)


def _plan(stream: Any, target: Target, name: str) -> Track:
    context, kind = stream.codec_context, stream.type
    codec = (
        video.named(context) if context is not None else getattr(stream, "name", None) or "unknown"
    )
    codec = "unknown" if kind == "attachment" else codec
    made = lambda does, encoder="", note="": Track(
        stream.index, kind, codec, does, encoder, f"{name} ({codec}): {note}" if note else ""
    )
    chaptered = kind == "data" and stream.discard.name == "all"
    if chaptered or (kind == "data" and "timecode" in stream.metadata):
        return made("renewed")
    if kind == "attachment" or (kind == "video" and video.still(stream)):
        if target.muxer == "matroska":
            return made("attached")
        if kind == "attachment":
            return made("left out", note=f"left out, {target.suffix} holds no attachments")
    if takes(target.muxer, stream):
        second = kind == "video" and not video.still(stream)
        return made("copied", note="copied, not restored" if second else "")
    if kind == "audio":
        encoder = sounds.encoder(stream, target.muxer)
        if encoder:
            reason = f"{target.suffix} cannot hold it: transcoded to {encoder}"
            exact = "without loss" if sounds.exact(stream, encoder) else "lossy"
            return made("transcoded", encoder, f"{reason}, {exact}")
    if kind == "subtitle" and codec == "mov_text" and target.muxer == "matroska":
        return made("retold", "subrip", "written as SubRip, without its styles")
    return made("left out", note=f"left out, {target.suffix} cannot hold it")


def takes(muxer: str, stream: Any) -> bool:
    """Whether a container's header can be written with a copy of this track in it."""
    lib = av()
    try:
        with lib.open(io.BytesIO(), "w", format=muxer) as film:
            _copy(film, stream)
            film.start_encoding()
    except (lib.error.FFmpegError, ValueError, MemoryError):
        return False
    return True


def _copy(film: Any, stream: Any) -> Any:
    return _named_as(film.add_stream_from_template(stream, opaque=True), stream)


def _named_as(made: Any, stream: Any) -> Any:
    """The new track with the old one's tags and flags."""
    made.metadata.clear()
    made.metadata.update(cleaned(stream.metadata))
    made.disposition = int(stream.disposition)
    return made


def cleaned(tags: dict[str, str]) -> dict[str, str]:
    """Tags without those that were true of the old file only."""
    keep = lambda name: not name.casefold().startswith(_STALE)
    return {name: value for name, value in tags.items() if keep(name) and value}


def container_options(muxer: str, origin: Any) -> dict[str, str]:
    """The muxer's, for a film with these tags."""
    if muxer == "matroska":
        return {"default_mode": "passthrough"}
    if muxer in ("mp4", "mov"):
        names = {re.sub("-[a-z]{3}$", "", name.casefold()) for name in cleaned(origin.metadata)}
        # FFmpeg writes either covers or tags without atoms: pictures are worth more
        covers = any(video.still(stream) for stream in origin.streams.video)
        return {"movflags": "use_metadata_tags"} if names - _ATOMS and not covers else {}
    return {}


class Carrier:
    """The tracks of a source as tracks of a film that is being written.

    Args:
      film: PyAV's output container, nothing muxed yet; add tracks by `add` in their order.
      shift: seconds that are taken off all times.
    """

    def __init__(self, film: Any, origin: Any, plan: Sequence[Track], shift: float):
        self._film, self._origin, self._shift = film, origin, shift
        self._strict = film.format.name not in ("matroska", "webm")
        self._plan = {track.index: track for track in plan}
        self._out: dict[int, Any] = {}
        self._made: dict[int, sounds.Transcoder] = {}
        self._last: dict[int, int] = {}
        self.dropped = 0  # packets that the container refused
        self.order: list[int] = []  # the source's index of every track of the film

    def describe(self) -> None:
        """Tags and chapters of the film as a whole."""
        self._film.metadata.update(cleaned(self._origin.metadata))
        self._film.set_chapters(self._origin.chapters())

    def add(self, stream: Any, pictures: Any) -> None:
        """One more track; `pictures()` makes the one that is restored."""
        track = self._plan.get(stream.index)
        if track is None:
            _named_as(pictures(), stream)
        elif track.does == "copied":
            self._out[stream.index] = _copy(self._film, stream)
        elif track.does == "transcoded":
            self._made[stream.index] = sounds.Transcoder(self._film, stream, track.encoder)
            self._out[stream.index] = _named_as(self._made[stream.index].stream, stream)
        elif track.does == "retold":
            made = self._film.add_mux_stream(track.encoder, time_base=stream.time_base)
            self._out[stream.index] = _named_as(made, stream)
        else:
            return
        self.order.append(stream.index)

    def attach(self) -> None:
        """Attachments, and covers where the container keeps them so; after all tracks."""
        for stream in self._origin.streams:
            track = self._plan.get(stream.index)
            if track is None or track.does != "attached":
                continue
            data, kind = b"", "application/octet-stream"
            if stream.type == "attachment":
                data, kind = stream.data, stream.mimetype or kind
            else:
                kind = {"mjpeg": "image/jpeg"}.get(track.codec, f"image/{track.codec}")
                packets = video.packets(self._origin, [stream], video.Faults())
                data = next((bytes(packet) for packet in packets if packet.size), b"")
                self._origin.seek(0)
            ending = kind.split("/")[-1].replace("jpeg", "jpg")
            name = stream.metadata.get("filename") or f"cover.{ending}"
            self._film.add_attachment(name, stream.metadata.get("mimetype") or kind, data)
            self.order.append(stream.index)

    def packets(self) -> Iterator[tuple[float, int, Any]]:
        """Seconds, 1, packet: of all tracks but the pictures, ready to be muxed."""
        streams = [s for s in self._origin.streams if s.index in self._out]
        last = 0.0
        for packet in video.packets(self._origin, streams, video.Faults()) if streams else ():
            index = packet.stream_index
            if not packet.size:
                continue
            for made in self._changed(index, packet):
                last = self._stamp(index, made, last)
                yield last, 1, made
        for index, transcoder in self._made.items():
            for made in transcoder.push(None):
                last = self._stamp(index, made, last)
                yield last, 1, made

    def _changed(self, index: int, packet: Any) -> list[Any]:
        if index in self._made:
            return self._made[index].push(packet)
        if self._plan[index].does == "retold":
            text = bytes(packet)
            text = text[2 : 2 + int.from_bytes(text[:2])]
            made = av().Packet(text)
            made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
            made.time_base = packet.time_base
            return [made] if text else []
        return [packet]

    def _stamp(self, index: int, packet: Any, last: float) -> float:
        """Times that rise, as every container wants them; seconds of the packet."""
        packet.stream = self._out[index]
        off = round(self._shift / packet.time_base) if packet.time_base else 0
        dts = packet.dts if packet.dts is not None else packet.pts
        dts = self._last.get(index, -1) + 1 if dts is None else dts - off
        pts = dts if packet.pts is None else packet.pts - off
        if index in self._last:
            dts = max(dts, self._last[index] + self._strict)
        packet.pts, packet.dts = max(pts, dts), dts
        self._last[index] = dts
        return float(dts * packet.time_base) if packet.time_base else last


def lost(source: os.PathLike | str, made: Any, order: Sequence[int]) -> list[str]:
    """What the source says and the film made of it does not, in words.

    Args:
      made: its path, or a file open for reading.
      order: the source's index of every track of the film, as `Carrier.order`.
    """
    with containers.opened(source) as old, containers.opened(made) as new:
        out = _missing("", old.metadata, new.metadata)
        pictures = [sum(_is_cover(stream) for stream in film.streams) for film in (old, new)]
        out += ["cover art"] if pictures[1] < pictures[0] else []
        chapters = len(old.chapters()) - len(new.chapters())
        out += [f"{chapters} chapters"] if chapters > 0 else []
        out += [
            f"title of chapter {n}"
            for n, (a, b) in enumerate(zip(old.chapters(), new.chapters(), strict=False), 1)
            if a["metadata"].get("title") != b["metadata"].get("title")
        ]
        # A cover that one container keeps as a picture track another keeps as an attachment.
        tracks = {s.index: s for s in old.streams}
        chosen = {s.type for s in old.streams if s.disposition & 1}
        tails = [s for s in new.streams if s.type != "data"]
        for index, there in zip(order, tails, strict=False):
            here = tracks[index]
            name = f"{here.type} track {here.index + 1}: "
            out += _missing(name, here.metadata, there.metadata)
            gone = here.disposition & ~there.disposition & ~type(here.disposition).default
            out += [f"{name}flag {flag.name}" for flag in type(gone) if flag & gone]
            if here.type in chosen and here.disposition & 1 and not there.disposition & 1:
                out.append(f"{name}flag default")
    return out


def _is_cover(stream: Any) -> bool:
    return stream.type == "video" and video.still(stream)


def _missing(name: str, old: dict[str, str], new: dict[str, str]) -> list[str]:
    plain = lambda tags: {key.casefold(): value for key, value in cleaned(tags).items()}
    there, out = plain(new), []
    for key, value in plain(old).items():
        if key in ("handler_name", "language") and value in ("und", "", *_HANDLERS):
            continue
        if key.startswith("creation_time") and key in there:
            continue  # containers keep it to the second or the microsecond
        if there.get(key) != value:
            out.append(f"{name}tag {printable(key)}")
    return out


_HANDLERS = ("VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler")
