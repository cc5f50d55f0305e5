"""Video files in and out through FFmpeg (PyAV): times, depth, colour tags and sound kept.

Films are written in segments, each encoded alone from its first frame on, and joined
without encoding again: a job that is killed loses one segment, and the file it ends in
does not depend on where that was.
"""

import dataclasses
import heapq
import os
import pathlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from wxjax import errors

# swscale's exact path: bicubic, chroma at full size, rounded. Its fast one darkens by a code.
_EXACT = 0x4 | 0x2000 | 0x4000 | 0x40000
SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
_CODECS = {".webm": ("libvpx-vp9",)}
_TAGS = ("color_range", "colorspace", "color_primaries", "color_trc")
_QUALITY = {
    "libx264": {"crf": "14", "preset": "medium", "bf": "0"},
    "libvpx-vp9": {"crf": "18", "b": "0", "lag-in-frames": "0", "deadline": "good"},
}


def av():
    """The library; InputError where it is not installed."""
    try:
        import av
    except ImportError:
        raise errors.InputError("video: PyAV is not installed. Cure: pip install av.") from None
    return av


@dataclasses.dataclass(frozen=True)
class Info:
    """What a film is, as its output will be.

    Attributes:
      width, height: as shown, after a phone's rotation; turns: quarter-turns to get there.
      frames: how many the file says it has, or its length says, 0 where neither does.
      rate: mean frames a second; time_base: seconds a tick of a frame's `pts`.
      format: FFmpeg's pixel format; bits: of a sample.
      tags: colour range, matrix, primaries and transfer, as FFmpeg numbers them.
      aspect: width over height of a pixel; audio: number of sound tracks.
    """

    width: int
    height: int
    turns: int
    frames: int
    rate: Fraction
    time_base: Fraction
    format: str
    bits: int
    tags: tuple[int, ...]
    aspect: Fraction
    audio: int


class Frame:
    """A decoded frame, converted when asked."""

    def __init__(self, frame: Any, turns: int, pts: int):
        self._frame, self._turns, self.pts = frame, turns, pts

    def rgb8(self) -> np.ndarray:
        """uint8 `[h w 3]`."""
        return self._turned("rgb24")

    def rgb16(self) -> np.ndarray:
        """uint16 `[h w 3]`."""
        return self._turned("rgb48le")

    def _turned(self, kind: str) -> np.ndarray:
        pixels = self._frame.reformat(format=kind, interpolation=_EXACT).to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, self._turns))


def explain(path: os.PathLike | str, error: Exception) -> errors.InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return errors.InputError(f"cannot read {str(path)!r} as a video: {reason}.")


def info(path: os.PathLike | str) -> Info:
    """What the file says, and its first frame.

    Raises:
      InputError: where it is no video.
    """
    lib = av()
    try:
        with lib.open(str(path)) as container:
            stream = _stream(container, path)
            context = stream.codec_context
            first = next(container.decode(stream), None)
            if first is None:
                raise errors.InputError(f"cannot read {str(path)!r} as a video: it has no frame.")
            turns = round(getattr(first, "rotation", 0) / 90) % 4
            width, height = first.width, first.height
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            seconds = Fraction(container.duration or 0, 1_000_000)
            return Info(
                width=height if turns % 2 else width,
                height=width if turns % 2 else height,
                turns=turns,
                frames=stream.frames or round(seconds * rate),
                rate=rate,
                time_base=stream.time_base,
                format=first.format.name,
                bits=max(component.bits for component in first.format.components),
                tags=tuple(int(getattr(context, name)) for name in _TAGS),
                aspect=stream.sample_aspect_ratio or Fraction(1),
                audio=len(container.streams.audio),
            )
    except (lib.error.FFmpegError, OSError) as error:
        raise explain(path, error) from error


def _stream(container: Any, path: os.PathLike | str) -> Any:
    if not container.streams.video:
        raise errors.InputError(f"cannot read {str(path)!r} as a video: it has no picture track.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def read(path: os.PathLike | str) -> Iterator[Frame]:
    """Every frame in the order of showing; one is in memory at a time.

    A frame without a time gets the one before it plus a frame's length.

    Raises:
      InputError: where it is no video, or breaks off.
    """
    lib = av()
    try:
        with lib.open(str(path)) as container:
            stream = _stream(container, path)
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            length = max(1, round(1 / (rate * stream.time_base)))
            last = None
            for frame in container.decode(stream):
                turns = round(getattr(frame, "rotation", 0) / 90) % 4
                pts = frame.pts if frame.pts is not None else (0 if last is None else last + length)
                pts = pts if last is None else max(pts, last + 1)
                last = pts
                yield Frame(frame, turns, pts)
    except (lib.error.FFmpegError, OSError) as error:
        raise explain(path, error) from error


def encoding(about: Info, suffix: str) -> tuple[str, str, str]:
    """Codec, pixel format, and why that is not the film's own ('' where it is).

    The film's own pixel format, where an encoder of the container takes it; chroma at full
    size where an odd side cannot be halved; else the nearest of the same depth.
    """
    lib = av()
    deep = about.bits > 8
    odd = about.width % 2 or about.height % 2
    wanted, why = about.format, ""
    if odd and "420" in wanted or about.width % 2 and "422" in wanted:
        wanted, why = ("yuv444p10le" if deep else "yuv444p"), "odd sides cannot halve their chroma"
    names = _CODECS.get(suffix, ("libx264",))  # libx265 corrupts memory below 64 pixels
    names = [name for name in names if name in lib.codecs_available]
    if not names:
        raise errors.InputError(f"video: this PyAV has no encoder for {suffix} files.")
    near = ("yuv444p10le" if odd else "yuv420p10le") if deep else "yuv444p" if odd else "yuv420p"
    for choice in (wanted, near):
        for name in names:
            formats = {f.name for f in lib.codec.Codec(name, "w").video_formats or ()}
            if choice in formats:
                return name, choice, why or ("" if choice == about.format else "no such encoder")
    raise errors.InputError(f"video: no encoder for {about.format} in {suffix} files.")


class Segment:
    """A part of a film as an MP4 file of its own, whose first frame has time 0."""

    def __init__(self, path: os.PathLike | str, about: Info, suffix: str):
        self.first: int | None = None
        name, self._format, _ = encoding(about, suffix)
        self._tags = dict(zip(_TAGS, about.tags, strict=True))
        self._file = av().open(str(path), "w", format="mp4")
        stream = self._file.add_stream(name, rate=about.rate, options=_QUALITY[name])
        stream.width, stream.height, stream.pix_fmt = about.width, about.height, self._format
        context = stream.codec_context
        context.time_base = about.time_base
        context.sample_aspect_ratio = about.aspect
        context.thread_count = 1  # the same bytes on every machine
        for tag, value in self._tags.items():
            setattr(context, tag, value)
        self._stream, self._base = stream, about.time_base

    def write(self, pixels: np.ndarray, pts: int) -> None:
        """One frame, uint8 or uint16 RGB, at its time in the film."""
        self.first = pts if self.first is None else self.first
        kind = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        frame = av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
        frame = frame.reformat(
            format=self._format,
            interpolation=_EXACT,
            src_color_range="JPEG",
            dst_colorspace=self._tags["colorspace"],
            dst_color_range=self._tags["color_range"] or "MPEG",
        )
        frame.pts, frame.time_base = pts - self.first, self._base
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._file.mux(self._stream.encode(None))
        self._file.close()


def join(
    parts: Sequence[tuple[pathlib.Path, int]],
    source: os.PathLike | str,
    out: Any,
    about: Info,
    suffix: str,
) -> None:
    """Segments and the source's sound as one film; nothing is encoded again.

    Args:
      parts: each segment's file and the time of its first frame, in `about.time_base`.
      out: a file open for writing.
    """
    lib = av()
    name = {".mkv": "matroska", ".webm": "webm", ".mov": "mov"}.get(suffix, "mp4")
    with lib.open(out, "w", format=name) as film, lib.open(str(source)) as origin:
        with lib.open(str(parts[0][0])) as first:
            video = film.add_stream_from_template(first.streams.video[0])
        sounds = {s.index: film.add_stream_from_template(s) for s in origin.streams.audio}

        def pictures():
            for path, start in parts:
                with lib.open(str(path)) as part:
                    for packet in part.demux(video=0):
                        if packet.dts is None:
                            continue
                        shift = round(start * about.time_base / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = video
                        yield float(packet.dts * packet.time_base), 0, packet

        def sound():
            for packet in origin.demux(list(origin.streams.audio)) if sounds else ():
                if packet.dts is not None:
                    packet.stream = sounds[packet.stream.index]
                    yield float(packet.dts * packet.time_base), 1, packet

        for _, _, packet in heapq.merge(pictures(), sound(), key=lambda x: x[:2]):
            film.mux(packet)
