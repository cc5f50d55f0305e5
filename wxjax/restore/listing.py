"""Which pictures a job works on, and where each one goes."""

import collections
import os
import pathlib
import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from wxjax import errors, files
from wxjax.data import images, passed, transfer

Path = str | os.PathLike


class Failure(NamedTuple):
    """A file that was not restored; `reason` is a whole line that names it."""

    path: str
    reason: str


class Item(NamedTuple):
    """A picture to restore: the file, and its place under the output folder."""

    source: pathlib.Path
    relative: pathlib.Path


def find(
    inputs: Sequence[Path], *, besides: Path | None = None
) -> tuple[list[Item], list[Failure]]:
    """Pictures among files and, with all below them, folders; sorted within a folder.

    A folder's tree is kept in `Item.relative`. Names that begin with a dot are left out,
    links to folders are not followed, nor is `besides` (where the outputs go) entered.

    Returns:
      The pictures, and what was named but cannot be one: a missing file, a file of
      another kind, a folder without a picture.

    Raises:
      InputError: where none of the inputs exists.
    """
    paths = [pathlib.Path(path) for path in inputs]
    if not any(os.path.lexists(path) for path in paths):
        names = ", ".join(repr(str(path)) for path in paths) or "nothing"
        raise errors.InputError(f"cannot read {names}: no such file or folder.")
    items: list[Item] = []
    failures: list[Failure] = []
    avoid = None if besides is None else pathlib.Path(besides).resolve()
    for path in paths:
        if path.is_dir():
            found = [Item(file, file.relative_to(path)) for file in _walk(path, avoid)]
            reason = f"no picture in folder {str(path)!r} ({_kinds()})."
        else:
            supported = path.suffix.lower() in images.SUFFIXES
            found = [Item(path, pathlib.Path(path.name))] if supported else []
            reason = f"cannot read {str(path)!r}: expected one of {_kinds()}; films: {_films()}."
            if not os.path.lexists(path):
                found, reason = [], f"cannot read {str(path)!r}: no such file or folder."
        items += found
        if not found:
            failures.append(Failure(str(path), reason))
    return _once(items), failures


def absent(inputs: Sequence[Path]) -> tuple[list[Failure], list[Path]]:
    """What does not exist, said on stderr, and the rest: where other work goes on."""
    here = [path for path in inputs if os.path.lexists(path)]
    reason = "cannot read {!r}: no such file or folder."
    gone = [Failure(str(p), reason.format(str(p))) for p in inputs if not os.path.lexists(p)]
    for failure in gone:
        print(f"failed: {failure.reason}", file=sys.stderr)
    return gone, here


def _walk(folder: pathlib.Path, avoid: pathlib.Path | None) -> Iterable[pathlib.Path]:
    for here, folders, names in os.walk(folder):
        place = pathlib.Path(here)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (place / name).resolve() != avoid
        )
        for name in sorted(names):
            if not name.startswith(".") and pathlib.Path(name).suffix.lower() in images.SUFFIXES:
                yield place / name


def _kinds() -> str:
    return ", ".join(images.SUFFIXES)


def _films() -> str:
    from wxjax.data import video

    return ", ".join(video.SUFFIXES)


def left_out(
    inputs: Sequence[Path], *, besides: Path | None = None, also: Collection[str] = ()
) -> str:
    """One line on the files in the folders among `inputs` that are no work here; empty for none.

    Args:
      also: endings that another part of the job takes: of films.
    """
    found: collections.Counter[str] = collections.Counter()
    for path in {pathlib.Path(path).resolve(): path for path in inputs}.values():
        found += passed.count(path, besides=besides, also=also)
    return passed.line(found)


def most_pixels(text: str | None) -> int:
    """The value of --max-pixels, `400M` or `400000000`; the default where it is None."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)(?:px|pixels)?", (text or "").strip(), re.I)
    if text is None:
        return images.MAX_PIXELS
    if match is None or not float(match[1]):
        raise errors.bad("--max-pixels", text, "expected a number of pixels", "Try 400M.")
    return int(float(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[match[2].lower()])


def aim(items: Sequence[Item], word: str = "") -> list[Item]:
    """The items under the names of what is written: `a.heic` becomes `a.jpg`.

    Where another output has that name already it becomes `a.heic.jpg`.

    Args:
      word: of --format; empty for the source's own kind, or what stands for it.
    """
    ends = [transfer.suffix(item.relative.suffix, word) for item in items]
    new = [
        item.relative if end == item.relative.suffix else item.relative.with_suffix(end)
        for item, end in zip(items, ends, strict=True)
    ]
    key = lambda path: unicodedata.normalize("NFC", str(path)).casefold()
    count = collections.Counter(map(key, new))
    return [
        Item(item.source, item.relative.with_name(item.relative.name + end))
        if path != item.relative and count[key(path)] > 1
        else Item(item.source, path)
        for item, path, end in zip(items, new, ends, strict=True)
    ]


def _once(items: list[Item]) -> list[Item]:
    """A file named twice, or by itself and within its folder, is one piece of work."""
    return list({(item.source.resolve(), item.relative): item for item in items}.values())


def check(
    items: Sequence[Item], inputs: Sequence[Path], out: pathlib.Path, *, anywhere: bool = False
) -> None:
    """Makes the output folder and refuses a job that would overwrite inputs or itself.

    With `anywhere`, names that differ in letter case or Unicode form only are refused on every
    disk, for the next one that the outputs are copied to may not tell them apart.

    Raises:
      InputError: where `out` cannot be written, is an input folder, would receive a file
        over an input, or two inputs would get one output name.
    """
    alike = _probe(out) or anywhere
    home = out.resolve()
    cure = "Choose another output folder."
    if any(pathlib.Path(path).resolve() == home for path in inputs):
        raise errors.bad("out", str(out), "expected a folder other than the input's", cure)
    sources = {item.source.resolve(): item.source for item in items}
    taken: dict[str, pathlib.Path] = {}
    for source, relative in items:
        target = out / relative
        if target.resolve() in sources:
            rule = f"{str(relative)!r} would overwrite an input"
            raise errors.bad("out", str(out), rule, cure)
        key = str(relative)
        key = unicodedata.normalize("NFC", key).casefold() if alike else key
        if key in taken:
            raise errors.InputError(
                f"{str(taken[key])!r} and {str(source)!r} would both be written to "
                f"{str(target)!r}. Restore them into different folders."
            )
        taken[key] = source


def _probe(out: pathlib.Path) -> bool:
    """Writes and removes a file; returns whether names differing in case are one file."""
    probe = out / ".wxjax-probe"
    files.write_bytes(probe, b"")
    alike = (out / ".WXJAX-PROBE").exists()
    probe.unlink(missing_ok=True)
    return alike
