"""Films in, films out: frame by frame in constant memory; a stopped job goes on where it was.

A film is restored in segments. When one is complete, its file, the stream's state and the
notes on its frames lie on the disk; at the end the segments are joined with all that
travels beside the film's pictures, nothing encoded twice. So a job that was killed loses
one segment at most, and the file it ends in is that of a job that was not, byte for byte.

Every film is looked through before the first frame of any: what cannot be read or written,
two that would be one file, and a disk too small are said then.
"""

import collections
import os
import pathlib
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wxjax import errors, files
from wxjax.data import clips, encoders, video
from wxjax.data.containers import printable
from wxjax.restore import film, listing, photo, records, stopping
from wxjax.restore.film import Film
from wxjax.restore.frames import Frames
from wxjax.restore.job import Job, Stream
from wxjax.restore.listing import Failure, Item

SEGMENT = 48  # frames


class EachFrame:
    """A restorer of photographs as a stream that remembers nothing."""

    def __init__(self, restorer: photo.Restorer):
        self._restorer = restorer

    def start(self, height: int, width: int) -> dict:
        return {}

    def fit(self, height: int, width: int, dtype: Any) -> None:
        """InputError where the restorer knows that frames of this size do not fit the memory."""
        fit = getattr(self._restorer, "fit", None)
        if fit is not None:
            small = dtype == np.uint8 and getattr(self._restorer, "takes_uint8", False)
            fit(height, width, np.uint8 if small else np.float32)

    def step(self, state: Mapping, frame: np.ndarray) -> tuple[Mapping, np.ndarray, dict]:
        if frame.dtype != np.uint8 or not getattr(self._restorer, "takes_uint8", False):
            frame = np.float32(frame) / np.iinfo(frame.dtype).max
        restored, _ = self._restorer(frame)
        exact = getattr(self._restorer, "exact", None)
        if exact is not None and not np.isfinite(restored).all():
            restored, _ = exact()(frame)  # once more in float32, as a picture
            return state, np.asarray(restored), {"float32": True}
        return state, np.asarray(restored), {}


def is_film(path: str | os.PathLike) -> bool:
    return pathlib.Path(path).suffix.lower() in video.SUFFIXES


def inside(folder: str | os.PathLike, besides: str | os.PathLike | None = None) -> list[Item]:
    """The films in a folder and all below it, as `listing.find` finds pictures."""
    root, avoid = pathlib.Path(folder), None if besides is None else pathlib.Path(besides).resolve()
    found = []
    for place, folders, names in os.walk(root):
        here = pathlib.Path(place)
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in visible if (here / name).resolve() != avoid]
        files_ = sorted(name for name in names if not name.startswith(".") and is_film(name))
        found += [Item(here / name, (here / name).relative_to(root)) for name in files_]
    return found


def split(
    inputs: Sequence[str], out: str | os.PathLike, remembers: bool
) -> tuple[list[str], list[str]]:
    """Which inputs hold films, and which pictures; a folder of both is in both.

    Args:
      remembers: whether the pictures of a folder are the frames of one film.
    """
    films, pictures = [], []
    for name in inputs:
        if not pathlib.Path(name).is_dir():
            (films if is_film(name) else pictures).append(name)
            continue
        holds = bool(inside(name, out))
        if holds or remembers:
            films.append(name)
        if not remembers and (not holds or listing.find([name], besides=out)[0]):
            pictures.append(name)
    return films, pictures


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
    codec: str = "auto",
    frames: bool = True,
) -> photo.Report:
    """Restores films, the films in folders, and folders of frames, into `out`.

    Beside `clip.mp4` appear `clip.mp4.json` (record), `clip.mp4.frames.jsonl` (a line a
    frame: time, cut, what the router did) and, where there is a router, `clip.mp4.png`.

    Args:
      inputs: video files, and folders.
      settings: what the outcome depends on, weights hash included. JSON values.
      segment: frames between two points that a job can go on from.
      plot: PNG bytes from the notes on all frames, where they say enough.
      codec: of `data/encoders.py: CODECS`, 'auto' for what suits the source.
      frames: whether the pictures of a folder are the frames of one film, in natural order.

    Returns:
      What was done, skipped and failed. One bad film does not stop the others. A film that is
      cut off or damaged is done as far as it goes, and failed as well.

    Raises:
      InputError: before any work where no input exists, `out` will not do, two films would
        be one file there, or its disk is too small.
      SystemExit: 128 + signal after SIGTERM or Ctrl-C, nothing half written.
    """
    encoders.known(codec)
    report, out = photo.Report([], [], []), pathlib.Path(out)
    settings = dict(settings) | ({} if codec == "auto" else {"codec": codec})
    key = records.digest({**settings, "segment": segment})
    jobs: list[Job] = []
    try:
        with stopping.stoppable():
            for source, relative, kind in _named(inputs, out, frames, report):
                options = {} if kind is Frames else {"codec": codec}
                with _listed(source, report):
                    _apart(source, out)
                    jobs.append(kind(source, out / relative, key, overwrite, **options))
            _aim(jobs)
            for job in list(jobs):
                with _listed(job.source, report):
                    job.clear()
                    continue
                jobs.remove(job)
            if jobs:
                _check(jobs, inputs, out)
                with photo.alone(out):
                    for folder in {job.target.parent for job in jobs}:
                        photo._sweep(folder)
                    _run(jobs, stream, settings, segment, progress, plot, report)
    except stopping.Stopped as stop:
        _say_stopped(stop, jobs, report)
        raise SystemExit(128 + stop.number) from None
    if progress:
        photo.tell(report)
    return report


class _listed:
    """Whatever goes wrong with one film is one line, and the next one's turn."""

    def __init__(self, source: pathlib.Path, report: photo.Report):
        self._source, self._report = source, report

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        shown = printable(self._source)
        if isinstance(error, errors.InputError):
            text = printable(error)
            named = shown in text or repr(shown)[1:-1] in text or text.startswith("out=")
            reason = str(error) if named else f"{shown!r}: {error}"
        elif isinstance(error, OSError) and getattr(error, "errno", None):
            reason = str(files.explain(error, shown, "restore"))
        else:
            lines = f"{type(error).__name__}: {error}".splitlines()
            reason = f"{shown!r}: {lines[0]}"
        self._report.failed.append(Failure(shown, printable(reason)))
        return True


def _named(inputs: Sequence, out: pathlib.Path, frames: bool, report: photo.Report) -> list[tuple]:
    """Source, place under `out`, and kind of job, of every film and folder of frames."""
    found: list[tuple] = []
    for name in inputs:
        source = pathlib.Path(name)
        if not source.is_dir():
            found.append((source, pathlib.Path(source.name), Film))
            continue
        films = inside(source, out)
        found += [(item.source, item.relative, Film) for item in films]
        if frames and (clips.frames_of(source) or not films):
            found.append((source, pathlib.Path(source.name), Frames))
        elif not films:
            report.failed.append(Failure(str(source), f"no film in folder {str(source)!r}."))
    return list({(source.resolve(), relative): (source, relative, kind)
                 for source, relative, kind in found}.values())  # fmt: skip


def _apart(source: pathlib.Path, out: pathlib.Path) -> None:
    if out.resolve() in (source.resolve(), source.resolve().parent):
        raise errors.bad("out", str(out), "expected a folder other than the input's")


def _aim(jobs: Sequence[Job]) -> None:
    """`clip.avi` becomes `clip.mkv`, and `clip.avi.mkv` where another output has that name."""
    key = lambda path: unicodedata.normalize("NFC", str(path)).casefold()
    count = collections.Counter(key(job.target) for job in jobs)
    for job in jobs:
        named = getattr(job, "named", job.target)
        if named != job.target and count[key(job.target)] > 1:
            job.aim(named.with_name(named.name + job.target.suffix))


def _check(jobs: Sequence[Job], inputs: Sequence, out: pathlib.Path) -> None:
    """Refuses a job that would overwrite inputs or itself, or fill the disk."""
    items = [Item(job.source, job.target.relative_to(out)) for job in jobs]
    folders = [path for path in inputs if pathlib.Path(path).is_dir()]
    listing.check(items, folders, out, anywhere=True)
    new = [job for job in jobs if isinstance(job, Film) and not job.target.exists()]
    if new:
        many = f"{len(new)} films" if len(new) > 1 else new[0].source
        film.check_disk(out, sum(job.needs() for job in new), many)


def _run(
    jobs: Sequence[Job],
    stream: Stream,
    settings: Mapping[str, Any],
    segment: int,
    show: bool,
    plot: Callable | None,
    report: photo.Report,
) -> None:
    for job in jobs:
        shown = printable(job.source)
        with _listed(job.source, report):
            for note in job.notes if show else ():
                print(f"note: {shown}: {note}", file=sys.stderr)
            made, faults = job.run(stream, settings, segment, show, plot)
            (report.done if made else report.skipped).append(job.target)
            for lost in getattr(job, "lost", ()) if show else ():
                print(f"note: {shown}: {printable(lost)} left out", file=sys.stderr)
            if faults:
                reason = f"{shown!r}: {'; '.join(faults)}. What is there was restored."
                report.failed.append(Failure(shown, reason))


def _say_stopped(stop: stopping.Stopped, jobs: Sequence[Job], report: photo.Report) -> None:
    finished = len(report.done) + len(report.skipped)
    begun = [job for job in jobs if job.parts.is_dir() and job.done]
    rest = "".join(f", {printable(job.source)!r} goes on from frame {job.done}" for job in begun)
    print(
        f"stopped by {stop}: {finished} of {len(jobs)} films are complete{rest}. "
        "Run the same command again to go on.",
        file=sys.stderr,
    )
