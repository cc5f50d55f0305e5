"""Random-access sources of examples: folders, meta.jsonl, TFDS, the embedded photographs.

An example is a dict: `id`, `scene`, `dataset`, `kind` (text: haze, rain, snow, mixed or
unknown), `image` uint8 [h w 3], `target` alike where truth exists, `degradation` int32
(0 haze, 1 rain, 2 snow, -1 else), `severity` float32 (nan unknown), `index` int32.
"""

import importlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from wxjax import errors
from wxjax.data import embedded as photographs
from wxjax.data import images, layouts, names, records
from wxjax.data.inventories import check_unchanged as check_unchanged
from wxjax.data.inventories import fingerprint as fingerprint
from wxjax.data.inventories import inventory as inventory
from wxjax.data.records import Record

NAMES = ("embedded", "path", "tfds")
BUILDERS = {"allweather": "wxjax.data.builders.allweather"}


def open(config: Any, split: str):
    """The source that a run's `config.data` names, for one split.

    Reads `name` ('embedded', 'path' or 'tfds'; default embedded), `root`, `builder`
    (tfds), `seed`, `crop`, `count` (embedded training set), `eval_crop`, `eval_count` (its
    other splits; `router_crop`, `router_count` and so on where one differs), `degradations`
    (a selection; all where absent) and `leaks`.

    Raises:
      InputError: for an unknown name or split, or an empty selection.
    """

    def get(key: str, default: Any = None) -> Any:
        return getattr(config, key, default)

    name = get("name", "embedded")
    if name == "embedded":
        train = split == "train"
        source = embedded(
            split,
            seed=get("seed", 0),
            crop=get("crop", 192) if train else get(f"{split}_crop", get("eval_crop", 256)),
            count=get("count") if train else get(f"{split}_count", get("eval_count")),
        )
    elif name in ("path", "tfds"):
        if not get("root"):
            raise errors.bad("config.data.root", get("root"), f"expected a folder for {name!r}")
        if name == "path":
            source = within(path(get("root"), leaks=get("leaks", "exclude")), split)
        else:
            source = tfds(get("builder", "allweather"), split, get("root"))
    else:
        raise errors.unknown("config.data.name", name, NAMES)
    kinds = tuple(get("degradations") or ())
    return only(source, kinds) if kinds and split != "mixed" else source


def embedded(split: str, *, seed: int = 0, crop: int = 192, count: int | None = None):
    """Photographs that installed packages bring, degraded by the project's own synthesis."""
    return photographs.Embedded(split, seed=seed, crop=crop, count=count)


class Pairs:
    """Examples read from the files that records name."""

    def __init__(self, rows: Sequence[Record], root: os.PathLike | str, name: str = "pairs"):
        self.rows = list(rows)
        self.root = pathlib.Path(root)
        self.name = name

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        example = {
            **labels(row.degradation, row.severity, index),
            "id": row.id,
            "scene": row.scene_id,
            "dataset": row.dataset,
            "image": read_uint8(names.on_disk(self.root / row.path_raw)),
        }
        if row.path_gt is not None:
            example["target"] = read_uint8(names.on_disk(self.root / row.path_gt))
        check_sizes(row, example)
        return example

    def items(self) -> dict[str, str]:
        """id -> what tells one file from another: paths and their sizes in bytes."""
        return {row.id: self._token(row) for row in self.rows}

    def _token(self, row: Record) -> str:
        files = [path for path in (row.path_raw, row.path_gt) if path is not None]
        try:
            return " ".join(
                f"{path}:{os.stat(names.on_disk(self.root / path)).st_size}" for path in files
            )
        except OSError as error:
            raise errors.InputError(
                f"{row.id}: {error.filename!r}: {error.strerror}. Cure: restore the file or "
                "remove its record."
            ) from error

    def __repr__(self) -> str:
        return f"{self.name}({len(self)}, {fingerprint(self)[:16]})"


def labels(kind: str, severity: float | None, index: int) -> dict[str, Any]:
    known = records.DEGRADATIONS.index(kind) if kind in records.DEGRADATIONS else -1
    return {
        "kind": kind,
        "degradation": np.int32(known),
        "severity": np.float32(np.nan if severity is None else severity),
        "index": np.int32(index),
    }


def read_uint8(path: os.PathLike | str) -> UInt8[np.ndarray, "h w 3"]:
    """sRGB codes; 16-bit and float files are rounded, transparency is dropped.

    Raises:
      InputError: as `images.read`; for several pages; for floats beyond 0..1, whose scale
        would be another in every picture.
    """
    picture = images.single(images.read(path))
    if picture.span != (0.0, 1.0):
        low, high = picture.span
        cure = "Scale all of them alike first."
        raise errors.bad(repr(str(path)), f"{low:g} to {high:g}", "expected values 0 to 1", cure)
    rgb = images.to_rgb(picture)
    return np.rint(rgb * 255).astype(np.uint8)


def check_sizes(row: Record, example: Mapping[str, Any]) -> None:
    """Nothing is resized silently.

    Raises:
      InputError: where target and image differ in size, or the record says another.
    """
    h, w = example["image"].shape[:2]
    if "target" in example and example["target"].shape[:2] != (h, w):
        th, tw = example["target"].shape[:2]
        raise errors.InputError(
            f"{row.id}: {row.path_gt} is {tw}x{th}, {row.path_raw} is {w}x{h}: expected one size. "
            "Cure: nothing is resized silently; crop or resize the pair yourself."
        )
    if row.w is not None and row.h is not None and (row.w, row.h) != (w, h):
        raise errors.InputError(
            f"{row.id}: {row.path_raw} is {w}x{h}, its record says {row.w}x{row.h}. "
            "Cure: run wxjax prepare again."
        )


def folder(root: os.PathLike | str, *, leaks: str = "exclude") -> Pairs:
    """Every pair of a folder in one of the known layouts; `input/` alone has no targets."""
    return Pairs(layouts.scan(root, leaks=leaks), root, "folder")


def jsonl(path: os.PathLike | str, split: str | None = None) -> Pairs:
    """The records of a meta.jsonl, all or of one split; paths are relative to its folder."""
    source = Pairs(records.read(path), pathlib.Path(path).parent, "jsonl")
    return source if split is None else within(source, split)


def path(place: os.PathLike | str, *, leaks: str = "exclude") -> Pairs:
    """What `--data` takes: a meta.jsonl, a folder that holds one, or a known layout.

    Raises:
      InputError: where there is nothing, or nothing known.
    """
    place = pathlib.Path(place)
    if place.is_file():
        if place.suffix != ".jsonl":
            raise errors.bad("data", str(place), "expected a folder or a .jsonl file")
        return jsonl(place)
    if (place / "meta.jsonl").is_file():
        return jsonl(place / "meta.jsonl")
    return folder(place, leaks=leaks)


def within(source: Pairs, split: str) -> Pairs:
    """The part of one split, whole scenes only.

    Where the data name no split, scenes are shared out by a hash of their names (80 %
    train, 5 % val_router, 5 % val_calib, 10 % test). Where they name 'val' alone, its
    scenes are halved into val_router and val_calib; where they name 'train' and 'test'
    alone, both come out of train (5 % each). 'val' is val_router where absent.

    Raises:
      InputError: for an unknown split, or one that comes out empty.
    """
    if split not in records.SPLITS:
        raise errors.unknown("split", split, records.SPLITS)
    named = {row.split for row in source.rows}
    halves = {"val_router": 0.5, "val_calib": 0.5}
    corner = {"train": 0.9, **{name: 0.05 for name in halves}}

    def part(row: Record) -> str:
        key = f"{row.dataset}/{row.scene_id}"
        if not row.split:
            return records.split_of(key)
        if row.split == "val" and not named & set(halves):
            return records.split_of(key, halves) if split != "val" else "val"
        if row.split == "train" and not named & {"val", *halves}:
            return records.split_of(key, corner)
        return row.split

    wanted = "val_router" if split == "val" and "val" not in named else split
    rows = [row for row in source.rows if part(row) == wanted]
    if not rows:
        raise errors.bad("split", split, f"no example of {source.name} is in it")
    return Pairs(rows, source.root, f"{source.name}:{split}")


class Selection:
    """Some examples of another source; `index` counts anew."""

    def __init__(self, source: Any, indices: Iterable[int]):
        self.source = source
        self.indices = [int(i) for i in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.source[self.indices[index]], "index": np.int32(index)}

    def items(self) -> dict[str, str]:
        every = list(self.source.items().items())
        return dict(every[i] for i in self.indices)

    def kinds(self) -> list[str]:
        every = kinds(self.source)
        return [every[i] for i in self.indices]

    def severities(self) -> np.ndarray:
        return severities(self.source)[self.indices]

    def __repr__(self) -> str:
        return f"selection({len(self)}, {fingerprint(self)[:16]})"


def kinds(source: Any) -> list[str]:
    """The degradation of every example, without reading pictures where the source can."""
    if isinstance(source, Pairs):
        return [row.degradation for row in source.rows]
    return source.kinds() if hasattr(source, "kinds") else [e["kind"] for e in source]


def severities(source: Any) -> np.ndarray:
    """float32, nan where unknown; without reading pictures where the source can."""
    if isinstance(source, Pairs):
        values = [np.nan if row.severity is None else row.severity for row in source.rows]
    elif hasattr(source, "severities"):
        values = source.severities()
    else:
        values = [source[i]["severity"] for i in range(len(source))]
    return np.asarray(values, np.float32)


def only(source: Any, degradations: Sequence[str] | str):
    """The examples of some degradations.

    Raises:
      InputError: for an unknown degradation, or where none is left.
    """
    wanted = (degradations,) if isinstance(degradations, str) else tuple(degradations)
    for kind in wanted:
        if kind not in (*records.DEGRADATIONS, "mixed", "unknown"):
            raise errors.unknown("degradation", kind, (*records.DEGRADATIONS, "mixed", "unknown"))
    found = [i for i, kind in enumerate(kinds(source)) if kind in wanted]
    if not found:
        raise errors.bad("degradations", wanted, f"no example of {source!r} has one of them")
    return Selection(source, found)


def spread(source: Any, count: int):
    """At most `count` examples, evenly over the whole; 0 is all of them."""
    if not 0 < count < len(source):
        return source
    picks = np.unique(np.linspace(0, len(source) - 1, count).round().astype(int))
    return Selection(source, picks.tolist())


def tfds(builder: str, split: str, data_dir: os.PathLike | str):
    """A prepared TFDS data set with `image` and `target`, read without TensorFlow."""
    if builder not in BUILDERS:
        raise errors.unknown("config.data.builder", builder, BUILDERS)
    return importlib.import_module(BUILDERS[builder]).source(split, data_dir)
