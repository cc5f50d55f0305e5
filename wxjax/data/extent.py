"""How long a film is, and how long it says it is, from its packets alone: nothing is decoded."""

import re
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from wxjax.data import containers, video

_ODD = (0.4, 2.5)  # a stated rate beyond these shares of the measured one is not believed


class Extent(NamedTuple):
    """Of the picture track.

    Attributes:
      frames: that are there; rate: mean frames a second.
      start, last, end: seconds of the first, of the last, and after the last of them.
      promised: seconds at which the film says that it ends, `end` where it says nothing else.
      missing: frames that an even film leaves out in the middle; gap: seconds of the first.
      torn: whether a broadcast's file ends within one of its packets.
      near: seconds that a film may end early without being cut off.
    """

    frames: int
    rate: Fraction
    start: float
    last: float
    end: float
    promised: float
    missing: int = 0
    gap: float = 0.0
    torn: bool = False
    near: float = 0.0

    def cut(self, end: float | None = None) -> bool:
        """Whether it, or what could be decoded of it, ends before its time."""
        return self.promised - (self.end if end is None else end) > self.near


def measure(path: Any) -> Extent:
    """Reads every packet of a film, by path or open for reading, once.

    Raises:
      InputError: where it is no video.
    """
    lib = containers.av()
    try:
        with containers.opened(path) as container:
            stream = video.picture(container, path)
            return _measure(container, stream)
    except (lib.error.FFmpegError, OSError) as error:
        raise containers.explain(path, error) from error


def _measure(container: Any, stream: Any) -> Extent:
    moments: list[int] = []
    count, last = 0, 0
    ends: dict[int, float] = {}
    for packet in video.packets(container, list(container.streams), video.Faults()):
        moment = packet.pts if packet.pts is not None else packet.dts
        if moment is None or not packet.size or not packet.time_base:
            continue
        here = packet.stream_index
        after = float((moment + (packet.duration or 0)) * packet.time_base)
        ends[here] = max(ends.get(here, after), after)
        if here == stream.index:
            count += 1
            last = packet.duration if moment >= max(moments[-9:], default=moment) else last
            moments.append(moment)
    stated = stream.average_rate or stream.guessed_rate or Fraction(25)
    times = (min(moments), max(moments)) if moments else ()
    if not times:
        return Extent(0, stated, 0.0, 0.0, 0.0, 0.0)
    base = float(stream.time_base)
    lasting = (times[1] - times[0]) * base
    rate = stated
    if count > 2 and lasting > 0:
        found = (count - 1) / lasting
        if not _ODD[0] < float(stated) / found < _ODD[1]:
            rate = Fraction(found).limit_denominator(1001) or stated
        elif float(stated) / found < 0.6:
            count = round(count * float(stated) / found)  # a packet holds one field
    end = times[1] * base + (last * base or 1 / float(rate))
    promised, near = _promised(container, stream, (times[0] * base, end), ends, rate)
    # A chunk of an AVI without data says: the frame before once more.
    missing, gap = (0, 0.0) if container.format.name == "avi" else _holes(np.sort(moments) * base)
    size = container.size if container.format.name == "mpegts" else 0
    torn = bool(size > 0 and size % 188 and size % 192 and size % 204)
    start, last = times[0] * base, times[1] * base
    return Extent(count, rate, start, last, end, promised, missing, gap, torn, near)


def _holes(seconds: np.ndarray) -> tuple[int, float]:
    """Frames left out of a film that is even but for that, and when the first of them was due."""
    steps = np.diff(seconds)
    usual = float(np.median(steps)) if steps.size > 5 else 0.0
    if usual <= 0 or np.mean(np.abs(steps - usual) < 0.1 * usual) < 0.8:
        return 0, 0.0
    holes = np.flatnonzero(steps > 1.75 * usual)
    missing = int((np.rint(steps[holes] / usual) - 1).sum())
    return missing, float(seconds[holes[0]] - seconds[0] + usual) if missing else 0.0


def _promised(
    container: Any, stream: Any, reach: tuple[float, float], ends: dict, rate: Fraction
) -> tuple[float, float]:
    """When the film says it ends (its own end where it says nothing), and how near is enough."""
    begin, end = reach
    exact, loose = max(0.9 / float(rate), 0.02), max(2 / float(rate), 0.06)
    tags = [value for name, value in stream.metadata.items() if name.startswith("DURATION")]
    said = re.match(r"(\d+):(\d+):(\d+(?:\.\d+)?)", tags[0] if tags else "")
    if container.format.name == "avi" and stream.frames > 0:  # its duration is that of the file
        return begin + stream.frames / float(rate), exact
    if said:
        return int(said[1]) * 3600 + int(said[2]) * 60 + float(said[3]), exact
    if stream.duration and stream.duration > 0:
        near = exact if container.format.name.startswith("mov") else loose
        promised = (stream.duration + (stream.start_time or 0)) * stream.time_base
        return float(promised), near
    # The longest of all tracks: only where all of them fall short is the film cut.
    promised = ((container.duration or 0) + max(0, container.start_time or 0)) / 1e6
    whole = promised - max(ends.values(), default=0) <= max(loose, 0.25)
    return (end if whole else promised), loose
