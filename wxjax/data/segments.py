"""The pictures of a film, encoded in segments.

Each is encoded alone from its first frame on, and they are joined without encoding again
(`joining.py`): a job that is killed loses one segment, and the file it ends in does not depend
on where that was.
"""

import io
import os
from fractions import Fraction
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.data import containers, video
from wxjax.data.containers import av
from wxjax.data.encoders import Target


def add(film: Any, about: video.Info, target: Target, rate: Fraction) -> Any:
    """The picture track, as an encoder of `film`; the same for every segment and the whole."""
    os.environ.setdefault("SVT_LOG", "1")  # its encoder tells stderr about its settings
    stream = film.add_stream(target.encoder, rate=rate, options=dict(target.options))
    stream.width, stream.height, stream.pix_fmt = about.width, about.height, target.format
    context = stream.codec_context
    context.time_base = about.time_base
    context.sample_aspect_ratio = about.aspect
    context.thread_count = 1  # the same bytes on every machine
    for tag, value in tags(about, target).items():
        setattr(context, tag, value)
    if target.codec == "hevc" and film.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # hev1 does not play on Apple's systems
    return stream


def tags(about: video.Info, target: Target) -> dict[str, int]:
    """Colour tags of the output: the film's, but never RGB's matrix on pictures that are not."""
    out = dict(zip(video.TAGS, about.tags, strict=True))
    was, now = (av().VideoFormat(name).is_rgb for name in (about.format, target.format))
    if not now and (out["colorspace"] == 0 or was and out["colorspace"] == 2):
        out["colorspace"] = 1  # BT.709, and converted so
    return out


def between(target: Target) -> str:
    """The container of segments: one with exact times that takes the codec."""
    if target.codec == "vp9" and "yuva" in target.format:
        return "webm"  # alpha lies beside the packets, and others drop it
    return next(name for name in ("nut", "mov", "avi") if containers.holds(name, target.encoder))


def trial(about: video.Info, target: Target, rate: Fraction) -> None:
    """Opens the encoder for nothing, so that what it refuses is known before the first frame."""
    try:
        with av().open(io.BytesIO(), "w", format=between(target)) as film:
            add(film, about, target, rate)
            film.start_encoding()
    except (av().error.FFmpegError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        size = f"{about.width}x{about.height}, {target.format}"
        raise errors.InputError(
            f"video: the encoder {target.encoder} refuses {size} ({reason}). Cure: another --codec."
        ) from error


class Segment:
    """A part of a film as a file of its own, whose first frame has time 0."""

    def __init__(self, path: os.PathLike | str, about: video.Info, target: Target, rate: Fraction):
        self.first: int | None = None
        self._about, self._target = about, target
        self._tags = tags(about, target)
        self._file = av().open(os.path.abspath(path), "w", format=between(target))
        self._stream = add(self._file, about, target, rate)

    def write(self, pixels: np.ndarray, pts: int, source: video.Frame, same: bool) -> None:
        """One frame, uint8 or uint16 RGB, at its time in the film.

        Args:
          source: the frame it was made of: its alpha and captions go along.
          same: whether nothing was changed: then the source's own samples are written.
        """
        self.first = pts if self.first is None else self.first
        as_is = same and source.plain.format.name == self._target.format
        if (
            as_is
            and source.turn == video.Turn()
            and self._tags["colorspace"] == self._about.tags[1]
        ):
            frame = source.plain
        else:
            frame = self._converted(pixels, source)
        frame.pict_type = 0  # the encoder's choice
        frame.pts, frame.time_base = pts - self.first, self._about.time_base
        self._file.mux(self._stream.encode(frame))

    def _converted(self, pixels: np.ndarray, source: video.Frame) -> Any:
        deep = pixels.dtype != np.uint8
        if self._about.alpha and "a" in self._target.format:
            pixels = np.concatenate([pixels, source.alpha(deep)], -1)
        kind = ("rgb24", "rgb48le", "rgba", "rgba64le")[deep + 2 * (pixels.shape[-1] == 4)]
        if source.captioned() and source.turn == video.Turn():
            frame = source.repainted(pixels, kind)  # captions travel with the frame
        else:
            frame = av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
        return frame.reformat(
            format=self._target.format,
            interpolation=video.EXACT,
            src_color_range="JPEG",
            dst_colorspace=self._tags["colorspace"],
            dst_color_range=self._tags["color_range"] or "MPEG",
        )

    def close(self) -> None:
        self._file.mux(self._stream.encode(None))
        self._file.close()
