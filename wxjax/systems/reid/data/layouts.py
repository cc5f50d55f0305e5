"""Data sets of identities in the layouts of the field, one source of shots each.

rgbnt201  ROOT/{train_171,test}/{RGB,NI,TI}/000258_cam1_0_05.jpg, one name in three folders
rgbnt100  ROOT/rgbir/{bounding_box_train,query,bounding_box_test}/0001_c1_....jpg, bands abreast
msvr310   ROOT/{bounding_box_train,query3,bounding_box_test}/ID/{vis,ni,th}/0001_s001_v1_....jpg
market    ROOT/{bounding_box_train,query,bounding_box_test}/0002_c1s1_000451_03.jpg, one band
folder    ROOT/{train,query,gallery or test}/{RGB,NI,TI}/NAME.jpg with meta.csv (name,pid,camid)
npz       one file: images uint8 [n m h w (3)], pid, camid, is_test

Query and gallery are one set where a layout has `test` alone. Identities and cameras keep
their own numbers: one map for both sides.
"""

import csv
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from wxjax import errors
from wxjax.data.formats.kinds import SUFFIXES as PICTURES
from wxjax.data.formats.kinds import note
from wxjax.data.names import stem as stem

BANDS = {"rgb": ("RGB", "vis"), "nir": ("NI", "NIR", "ni"), "tir": ("TI", "TIR", "th")}


class Record(NamedTuple):
    """One shot: a file a band (None where absent), and who, where."""

    id: str
    files: tuple[pathlib.Path | None, ...]
    pid: int
    camera: int
    scene: int
    role: str


def folder(root: pathlib.Path, names: Sequence[str], layout: str) -> pathlib.Path:
    """The first of `names` under `root`; wildcards allowed."""
    for name in names:
        hits = sorted(p for p in root.glob(name) if p.is_dir())
        if hits:
            return hits[0]
    here = ", ".join(sorted(p.name for p in root.iterdir())[:6]) or "nothing"
    raise errors.InputError(
        f"config.data.root={str(root)!r}: no folder {' or '.join(names)}, which {layout} has; "
        f"there is {here}. Cure: another config.data.name, or the folder that holds them."
    )


def pictures(where: pathlib.Path) -> list[pathlib.Path]:
    """The pictures of a folder, sorted.

    Raises:
      InputError: where it holds files of other kinds and no picture: an absent band is no
        folder, and a full one is no absent band.
    """
    inside = sorted(p for p in where.iterdir() if not p.name.startswith("."))
    found = [p for p in inside if p.suffix.lower() in PICTURES and p.is_file()]
    others = [
        p for p in inside if p.is_file() and p.suffix.lower() not in (".csv", ".txt", ".json")
    ]
    if others and not found:
        endings = ", ".join(sorted({p.suffix.lower() or "no ending" for p in others})[:6])
        raise errors.InputError(
            f"{str(where)!r}: {len(others)} files ({endings}) and no picture; expected {note()}. "
            "Convert them, or leave out this band with --config.data.modalities."
        )
    return found


def parsed(path: pathlib.Path, pattern: str, layout: str) -> re.Match:
    match = re.match(pattern, path.name)
    if match is None:
        raise errors.InputError(
            f"{str(path)!r}: the name does not say who and where; {layout} expects {pattern!r}."
        )
    return match


def bands(where: pathlib.Path, modalities: Sequence[str]) -> list[pathlib.Path | None]:
    """The folder of every band, None where there is none; at least one."""
    found = [
        next((where / n for n in BANDS[band] if (where / n).is_dir()), None) for band in modalities
    ]
    if not any(found):
        wanted = ", ".join(BANDS[band][0] for band in modalities)
        raise errors.InputError(f"{str(where)!r}: none of the band folders {wanted} is here.")
    return found


def side_by_name(where: pathlib.Path, modalities: Sequence[str], strict: str = ""):
    """(name, a file a band) of every name; with `strict` each must be in every band."""
    folders = bands(where, modalities)
    by_band = [{} if b is None else {stem(p): p for p in pictures(b)} for b in folders]
    _meet(where, modalities, by_band)
    names = sorted(set().union(*by_band))
    for name in names:
        files = tuple(band.get(name) for band in by_band)
        if strict and None in files:
            lost = modalities[files.index(None)]
            raise errors.InputError(f"{str(where)!r}: {name} has no picture in {lost}; {strict}.")
        yield name, files


def _meet(where: pathlib.Path, modalities: Sequence[str], by_band: Sequence[dict]) -> None:
    """Refuses a band of which no name is in any other: other names are no missing pictures."""
    for i, (band, names) in enumerate(zip(modalities, by_band, strict=True)):
        rest = set().union(*(other for j, other in enumerate(by_band) if j != i))
        if names and rest and not rest & set(names):
            one, other = min(names), min(rest)
            raise errors.InputError(
                f"{str(where)!r}: no picture of {band} has the name of one in another band, "
                f"such as {one!r} and {other!r}; expected the same name for the same shot."
            )


def rgbnt201(root: pathlib.Path, split: str, modalities) -> list[Record]:
    where = folder(
        root, ("train_171", "train_*", "train") if split == "train" else ("test",), "rgbnt201"
    )
    found = []
    for name, files in side_by_name(where, modalities, "rgbnt201 has all bands of a shot"):
        match = parsed(next(f for f in files if f), r"(\d{6})_cam(\d)", "rgbnt201")
        found.append(Record(name, files, int(match[1]), int(match[2]) - 1, -1, "both"))
    return found


def _three_folders(root, split, layout, query="query"):
    if split == "train":
        return ((folder(root, ("bounding_box_train",), layout), "both"),)
    return (
        (folder(root, (query,), layout), "query"),
        (folder(root, ("bounding_box_test",), layout), "gallery"),
    )


def rgbnt100(root: pathlib.Path, split: str, modalities) -> list[Record]:
    root = root / "rgbir" if (root / "rgbir").is_dir() else root
    found = []
    for where, role in _three_folders(root, split, "rgbnt100"):
        for path in pictures(where):
            match = parsed(path, r"([-\d]+)_c([-\d]+)", "rgbnt100")
            found.append(Record(path.stem, (path,), int(match[1]), int(match[2]) - 1, -1, role))
    return found


def msvr310(root: pathlib.Path, split: str, modalities) -> list[Record]:
    found = []
    for where, role in _three_folders(root, split, "msvr310", "query3"):
        for one in sorted(p for p in where.iterdir() if p.is_dir()):
            for name, files in side_by_name(one, modalities, "msvr310 has all bands of a shot"):
                path = next(f for f in files if f)
                match = parsed(path, r"(\d{4}).{2}(\d{3}).{2}(\d)", "msvr310")
                who, scene, view = int(match[1]), int(match[2]), int(match[3])
                found.append(Record(name, files, who, view, scene, role))
    return found


def market(root: pathlib.Path, split: str, modalities) -> list[Record]:
    """Junk (-1) is skipped; distractors (0) stay in the gallery, and out of training."""
    if len(modalities) != 1:
        cure = "Say --config.data.modalities=\"('rgb',)\"."
        raise errors.bad("config.data.modalities", tuple(modalities), "market has one band", cure)
    found = []
    for where, role in _three_folders(root, split, "market"):
        for path in pictures(where):
            match = parsed(path, r"(-?\d+)_c(\d+)", "market")
            who = int(match[1])
            if who == -1 or who == 0 and role != "gallery":
                continue
            found.append(Record(path.stem, (path,), who, int(match[2]) - 1, -1, role))
    return found


def native(root: pathlib.Path, split: str, modalities) -> list[Record]:
    """Bands may be missing; identities from meta.csv, else from names like those of rgbnt201."""
    if split == "train":
        places = ((folder(root, ("train",), "folder"), "both"),)
    elif (root / "query").is_dir():
        places = ((root / "query", "query"), (folder(root, ("gallery",), "folder"), "gallery"))
    else:
        places = ((folder(root, ("test",), "folder"), "both"),)
    found = []
    for where, role in places:
        known = _meta(where / "meta.csv")
        for name, files in side_by_name(where, modalities):
            if known is not None:
                if name not in known:
                    raise errors.InputError(f"{str(where / 'meta.csv')!r}: no line for {name}.")
                who, camera, scene = known[name]
            else:
                match = parsed(next(f for f in files if f), r"(\d+)_c(?:am)?(\d+)", "folder")
                who, camera, scene = int(match[1]), int(match[2]), -1
            found.append(Record(name, files, who, camera, scene, role))
    return found


def _meta(path: pathlib.Path) -> dict[str, tuple[int, int, int]] | None:
    if not path.exists():
        return None
    found = {}
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        lost = {"name", "pid", "camid"} - set(table.fieldnames or ())
        if lost:
            raise errors.InputError(f"{str(path)!r}: no column {', '.join(sorted(lost))}.")
        for number, row in enumerate(table, 2):
            try:
                numbers = int(row["pid"]), int(row["camid"]), int(row.get("scene") or -1)
            except (TypeError, ValueError) as error:
                raise errors.InputError(
                    f"{str(path)!r}, line {number}: pid, camid and scene are whole numbers."
                ) from error
            found[stem(pathlib.Path(row["name"]))] = numbers
    return found


LAYOUTS: dict[str, Callable] = {
    "rgbnt201": rgbnt201,
    "rgbnt100": rgbnt100,
    "msvr310": msvr310,
    "market": market,
    "folder": native,
}
