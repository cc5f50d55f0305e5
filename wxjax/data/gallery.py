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
import functools
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wxjax import errors
from wxjax.data import identities, inventories
from wxjax.data.sources import read_uint8

UNKNOWN = -2  # an identity that no name tells
WHO = r"(\d+)_(?:c|s)"  # of all layouts' file names
BANDS = {"rgb": ("RGB", "vis"), "nir": ("NI", "NIR", "ni"), "tir": ("TI", "TIR", "th")}
PICTURES = {".jpg", ".jpeg", ".png", ".bmp"}


class Record(NamedTuple):
    """One shot: a file a band (None where absent), and who, where."""

    id: str
    files: tuple[pathlib.Path | None, ...]
    pid: int
    camera: int
    scene: int
    role: str


class Files:
    """Shots read from files, resized; small sets are kept in memory."""

    KEEP = 4_000  # shots

    def __init__(self, records: Sequence[Record], name: str, modalities, size, third=False):
        self.records, self.name, self.modalities = list(records), name, tuple(modalities)
        self.size, self._third = tuple(size), third
        self.pids = np.array([r.pid for r in self.records])
        self.cameras = np.array([r.camera for r in self.records])
        keep = self.KEEP if len(self.records) <= self.KEEP else 0
        self._pixels = functools.lru_cache(maxsize=keep)(self._read)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        r = self.records[index]
        image, present = self._pixels(index)
        return {
            "id": r.id, "image": image, "present": present, "pid": r.pid,
            "camera": np.int32(r.camera), "scene": np.int32(r.scene), "attributes": {},
            "index": np.int32(index),
        }  # fmt: skip

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        files = self.records[index].files
        if self._third:
            whole = three(read_uint8(files[0]))
            width = whole.shape[1] // len(self.modalities)
            parts = [whole[:, i * width : (i + 1) * width] for i in range(len(self.modalities))]
        else:
            parts = [None if path is None else three(read_uint8(path)) for path in files]
        blank = np.zeros((*self.size, 3), np.uint8)
        image = [blank if p is None else identities.resized(p, self.size) for p in parts]
        return np.stack(image), np.array([p is not None for p in parts])

    def roles(self) -> np.ndarray:
        return np.array([r.role for r in self.records])

    def items(self) -> dict[str, str]:
        return {
            f"{r.role}/{r.id}": " ".join(
                f"{path.name}:{os.stat(path).st_size}" for path in r.files if path is not None
            )
            for r in self.records
        }

    def __repr__(self) -> str:
        return f"{self.name}({len(self)}, {self.size}, {inventories.fingerprint(self)[:16]})"


def three(pixels: np.ndarray) -> np.ndarray:
    """A picture with three channels: grey repeated."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels[..., :3]


def read(root: os.PathLike | str, layout: str, split: str, *, modalities, size) -> Any:
    """The 'train' or 'test' shots of a data set.

    Raises:
      InputError: naming what the layout expects and what is there instead; for a file whose
        name does not say who it shows; where a split is empty.
    """
    root = pathlib.Path(root)
    if layout == "npz":
        return Arrays(root, split, modalities, size)
    if not root.is_dir():
        raise errors.bad("config.data.root", str(root), "no such folder")
    found = LAYOUTS[layout](root, split, tuple(modalities))
    if not found:
        raise errors.InputError(f"{str(root)!r}: no picture in the {split} split of {layout}.")
    return Files(found, layout, modalities, size, third=layout == "rgbnt100")


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
    return sorted(p for p in where.iterdir() if p.suffix.lower() in PICTURES)


def parsed(path: pathlib.Path, pattern: str, layout: str) -> re.Match:
    match = re.match(pattern, path.name)
    if match is None:
        raise errors.InputError(
            f"{str(path)!r}: the name does not say who and where; {layout} expects {pattern!r}."
        )
    return match


def _bands(where: pathlib.Path, modalities: Sequence[str]) -> list[pathlib.Path | None]:
    """The folder of every band, None where there is none; at least one."""
    found = [
        next((where / n for n in BANDS[band] if (where / n).is_dir()), None) for band in modalities
    ]
    if not any(found):
        wanted = ", ".join(BANDS[band][0] for band in modalities)
        raise errors.InputError(f"{str(where)!r}: none of the band folders {wanted} is here.")
    return found


def _side_by_name(where: pathlib.Path, modalities: Sequence[str], strict: str = ""):
    """(name, a file a band) of every name; with `strict` each must be in every band."""
    bands = _bands(where, modalities)
    by_band = [{} if b is None else {p.stem: p for p in pictures(b)} for b in bands]
    names = sorted(set().union(*by_band))
    for name in names:
        files = tuple(band.get(name) for band in by_band)
        if strict and None in files:
            lost = modalities[files.index(None)]
            raise errors.InputError(f"{str(where)!r}: {name} has no picture in {lost}; {strict}.")
        yield name, files


def rgbnt201(root: pathlib.Path, split: str, modalities) -> list[Record]:
    where = folder(
        root, ("train_171", "train_*", "train") if split == "train" else ("test",), "rgbnt201"
    )
    found = []
    for name, files in _side_by_name(where, modalities, "rgbnt201 has all bands of a shot"):
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
            for name, files in _side_by_name(one, modalities, "msvr310 has all bands of a shot"):
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
        for name, files in _side_by_name(where, modalities):
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
            found[pathlib.Path(row["name"]).stem] = numbers
    return found


def who(name: str) -> int:
    match = re.match(WHO, name)
    return int(match[1]) if match else UNKNOWN


def one_shot(text: str, modalities: Sequence[str]) -> Record:
    """A shot named on the command line: a picture, or 'rgb=A.jpg,tir=B.jpg'.

    The other bands of a picture are looked for under its name in the band folders beside its
    own; what is not there counts as absent.
    """
    if "=" in text and not pathlib.Path(text).exists():
        named = dict(part.partition("=")[::2] for part in text.split(","))
        for band in named:
            if band not in modalities:
                raise errors.unknown("QUERY", band, modalities)
        found = [pathlib.Path(named[b]) if b in named else None for b in modalities]
    else:
        path = pathlib.Path(text)
        found = _siblings(path, modalities)
    for path in found:
        if path is not None and not path.is_file():
            raise errors.bad("QUERY", str(path), "no such file")
    name = next(path for path in found if path).stem
    return Record(name, tuple(found), who(name), -1, -1, "query")


def _siblings(path: pathlib.Path, modalities: Sequence[str]) -> list[pathlib.Path | None]:
    here = next((b for b in modalities if path.parent.name in BANDS.get(b, ())), None)
    if here is None:
        return [path, *[None] * (len(modalities) - 1)]
    folders = _bands(path.parent.parent, modalities)
    beside = [None if f is None else f / path.name for f in folders]
    return [p if p == path or p is not None and p.is_file() else None for p in beside]


def loose(root: pathlib.Path, modalities: Sequence[str]) -> list[Record]:
    """Every shot under a folder, whatever its layout: band folders where there are any, else
    each picture by itself in the first band.

    Raises:
      InputError: where there is no folder or no picture.
    """
    if not root.is_dir():
        raise errors.bad("--gallery", str(root), "no such folder")
    names = {name for band in modalities for name in BANDS.get(band, ())}
    holders = sorted({p.parent for p in root.rglob("*") if p.is_dir() and p.name in names})
    found = []
    for holder in holders:
        for name, paths in _side_by_name(holder, modalities):
            found.append(Record(name, paths, who(name), -1, -1, "gallery"))
    if not holders:
        alone = [None] * (len(modalities) - 1)
        paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in PICTURES)
        found = [Record(p.stem, (p, *alone), who(p.name), -1, -1, "gallery") for p in paths]
    if not found:
        raise errors.bad("--gallery", str(root), "holds no picture (.jpg, .png, .bmp)")
    return found


LAYOUTS: dict[str, Callable] = {
    "rgbnt201": rgbnt201,
    "rgbnt100": rgbnt100,
    "msvr310": msvr310,
    "market": market,
    "folder": native,
}


class Arrays:
    """Shots of one npz file."""

    NEEDED = ("images", "pid", "camid", "is_test")

    def __init__(self, path: pathlib.Path, split: str, modalities, size):
        if path.is_dir():
            files = sorted(path.glob("*.npz"))
            if len(files) != 1:
                raise errors.bad("config.data.root", str(path), f"holds {len(files)} npz files")
            path = files[0]
        try:
            with np.load(path, allow_pickle=False) as stored:
                lost = [name for name in self.NEEDED if name not in stored]
                if lost:
                    raise errors.InputError(f"{str(path)!r}: no array {', '.join(lost)}.")
                images, pid, camera, test = (stored[name] for name in self.NEEDED)
        except (OSError, ValueError) as error:
            if isinstance(error, errors.InputError):
                raise
            raise errors.InputError(f"{str(path)!r}: cannot be read as npz ({error}).") from error
        if images.dtype != np.uint8 or images.ndim not in (4, 5):
            expected = "images as uint8 [n m h w] or [n m h w 3]"
            raise errors.InputError(f"{str(path)!r}: expected {expected}, found {images.dtype} "
                                    f"{list(images.shape)}.")  # fmt: skip
        if images.shape[1] != len(modalities):
            expected = f"{str(path)!r} has {images.shape[1]} bands"
            raise errors.bad("config.data.modalities", tuple(modalities), expected)
        chosen = test.astype(bool) == (split == "test")
        if not chosen.any():
            raise errors.InputError(f"{str(path)!r}: no picture in the {split} split.")
        self._images, self.size = images[chosen], tuple(size)
        self.pids, self.cameras = pid[chosen].astype(int), camera[chosen].astype(int)
        self.modalities, self._path, self.split = tuple(modalities), path, split

    def __len__(self) -> int:
        return len(self.pids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = np.stack([identities.resized(three(b), self.size) for b in self._images[index]])
        return {
            "id": self._id(index), "image": image, "present": np.ones(len(image), bool),
            "pid": int(self.pids[index]), "camera": np.int32(self.cameras[index]),
            "scene": np.int32(-1), "attributes": {}, "index": np.int32(index),
        }  # fmt: skip

    def _id(self, index: int) -> str:
        return f"{self.pids[index]:06d}_c{self.cameras[index]}_{index:06d}"

    def roles(self) -> np.ndarray:
        return np.full(len(self), "both")

    def items(self) -> dict[str, str]:
        size = os.stat(self._path).st_size
        return {self._id(i): str(size) for i in range(len(self))}

    def __repr__(self) -> str:
        return f"npz({self.split}, {len(self)}, {inventories.fingerprint(self)[:16]})"
