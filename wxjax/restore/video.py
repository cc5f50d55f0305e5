"""Films in, films out: frame by frame in constant memory; a stopped job goes on where it was.

A film is restored in segments. When one is complete, its file, the stream's state and the
notes on its frames lie on the disk; at the end the segments are joined with the film's own
sound, nothing encoded twice. So a job that was killed loses one segment at most, and the
file it ends in is that of a job that was not, byte for byte.
"""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.data import video
from wxjax.restore import photo, records
from wxjax.restore.film import Film, Stream
from wxjax.restore.frames import Frames
from wxjax.restore.listing import Failure

SEGMENT = 48  # frames


class EachFrame:
    """A restorer of photographs as a stream that remembers nothing."""

    def __init__(self, restorer: photo.Restorer):
        self._restorer = restorer

    def start(self, height: int, width: int) -> dict:
        return {}

    def step(self, state: Mapping, frame: np.ndarray) -> tuple[Mapping, np.ndarray, dict]:
        if frame.dtype != np.uint8 or not getattr(self._restorer, "takes_uint8", False):
            frame = np.float32(frame) / np.iinfo(frame.dtype).max
        restored, _ = self._restorer(frame)
        return state, np.asarray(restored), {}


def is_film(path: str | os.PathLike) -> bool:
    return pathlib.Path(path).suffix.lower() in video.SUFFIXES


def restore(
    inputs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    stream: Stream,
    *,
    settings: Mapping[str, Any],
    overwrite: bool = False,
    progress: bool = True,
    segment: int = SEGMENT,
    plot: Callable[[list[dict]], bytes | None] | None = None,
) -> photo.Report:
    """Restores films, and folders of frames, into `out`.

    Beside `clip.mp4` appear `clip.mp4.json` (record), `clip.mp4.frames.jsonl` (a line a
    frame: time, cut, what the router did) and, where there is a router, `clip.mp4.png`.

    Args:
      inputs: video files, and folders that are one film each: its pictures in natural order.
      settings: what the outcome depends on, weights hash included. JSON values.
      segment: frames between two points that a job can go on from.
      plot: PNG bytes from the notes on all frames, where they say enough.

    Returns:
      What was done, skipped and failed. One bad film does not stop the others.
    """
    report, out = photo.Report([], [], []), pathlib.Path(out)
    key = records.digest({**settings, "segment": segment})
    for name in inputs:
        source = pathlib.Path(name)
        target = out / source.name
        try:
            if out.resolve() in (source.resolve(), source.resolve().parent):
                raise errors.bad("out", str(out), "expected a folder other than the input's")
            job = Frames if source.is_dir() else Film
            work = job(source, target, key, overwrite)
            done = work.run(stream, settings, segment, progress, plot)
            (report.done if done else report.skipped).append(target)
        except errors.InputError as error:
            report.failed.append(Failure(str(source), str(error)))
    if progress:
        photo.tell(report)
    return report
