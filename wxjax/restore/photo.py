"""Photographs in, photographs and one record each out; a stopped job goes on where it was.

A picture and its record appear together: the record is written when the picture lies
complete under a temporary name, and the rename of the picture comes last. Run again, a
job does only what is missing or changed, by the SHA-256 of input, settings and output.
"""

import collections
import contextlib
import dataclasses
import errno
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

import wxjax
from wxjax import errors, files, lock
from wxjax.data import images, shown, transfer
from wxjax.restore import listing, records, sentences, stopping
from wxjax.restore import progress as progress_bar
from wxjax.restore.listing import Failure

# Takes [h w 3] float32 sRGB in [0, 1]; returns the same shape and what is known about it.
# With an attribute `takes_uint8`, gets 8-bit pictures as they are stored and answers in bytes;
# with `scale` above 1, answers with so many times the height and width; `exact`, where there is
# one, is the same in float32, for the picture whose answer was not finite.
Restorer = Callable[[np.ndarray], tuple[Any, Mapping]]
_PER_FILE = {
    errno.ENAMETOOLONG,
    errno.EILSEQ,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EINVAL,
}
_STALE_SECONDS = 3600


class Report(NamedTuple):
    """What a job did: output files made, output files left as they were, and failures.

    `lost` counts what writing lost, in words, over all pictures.
    """

    done: list[pathlib.Path]
    skipped: list[pathlib.Path]
    failed: list[Failure]
    lost: collections.Counter[str] | None = None


def identity(rgb: Float32[np.ndarray, "h w 3"]) -> tuple[Float32[np.ndarray, "h w 3"], dict]:
    """The restorer that changes nothing: what comes out must be the file that went in."""
    return rgb, {"route": "identity"}


def restore(
    inputs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    restorer: Restorer,
    *,
    settings: Mapping[str, Any],
    overwrite: bool = False,
    progress: bool = True,
    max_pixels: int = images.MAX_PIXELS,
    format: str = "",
) -> Report:
    """Restores pictures, and folders of them, into `out`.

    Args:
      inputs: files and folders; a folder's tree is mirrored under `out`.
      out: the output folder; made where absent, never one of the inputs.
      restorer: `[h w 3]` float32 sRGB in [0, 1] -> the same, and what to record about it.
      settings: what the outcome depends on, weights hash included; other settings mean
        that everything is done again. JSON values.
      overwrite: replace a file in `out` that this program did not make.
      progress: say on stderr how far the job is, and what failed.
      max_pixels: largest picture, by its header.
      format: the kind to write, as `--format` names it; empty for each file's own.

    Returns:
      What was done, skipped and failed. One bad picture does not stop the others.

    Raises:
      InputError: before any work where no input exists or `out` will not do; during it
        where the disk is full or goes away, for every further file would fail as well.
      SystemExit: 128 + signal after SIGTERM or Ctrl-C, nothing half written.
    """
    out = pathlib.Path(out)
    kind = transfer.target(format)
    items, failed = listing.find(inputs, besides=out)
    items = listing.aim(items, format)
    listing.check(items, inputs, out)
    report = Report([], [], failed, collections.Counter())
    settings = {**settings, "format": kind} if kind else settings
    try:
        with stopping.stoppable(), alone(out):
            _run(items, out, restorer, settings, overwrite, max_pixels, progress, report, kind)
    except stopping.Stopped as stop:
        finished = len(report.done) + len(report.skipped)
        print(
            f"stopped by {stop}: {finished} of {len(items)} pictures are complete. "
            "Run the same command again to go on.",
            file=sys.stderr,
        )
        raise SystemExit(128 + stop.number) from None
    if progress:
        tell(report)
    return report


def alone(out: pathlib.Path):
    """Keeps a second job out of the folder: each would take the other's pictures for its own."""
    return lock.hold(out, name=".wxjax.lock", doing="restores into", parameter="out")


def _run(
    items: Sequence[listing.Item],
    out: pathlib.Path,
    restorer: Restorer,
    settings: Mapping[str, Any],
    overwrite: bool,
    max_pixels: int,
    show: bool,
    report: Report,
    kind: str = "",
) -> None:
    key = records.digest(settings)
    for folder in {(out / item.relative).parent for item in items}:
        _sweep(folder)
    with progress_bar.shown(len(items), "pictures", show) as advance:
        for source, relative in items:
            target = out / relative
            try:
                data = images.load(source)
                before = records.replaceable(target, overwrite)
                if before and records.current(target, data, key, before):
                    report.skipped.append(target)
                else:
                    picture = images.decode(data, str(source), max_pixels=max_pixels)
                    picture = images.aimed(picture, _kind(picture, source, target, kind))
                    made = _one(picture, target, restorer, settings, before)
                    report.done.append(target)
                    line = sentences.sentence(str(source), records.read(target)) if show else None
                    if line:
                        print(line, file=sys.stderr)
                    if report.lost is not None:
                        report.lost.update(made.costs)
            except errors.InputError as error:
                _stop_if_fatal(error)
                report.failed.append(Failure(str(source), str(error)))
            except Exception as error:  # one picture the restorer cannot do is one failure
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                report.failed.append(Failure(str(source), f"{str(source)!r}: {reason}"))
            advance()


def _one(
    picture: images.Picture,
    target: pathlib.Path,
    restorer: Restorer,
    settings: Mapping[str, Any],
    before: str | None,
) -> images.Picture:
    """Restores one picture, all its pages, and publishes it with its record."""
    start = time.perf_counter()
    pages = [_restored(page, restorer) for page in (picture, *picture.more)]
    picture_out = images.assemble(pages[0][0], [page for page, _ in pages[1:]])
    info: Any = dict(pages[0][1])
    if picture.more:
        info = {"pages": [dict(said) for _, said in pages]}
    data = images.encode(picture_out)
    record = {
        "wxjax": wxjax.__version__,
        "input": {"path": picture.name, "sha256": records.sha256(picture.source)},
        "output": {"path": target.name, "sha256": records.sha256(data), "bytes": len(data)},
        "replaces": before,
        "picture": images.summary(picture_out),
        "restoration": records.plain(info),
        "settings": records.plain(settings),
        "settings_sha256": records.digest(settings),
        "seconds": round(time.perf_counter() - start, 4),
    }
    try:
        with files.atomic(target) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            files.write_json(records.place(target), record)
    except errors.InputError as error:
        raise _WriteError(str(error)) from error.__cause__
    return picture_out


def _kind(picture: images.Picture, source: pathlib.Path, target: pathlib.Path, word: str) -> str:
    """The kind to write: --format's, else the file's own, else what the target's name says."""
    if word:
        return word
    named = images.SUFFIXES.get(target.suffix.lower(), "")
    renamed = target.suffix.lower() != source.suffix.lower()
    if renamed or picture.written_as != picture.format:
        return named if transfer.writes(named) else picture.written_as
    return ""


def _restored(picture: images.Picture, restorer: Restorer) -> tuple[images.Picture, Mapping]:
    """One page restored, and what is known about it; a result with NaN is tried in float32."""
    if restorer is not identity and not np.isfinite(_known(picture)).all():
        raise errors.InputError(
            f"{picture.name!r}: holds pixels that are not numbers (NaN or Inf): expected finite "
            "values. Fill them first."
        )
    try:
        return _answered(picture, restorer)
    except errors.NotFinite:
        if getattr(restorer, "exact", None) is None:
            raise
    found, info = _answered(picture, restorer.exact())
    said = "a first result was not finite: restored in float32"
    header = dataclasses.replace(found.header, notices=(*found.header.notices, said))
    return dataclasses.replace(found, header=header), info


def _known(picture: images.Picture) -> np.ndarray:
    """The pixels but for those that stand for missing data."""
    if picture.header.nodata is None:
        return picture.pixels
    return picture.pixels[~shown.nothing(picture)[..., 0]]


def _answered(picture: images.Picture, restorer: Restorer) -> tuple[images.Picture, Mapping]:
    stored = images.to_bytes(picture) if getattr(restorer, "takes_uint8", False) else None
    restored, info = restorer(images.to_rgb(picture) if stored is None else stored)
    if getattr(restorer, "scale", 1) > 1:
        array = np.asarray(restored, np.float32)
        return images.enlarged(picture, array, restorer.scale), info
    if np.asarray(restored).dtype == np.uint8:
        return images.with_bytes(picture, np.asarray(restored)), info
    return images.with_rgb(picture, np.asarray(restored, np.float32)), info


class _WriteError(errors.InputError):
    """The place for the outputs refused, as it will for the next picture."""


def _stop_if_fatal(error: errors.InputError) -> None:
    """A full or vanished disk ends the job; a name it cannot hold is that picture's failure."""
    number = getattr(error.__cause__, "errno", None)
    if isinstance(error, _WriteError) and number not in _PER_FILE:
        raise error


def _sweep(folder: pathlib.Path) -> None:
    """Removes what a killed job left under temporary names an hour ago or more."""
    with contextlib.suppress(OSError):
        for left in folder.glob(".wxjax-*.tmp"):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink()


def tell(report: Report) -> None:
    """Says on stderr what was lost, what failed and how much was done."""
    for words, count in sorted((report.lost or {}).items()):
        many = f" ({count} pictures)" if count > 1 else ""
        print(f"lost: {words}{many}", file=sys.stderr)
    for failure in report.failed:
        print(f"failed: {failure.reason}", file=sys.stderr)
    done, skipped, failed = map(len, report[:3])
    print(f"{done} restored, {skipped} were up to date, {failed} failed", file=sys.stderr)
