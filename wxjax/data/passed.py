"""What a reader of folders passes over: counted by ending, and said once a run."""

import collections
import os
import pathlib
import sys
from collections.abc import Collection

from wxjax.data.formats.kinds import SUFFIXES

# Beside pictures by right: notes, settings and caches of other programs, georeferences.
NOTES = {".json", ".jsonl", ".txt", ".csv", ".tsv", ".md", ".html", ".htm", ".xml", ".xmp"}
NOTES |= {".aae", ".thm", ".ini", ".db", ".log", ".yml", ".yaml", ".toml", ".url", ".lnk"}
NOTES |= {".pp3", ".dop", ".cos", ".on1", ".lrv", ".tfw", ".jgw", ".pgw", ".wld", ".prj", ".npz"}
_SAID: set[str] = set()


def count(
    root: os.PathLike | str, *, besides: os.PathLike | str | None = None, also: Collection[str] = ()
) -> collections.Counter[str]:
    """How many files of each ending lie in and below a folder that no reader of pictures takes.

    Names that begin with a dot and notes are not counted; folders behind a link, which are
    not entered, count as 'linked folder'.

    Args:
      besides: a folder that is not entered.
      also: endings that another part of the job takes: of films.
    """
    found: collections.Counter[str] = collections.Counter()
    avoid = None if besides is None else pathlib.Path(besides).resolve()
    taken = {*SUFFIXES, *also, *NOTES}
    for here, folders, names in os.walk(root):
        place = pathlib.Path(here)
        seen = [name for name in folders if not name.startswith(".")]
        links = {name for name in seen if (place / name).is_symlink()}
        found["linked folder"] += len(links)
        folders[:] = [n for n in seen if n not in links and (place / n).resolve() != avoid]
        for name in names:
            suffix = pathlib.PurePath(name).suffix.lower()
            if not name.startswith(".") and suffix not in taken:
                found[suffix or "without ending"] += 1
    return +found


def line(found: collections.Counter[str]) -> str:
    """`left out: 3 .heic, 1 .gif (not read here)`; empty where nothing was."""
    if not found:
        return ""
    ordered = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
    return f"left out: {', '.join(f'{n} {kind}' for kind, n in ordered)} (not read here)"


def say(root: os.PathLike | str, found: collections.Counter[str]) -> None:
    """One line on stderr, once a folder and run."""
    text = line(found)
    if text and str(root) not in _SAID:
        _SAID.add(str(root))
        print(f"{root}: {text}", file=sys.stderr)
