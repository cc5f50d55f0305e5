"""Interlaced films: two fields a frame, taken at two moments, become one whole picture."""

from fractions import Fraction
from typing import Any

from wxjax.data import containers

NAME = "bwdif"  # Bob Weaver deinterlacing, of FFmpeg
SAID = f"interlaced: deinterlaced with {NAME}, one frame for every two fields"


class Deinterlacer:
    """FFmpeg's bwdif: one frame out for one in; frames that are whole already pass untouched.

    Args:
      every: whether all frames count as interlaced, for the container says so.
    """

    def __init__(self, frame: Any, time_base: Fraction, every: bool):
        lib = containers.av()
        self._lib, self._base = lib, time_base
        self._graph = lib.filter.Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=time_base
        )
        which = "all" if every else "interlaced"
        middle = self._graph.add(NAME, f"mode=send_frame:parity=auto:deint={which}")
        sink = self._graph.add("buffersink")
        source.link_to(middle)
        middle.link_to(sink)
        self._graph.configure()

    def push(self, frame: Any | None) -> list[Any]:
        """Frames that are ready once `frame` is in, with their times; None ends the film."""
        self._graph.push(frame)
        out = []
        while True:
            try:
                done = self._graph.pull()
            except (self._lib.error.BlockingIOError, self._lib.error.EOFError):
                return out
            if done.pts is not None:
                ticks = round(done.pts * done.time_base / self._base)
                done.pts, done.time_base = ticks, self._base
            out.append(done)
