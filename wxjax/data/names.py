"""File names that are equal to people, and not to every file system: Unicode form, case."""

import pathlib
import unicodedata


def stem(path: pathlib.PurePath) -> str:
    """A file's name without its ending, in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", path.stem)


def on_disk(path: pathlib.Path) -> pathlib.Path:
    """The file itself, or the one beside whose name differs in Unicode form only.

    A list written on one system names files in another form than a second one stores. Where
    there is none, the path as it was given.
    """
    if path.exists() or str(path).isascii():
        return path
    parent = on_disk(path.parent) if path.parent != path else path
    if not parent.is_dir():
        return path
    wanted = unicodedata.normalize("NFC", path.name)
    same = (p for p in parent.iterdir() if unicodedata.normalize("NFC", p.name) == wanted)
    return next(same, path)
