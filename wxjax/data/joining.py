"""Segments and all that travels beside them as one film; no picture is encoded again."""

import dataclasses
import heapq
import os
import pathlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from wxjax import errors
from wxjax.data import containers, encoders, extent, segments, tracks, video
from wxjax.data.containers import av

_BITEXACT = 0x400  # no random identifiers, no date of today: the same film, the same bytes


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a film is put together: its pictures, their rate, and every other track.

    Attributes:
      shift: seconds taken off all times: broadcasts begin at any time of a day.
      last: seconds that the last picture is shown.
    """

    about: video.Info
    target: encoders.Target
    rate: Fraction
    tracks: tuple[tracks.Track, ...]
    shift: float = 0.0
    last: float = 0.0

    def notes(self) -> list[str]:
        """What is lost or changed, for people."""
        return [*self.target.notes, *(track.note for track in self.tracks if track.note)]


def plan(
    path: os.PathLike | str, about: video.Info, target: encoders.Target, long: extent.Extent
) -> Plan:
    """The plan, after the whole header was written once for nothing.

    Raises:
      InputError: where the encoder or the container refuses, before any frame is restored.
    """
    segments.trial(about, target, long.rate)
    last = max(0.0, long.end - long.last)
    made = Plan(about, target, long.rate, tracks.plan(path, target), _shift(path), last)
    try:
        with open(os.devnull, "wb") as nothing:
            with containers.opened(path) as origin, _film(nothing, origin, made) as film:
                _tracks(film, origin, made)
                film.start_encoding()
    except (av().error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        shown = containers.printable(path)
        raise errors.InputError(
            f"{shown!r}: a {target.suffix} file cannot be written with its tracks ({reason}). "
            "Cure: another --codec, or put the film into .mkv first."
        ) from error
    return made


def _shift(path: os.PathLike | str) -> float:
    with containers.opened(path) as container:
        broadcast = container.format.name in ("mpegts", "mpeg")
        return max(0, container.start_time or 0) / 1e6 if broadcast else 0.0


def _film(out: Any, origin: Any, made: Plan) -> Any:
    muxer = made.target.muxer
    film = av().open(
        out,
        "w",
        format=muxer,
        container_options=tracks.container_options(muxer, origin),
        metadata_errors="surrogateescape",
    )
    film.flags |= _BITEXACT
    return film


def _tracks(film: Any, origin: Any, made: Plan) -> tuple[tracks.Carrier, list[Any]]:
    carrier, pictures = tracks.Carrier(film, origin, made.tracks, made.shift), []

    def restored():
        pictures.append(segments.add(film, made.about, made.target, made.rate))
        return pictures[0]

    carrier.describe()
    for stream in origin.streams:
        carrier.add(stream, restored)
    carrier.attach()
    return carrier, pictures


def join(
    parts: Sequence[tuple[pathlib.Path, int]], source: os.PathLike | str, out: Any, made: Plan
) -> tracks.Carrier:
    """Writes the film.

    Args:
      parts: each segment's file and the time of its first frame, in `about.time_base`.
      out: a file open for writing.

    Returns:
      What carried the tracks: their order in the film, and how many packets were refused.
    """
    with containers.opened(source) as origin, _film(out, origin, made) as film:
        carrier, pictures = _tracks(film, origin, made)
        film.start_encoding()
        restored = _pictures(parts, made, pictures[0])
        for _, beside, packet in heapq.merge(restored, carrier.packets(), key=lambda x: x[:2]):
            try:
                film.mux_one(packet)
            except av().error.FFmpegError:
                if not beside:
                    raise
                carrier.dropped += 1
    return carrier


def _pictures(parts: Sequence, made: Plan, stream: Any) -> Iterator[tuple[float, int, Any]]:
    base, off = made.about.time_base, round(made.shift / made.about.time_base)
    for number, (path, start) in enumerate(parts, 1):
        held = None  # the last picture of all is shown as long as the source's
        with containers.av().open(os.path.abspath(path)) as part:
            for packet in part.demux(video=0):
                if not packet.size:
                    continue
                # Nothing is encoded out of order; a demuxer that thinks so says no time.
                packet.pts += round((start - off) * base / packet.time_base)
                packet.dts = packet.pts
                packet.duration = round(1 / made.rate / packet.time_base)
                packet.stream = stream
                if held is not None:
                    yield float(held.dts * held.time_base), 0, held
                held = packet
            if held is not None:
                if number == len(parts) and made.last:
                    held.duration = round(made.last / held.time_base)
                yield float(held.dts * held.time_base), 0, held
