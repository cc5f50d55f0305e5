"""Video files in through FFmpeg (PyAV): what a film says of itself, and its frames.

A damaged film is read as far as it goes: `Reader.faults` says afterwards what was missing.
How films are written: `encoders.py`; what travels beside the pictures: `tracks.py`.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from wxjax import errors
from wxjax.data import containers, hdr
from wxjax.data.containers import SUFFIXES, av, explain
from wxjax.data.fields import Deinterlacer
from wxjax.data.lossless import LOSSLESS, WHOLE, exact_h264

__all__ = ["SUFFIXES", "WHOLE", "Frame", "Info", "Reader", "Turn", "av", "explain", "info", "read"]

# swscale's exact path: bicubic, chroma at full size, rounded. Its fast one darkens by a code.
EXACT = 0x4 | 0x2000 | 0x4000 | 0x40000
TAGS = ("color_range", "colorspace", "color_primaries", "color_trc")
_TRIES = 16  # damaged places in a row after which a film counts as broken off


class Turn(NamedTuple):
    """What a display matrix asks for: sides swapped first, then mirrored."""

    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """`[h w c]` as it is to be shown."""
        pixels = pixels.swapaxes(0, 1) if self.swap else pixels
        pixels = pixels[:, ::-1] if self.mirror_x else pixels
        return np.ascontiguousarray(pixels[::-1] if self.mirror_y else pixels)


@dataclasses.dataclass(frozen=True)
class Info:
    """What a film is.

    Attributes:
      width, height: as shown, after a phone's `turn`.
      frames: how many the file says it has, or its length says, 0 where neither does.
      rate: mean frames a second; time_base: seconds a tick of a frame's `pts`.
      format: FFmpeg's pixel format; bits: of a sample; alpha: whether it has some.
      tags: colour range, matrix, primaries and transfer, as FFmpeg numbers them.
      aspect: width over height of a pixel as shown; audio: number of sound tracks.
      codec, profile, tag: of the pictures; lossless: whether nothing was lost to the codec.
      interlaced: whether its first frame or its header says so.
      light: HDR10 mastering and light levels; side: what else its first frame brings.
    """

    width: int
    height: int
    turn: Turn
    frames: int
    rate: Fraction
    time_base: Fraction
    format: str
    bits: int
    alpha: bool
    tags: tuple[int, ...]
    aspect: Fraction
    audio: int
    codec: str
    profile: str
    tag: str
    lossless: bool
    interlaced: bool
    light: hdr.Light
    side: tuple[str, ...]


@dataclasses.dataclass
class Faults:
    """What was wrong with a film, found while it was read.

    Attributes:
      lost: frames that could not be decoded; patched: frames that the decoder had to guess
        in part; at: seconds of the first of either.
      change: what the picture changed to, where that ended the film; broken: why it broke off.
    """

    lost: int = 0
    patched: int = 0
    at: float | None = None
    change: str = ""
    broken: str = ""

    def note(self, seconds: float | None, patched: bool) -> None:
        self.at = seconds if self.at is None else self.at
        self.patched, self.lost = self.patched + patched, self.lost + (not patched)


class Frame:
    """A decoded frame, converted when asked.

    Attributes:
      pts: its time in the film's `time_base`; plain: FFmpeg's frame.
    """

    def __init__(self, frame: Any, turn: Turn, pts: int):
        self.plain, self.turn, self.pts = frame, turn, pts

    def rgb8(self) -> np.ndarray:
        """uint8 `[h w 3]`."""
        return self._turned("rgb24")

    def rgb16(self) -> np.ndarray:
        """uint16 `[h w 3]`."""
        return self._turned("rgb48le")

    def alpha(self, deep: bool) -> np.ndarray:
        """uint8, or uint16 where `deep`, `[h w 1]`."""
        return self._turned("rgba64le" if deep else "rgba")[..., 3:]

    def captioned(self) -> bool:
        """Whether closed captions lie in it."""
        return any(item.type.name == "A53_CC" for item in self.plain.side_data)

    def repainted(self, pixels: np.ndarray, kind: str) -> Any:
        """FFmpeg's frame of other pixels, with all that lies beside this one's."""
        frame = self.plain.reformat(format=kind, interpolation=EXACT)
        plane = frame.planes[0]
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        flat = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
        rows[:, : flat.shape[1]] = flat
        plane.update(rows.tobytes())
        return frame

    def _turned(self, kind: str) -> np.ndarray:
        return self.turn(self.plain.reformat(format=kind, interpolation=EXACT).to_ndarray())


def info(path: Any) -> Info:
    """What a file, by path or open for reading, says, and its first frame.

    Raises:
      InputError: where it is no video, or holds no frame that can be decoded.
    """
    lib = av()
    try:
        with containers.opened(path) as container:
            stream = picture(container, path)
            frames = decoded(container, stream, Faults(), coder(stream))
            first = next((frame for frame, _ in frames), None)
            if first is None:
                shown = containers.printable(path)
                raise errors.InputError(f"cannot read {shown!r} as a video: it has no frame.")
            return _info(container, stream, first)
    except errors.InputError:
        raise
    except (lib.error.FFmpegError, OSError, ValueError) as error:
        raise explain(path, error) from error


def _info(container: Any, stream: Any, first: Any) -> Info:
    context, turn = stream.codec_context, turned(first)
    width, height = first.width, first.height
    aspect = stream.sample_aspect_ratio or Fraction(1)
    aspect = aspect if aspect > 0 else Fraction(1)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    seconds = Fraction(max(0, container.duration or 0), 1_000_000)
    parts = first.format.components
    return Info(
        width=height if turn.swap else width,
        height=width if turn.swap else height,
        turn=turn,
        frames=max(0, stream.frames) or round(seconds * rate),
        rate=rate,
        time_base=stream.time_base,
        format=first.format.name,
        bits=max(component.bits for component in parts),
        alpha=any(component.is_alpha for component in parts),
        tags=tuple(int(getattr(context, name)) for name in TAGS),
        aspect=1 / aspect if turn.swap else aspect,
        audio=len(container.streams.audio),
        codec=named(context),
        profile=str(stream.profile or ""),
        tag=str(context.codec_tag or "").strip("\0 "),
        lossless=named(context) in LOSSLESS or exact_h264(context),
        interlaced=bool(first.interlaced_frame or context.field_order > 1),
        light=hdr.light(first),
        side=tuple(sorted({item.type.name for item in first.side_data})),
    )


def picture(container: Any, path: Any) -> Any:
    """The film's own picture track: the first that is no cover and no thumbnail."""
    found = [s for s in container.streams.video if not still(s) and s.codec_context is not None]
    if not found:
        shown = containers.printable(path)
        raise errors.InputError(f"cannot read {shown!r} as a video: it has no picture track.")
    found[0].thread_type = "AUTO"
    return found[0]


def named(context: Any) -> str:
    """FFmpeg's name of a codec, whichever decoder reads it."""
    return context.codec.canonical_name


def still(stream: Any) -> bool:
    """Whether a picture track is a cover or thumbnails, and no film."""
    flags = type(stream.disposition)
    return bool(stream.disposition & (flags.attached_pic | flags.timed_thumbnails))


def coder(stream: Any) -> Any:
    """The decoder; VP8 and VP9 with alpha need the library's, FFmpeg's own leaves alpha out."""
    context, names = stream.codec_context, {"vp8": "libvpx", "vp9": "libvpx-vp9"}
    alpha = {key.casefold(): value for key, value in stream.metadata.items()}.get("alpha_mode")
    if alpha != "1" or names.get(named(context)) not in av().codecs_available:
        return context
    made = av().CodecContext.create(names[named(context)], "r")
    made.extradata = context.extradata
    return made


def turned(frame: Any) -> Turn:
    """What a frame's display matrix asks for; angles go to the nearest quarter turn."""
    found = [item for item in frame.side_data if item.type.name == "DISPLAYMATRIX"]
    if not found:
        return Turn()
    a, b, _, c, d, *_ = np.frombuffer(bytes(found[0]), np.int32)[:9].tolist()
    if abs(c) > abs(a):
        return Turn(True, c < 0, b < 0)
    return Turn(False, a < 0, d < 0)


def packets(container: Any, streams: Sequence[Any], faults: Faults) -> Iterator[Any]:
    """The packets of some tracks; damaged stretches are passed over."""
    stuck = 0
    while stuck < _TRIES:
        try:
            for packet in container.demux(streams):
                stuck = 0
                yield packet
            return
        except (av().error.FFmpegError, OSError) as error:
            stuck += 1
            faults.broken = getattr(error, "strerror", None) or type(error).__name__


def decoded(container: Any, stream: Any, faults: Faults, context: Any) -> Iterator[tuple[Any, Any]]:
    """Frames with the packets they came out after, whatever is damaged left out and noted."""
    lib = av()
    for packet in packets(container, [stream], faults):
        when = None if packet.pts is None else float(packet.pts * packet.time_base)
        try:
            frames = context.decode(packet if packet.size else None)
        except lib.error.EOFError:
            continue
        except (lib.error.FFmpegError, MemoryError, ValueError):
            faults.note(when, patched=False)
            continue
        for frame in frames:
            if frame.is_corrupt or packet.is_corrupt:
                known = frame.pts is not None and frame.time_base
                faults.note(float(frame.pts * frame.time_base) if known else when, patched=True)
            yield frame, packet


class Reader:
    """Every frame in the order of showing; one is in memory at a time.

    A frame without a time gets the one before it plus a frame's length. Interlaced frames
    come deinterlaced. A change of size ends the film. `faults` says afterwards what was wrong.
    """

    def __init__(self, path: os.PathLike | str):
        self.path, self.faults = path, Faults()
        self.fields: Deinterlacer | None = None

    def __iter__(self) -> Iterator[Frame]:
        lib = av()
        try:
            with containers.opened(self.path) as container:
                stream = picture(container, self.path)
                rate = stream.average_rate or stream.guessed_rate or Fraction(25)
                length = max(1, round(1 / (rate * stream.time_base)))
                last = turn = None
                for frame in self._frames(container, stream):
                    turn = turned(frame) if turn is None else turn
                    pts = frame.pts
                    if pts is None:
                        pts = 0 if last is None else last + length
                    last = pts if last is None else max(pts, last + 1)
                    yield Frame(frame, turn, last)
        except (lib.error.FFmpegError, OSError) as error:
            raise explain(self.path, error) from error

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        size = None
        flagged = stream.codec_context.field_order > 1
        for frame, _ in decoded(container, stream, self.faults, coder(stream)):
            now = frame.width, frame.height
            size = size or now
            if now != size:
                before, after = ("x".join(map(str, sides)) for sides in (size, now))
                self.faults.change = f"the picture changes from {before} to {after}"
                break
            if self.fields is None and (flagged or frame.interlaced_frame):
                self.fields = Deinterlacer(frame, stream.time_base, flagged)
            yield from [frame] if self.fields is None else self.fields.push(frame)
        if self.fields is not None:
            yield from self.fields.push(None)


def read(path: os.PathLike | str) -> Iterator[Frame]:
    """Every frame in the order of showing, as `Reader`.

    Raises:
      InputError: where it is no video.
    """
    return iter(Reader(path))
