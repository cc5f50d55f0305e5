"""Film containers: which are read, as what each is written, what is kept and what is lost.

A film is opened by its absolute path and as one of these containers only, so that neither a
name (`13:19:57.mp4`, `concat:a.mp4`) nor a content (a playlist, a script) is ever a command.
"""

import dataclasses
import functools
import io
import os
import pathlib
from typing import Any

from wxjax import errors

FEATURES = {
    "sounds": "every sound track, copied",
    "subtitles": "subtitles",
    "chapters": "chapters",
    "title": "title",
    "languages": "languages of tracks",
    "flags": "default flags",
    "forced": "forced flags",
    "names": "names of tracks",
    "tags": "any other tag",
    "created": "creation time",
    "location": "location",
    "timecode": "timecode",
    "cover": "cover art",
    "attachments": "attachments",
    "rate": "frame rate and times",
    "aspect": "pixel aspect",
    "alpha": "alpha",
    "hdr10": "HDR10 mastering and light levels",
    "deep": "10 bits",
    "lossless": "lossless pictures",
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of film file.

    Attributes:
      name: as people say it; demuxer: FFmpeg's name of what reads it.
      written: the ending of the output; muxer: FFmpeg's name of what writes that.
      codecs: of the pictures by default, where the source's own does not decide.
      kept: of `FEATURES`; lost: what such a file may hold and the output does not, for people.
        What one film loses, its record and stderr say.
    """

    name: str
    demuxer: str
    written: str
    muxer: str
    codecs: tuple[str, ...]
    kept: tuple[str, ...]
    lost: str


def _but(*names: str) -> tuple[str, ...]:
    return tuple(name for name in FEATURES if name not in names)


_MP4 = Kind(
    "MP4", "mov", ".mp4", "mp4", ("h264", "hevc", "ffv1"),
    _but("attachments", "names"),
    "names of tracks; with cover art, tags that MP4 has no atom for",
)  # fmt: skip
_MOV = Kind(
    "QuickTime", "mov", ".mov", "mov", ("h264", "hevc"),
    _but("attachments", "forced", "names", "cover"),
    "forced flags, names of tracks, timed metadata that FFmpeg cannot write",
)  # fmt: skip
_MKV = Kind(
    "Matroska", "matroska", ".mkv", "matroska", ("h264", "hevc", "ffv1"), tuple(FEATURES),
    "ordered editions, linked segments",
)  # fmt: skip
_WEBM = Kind(
    "WebM", "matroska", ".webm", "webm", ("vp9",),
    _but("attachments", "cover", "hdr10", "lossless", "aspect"),
    "pixel aspect other than 1:1; HDR10 data where the codec is VP9",
)  # fmt: skip


def _foreign(name: str, demuxer: str, lost: str = "") -> Kind:
    """Read, and written as Matroska, which holds all that is in it but for `lost`."""
    return dataclasses.replace(_MKV, name=name, demuxer=demuxer, lost=lost or "nothing known")


KINDS: dict[str, Kind] = {
    ".mp4": _MP4,
    ".m4v": dataclasses.replace(_MP4, name="MP4 (iTunes)", written=".m4v"),
    ".mov": _MOV,
    ".qt": _MOV,
    ".mkv": _MKV,
    ".webm": _WEBM,
    ".3gp": _foreign("3GPP", "mov", "styles of timed text"),
    ".3g2": _foreign("3GPP2", "mov", "styles of timed text"),
    ".avi": _foreign("AVI", "avi"),
    ".ts": _foreign("MPEG transport stream", "mpegts", "programme tables, teletext"),
    ".mts": _foreign("AVCHD", "mpegts", "programme tables"),
    ".m2ts": _foreign("Blu-ray stream", "mpegts", "programme tables"),
    ".mpg": _foreign("MPEG programme stream", "mpeg", "navigation packets"),
    ".mpeg": _foreign("MPEG programme stream", "mpeg", "navigation packets"),
    ".vob": _foreign("DVD video object", "mpeg", "navigation packets, DVD menus"),
    ".wmv": _foreign("Windows Media", "asf", "sound becomes AAC, for Matroska has no WMA"),
    ".asf": _foreign("Windows Media", "asf", "sound becomes AAC, for Matroska has no WMA"),
    ".flv": _foreign("Flash video", "flv", "cue points"),
    ".mxf": _foreign("MXF", "mxf", "operational pattern, descriptive metadata"),
    ".ogv": _foreign("Ogg video", "ogg"),
    ".dv": _foreign("DV", "dv", "recording dates of every frame"),
}
SUFFIXES = tuple(KINDS)
_WHITELIST = ",".join(sorted({kind.demuxer for kind in KINDS.values()}))


def av():
    """The library; InputError where it is not installed."""
    try:
        import av
    except ImportError:
        raise errors.InputError("video: PyAV is not installed. Cure: pip install av.") from None
    return av


def kind(path: os.PathLike | str) -> Kind:
    """The kind that a film's ending says; InputError for an ending that is none."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in KINDS:
        expected = f"expected one of {', '.join(SUFFIXES)}"
        raise errors.InputError(f"cannot read {str(path)!r} as a video: {expected}.")
    return KINDS[suffix]


def opened(path: Any) -> Any:
    """A path, or a file open for reading, as PyAV's input container.

    Tags in any encoding come through as they are.
    """
    return av().open(
        path if hasattr(path, "read") else os.path.abspath(path),
        options={"format_whitelist": _WHITELIST, "protocol_whitelist": "file"},
        metadata_errors="surrogateescape",
    )


def explain(path: object, error: Exception) -> errors.InputError:
    """One line for FFmpeg's complaint about a film."""
    kinds = {"InvalidDataError": "damaged, cut off before its index, or no film"}
    kinds |= {"ArgumentError": "what is in it is no film of a kind read here"}
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    reason = kinds.get(type(error).__name__, reason).splitlines()[0]
    return errors.InputError(f"cannot read {printable(path)!r} as a video: {reason}.")


def printable(text: object) -> str:
    """A name or tag as text that every terminal and JSON takes."""
    return str(text).encode("utf-8", "backslashreplace").decode()


@functools.cache
def holds(muxer: str, encoder: str) -> bool:
    """Whether a container takes what an encoder makes, asked by writing a header."""
    lib = av()
    try:
        with lib.open(io.BytesIO(), "w", format=muxer) as film:
            quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
            stream = film.add_stream(encoder, rate=24, options=quiet)
            stream.width, stream.height = 128, 128
            stream.pix_fmt = (lib.codec.Codec(encoder, "w").video_formats or ())[0].name
            film.start_encoding()
    except (ValueError, IndexError, lib.error.FFmpegError):
        return False
    return True
