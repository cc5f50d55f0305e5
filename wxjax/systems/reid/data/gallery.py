"""Shots read from files: data sets by layout, one npz, a query, a folder of anything."""

import functools
import os
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.data import images, inventories, passed
from wxjax.data.formats.kinds import note
from wxjax.data.sources import read_uint8
from wxjax.systems.reid.data import identities, layouts
from wxjax.systems.reid.data.layouts import BANDS, PICTURES, Record

FLAT = 16  # levels
UNKNOWN = -2  # an identity that no name tells
WHO = r"(\d+)_(?:c|s)"  # of all layouts' file names


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
    found = layouts.LAYOUTS[layout](root, split, tuple(modalities))
    if not found:
        raise errors.InputError(f"{str(root)!r}: no picture in the {split} split of {layout}.")
    passed.say(root, passed.count(root))
    _say_flat(found, modalities)
    return Files(found, layout, modalities, size, third=layout == "rgbnt100")


def _say_flat(found: Sequence[Record], modalities: Sequence[str]) -> None:
    """Warns of a band whose 16-bit counts would be a handful of the 256 levels that are read."""
    for band, path in zip(modalities, found[0].files, strict=False):
        if path is None or images.header(path).bits <= 8:
            continue
        levels = len(np.unique(read_uint8(path)))
        if levels <= FLAT:
            print(
                f"warning: {band}: {str(path)!r} holds more than 8 bits and is {levels} of 256 "
                "levels when read; stretch its counts to the full range first.",
                file=sys.stderr,
            )


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
    folders = layouts.bands(path.parent.parent, modalities)
    found = []
    for folder in folders:
        named = {} if folder is None else {layouts.stem(p): p for p in layouts.pictures(folder)}
        same = path if folder == path.parent else None if folder is None else folder / path.name
        beside = same if same == path or same is not None and same.is_file() else None
        found.append(beside or named.get(layouts.stem(path)))
    return found


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
        for name, paths in layouts.side_by_name(holder, modalities):
            found.append(Record(name, paths, who(name), -1, -1, "gallery"))
    if not holders:
        alone = [None] * (len(modalities) - 1)
        paths = sorted(
            p for p in root.rglob("*") if p.suffix.lower() in PICTURES and p.name[0] != "."
        )
        found = [Record(p.stem, (p, *alone), who(p.name), -1, -1, "gallery") for p in paths]
    if not found:
        raise errors.bad("--gallery", str(root), f"holds no picture ({note()})")
    passed.say(root, passed.count(root))
    return found


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
