"""meta.jsonl: one picture pair a line, validated with the line and the rule in the message."""

import dataclasses
import hashlib
import math
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from wxjax import errors, files

DEGRADATIONS = ("haze", "rain", "snow")  # the order of task.DEGRADATIONS; tested
SPLITS = ("train", "val", "val_router", "val_calib", "test", "mixed")
SHARES = {"train": 0.8, "val_router": 0.05, "val_calib": 0.05, "test": 0.1}


@dataclasses.dataclass(frozen=True)
class Record:
    """One line of meta.jsonl.

    Attributes:
      id: unique in the file.
      scene_id: pictures of one scene or sequence share it, and share a split.
      split: one of SPLITS; empty only for folders that say nothing about it.
      path_raw, path_gt: degraded and clean file, relative to the file's folder or
        absolute; path_gt is None where no truth exists.
      w, h: pixels of both; None only in records that no file was read for.
      degradation: 'haze', 'rain', 'snow', 'mixed' or 'unknown'.
      severity: 0 to 1, or None.
      capture_id: camera, shot or level of the same scene.
      hash: 64-bit perceptual hash of the clean picture (of the raw one without truth), 16 hex
        digits.
      tile_cfg: {"tile": pixels, "overlap": pixels} asked for at inference, or None.
      crop_border: pixels left out of metrics on each side.
    """

    id: str
    dataset: str
    scene_id: str
    split: str
    path_raw: str
    path_gt: str | None = None
    w: int | None = None
    h: int | None = None
    degradation: str = "unknown"
    severity: float | None = None
    capture_id: str | None = None
    hash: str | None = None
    tile_cfg: Mapping[str, int] | None = None
    crop_border: int = 0


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _share(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and math.isfinite(value) and 0 <= value <= 1)


def _tiles(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, Mapping) or set(value) != {"tile", "overlap"}:
        return False
    return _whole(value["tile"], 1) and _whole(value["overlap"], 0)


_KINDS = (*DEGRADATIONS, "mixed", "unknown")
RULES = {
    "id": (_text, "expected a text that is not empty"),
    "dataset": (_text, "expected a text that is not empty"),
    "scene_id": (_text, "expected a text that is not empty"),
    "split": (lambda v: v in SPLITS, f"expected one of {', '.join(SPLITS)}"),
    "path_raw": (_text, "expected the path of a picture"),
    "path_gt": (lambda v: v is None or _text(v), "expected the path of a picture, or null"),
    "w": (lambda v: _whole(v, 1), "expected a whole number of pixels, at least 1"),
    "h": (lambda v: _whole(v, 1), "expected a whole number of pixels, at least 1"),
    "degradation": (lambda v: v in _KINDS, f"expected one of {', '.join(_KINDS)}"),
    "severity": (_share, "expected a number from 0 to 1, or null"),
    "capture_id": (lambda v: v is None or _text(v), "expected a text, or null"),
    "hash": (
        lambda v: v is None or (isinstance(v, str) and re.fullmatch("[0-9a-f]{16}", v)),
        "expected 16 hexadecimal digits (64-bit perceptual hash), or null",
    ),
    "tile_cfg": (_tiles, 'expected {"tile": pixels, "overlap": pixels}, or null'),
    "crop_border": (lambda v: _whole(v, 0), "expected a whole number of pixels, at least 0"),
}
OPTIONAL = ("path_gt", "severity", "capture_id", "hash", "tile_cfg", "crop_border")


def parse(row: Mapping, where: str) -> Record:
    """A checked record of one line; `where` is 'FILE:LINE'.

    Raises:
      InputError: naming where, field, value and rule.
    """
    for name in row:
        if name not in RULES:
            raise errors.InputError(f"{where}: {errors.unknown('field', name, RULES)}")
    for name, (rule, words) in RULES.items():
        if name not in row:
            if name not in OPTIONAL:
                raise errors.InputError(f"{where}: field {name!r} is missing: {words}.")
        elif not rule(row[name]):
            raise errors.InputError(f"{where}: {errors.bad(name, row[name], words)}")
    return Record(**row)


def read(path: os.PathLike | str) -> list[Record]:
    """Every record of a meta.jsonl, in order.

    Raises:
      InputError: for a wrong line, an id that comes twice, a scene in two splits.
    """
    path = pathlib.Path(path)
    rows, lines = [], {}
    scenes: dict[tuple[str, str], tuple[str, str]] = {}
    for number, row in _numbered(path):
        where = f"{path}:{number}"
        if not isinstance(row, Mapping):
            raise errors.InputError(f"{where}: expected a JSON object, got {row!r}.")
        record = parse(row, where)
        if record.id in lines:
            raise errors.InputError(
                f"{where}: id={record.id!r}: expected to be unique; line {lines[record.id]} has it."
            )
        lines[record.id] = number
        key = (record.dataset, record.scene_id)
        split, first = scenes.setdefault(key, (record.split, where))
        if split != record.split and "mixed" not in (split, record.split):
            raise errors.InputError(
                f"{where}: split={record.split!r}: scene {record.scene_id!r} is in {split!r} at "
                f"{first}; expected one split a scene. Cure: wxjax prepare splits by scene."
            )
        rows.append(record)
    if not rows:
        raise errors.InputError(f"{path}: no record in it; expected one JSON object a line.")
    return rows


def _numbered(path: pathlib.Path):
    """files.read_jsonl skips blank lines; messages need the line in the file."""
    rows = iter(files.read_jsonl(path))
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.strip():
            yield number, next(rows)


def write(path: os.PathLike | str, rows: Iterable[Record]) -> None:
    """Checked by the same rules, then written whole or not at all."""
    plain = [dataclasses.asdict(record) for record in rows]
    for number, row in enumerate(plain, 1):
        parse(row, f"{path}:{number}")
    files.write_jsonl(path, plain)


def split_of(scene: str, shares: Mapping[str, float] = SHARES) -> str:
    """A split for a scene by its name alone, so that adding pictures moves none."""
    point = int.from_bytes(hashlib.sha256(scene.encode()).digest()[:8]) / 2**64
    total = sum(shares.values())
    for name, share in shares.items():
        point -= share / total
        if point < 0:
            return name
    return name
