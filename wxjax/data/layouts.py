"""The field's usual folders, recognised by the names of their sub-folders."""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Callable

from wxjax import errors
from wxjax.data import names, passed, records
from wxjax.data.formats.kinds import SUFFIXES, note
from wxjax.data.records import Record

_CLEAN = ("gt", "target", "clear", "clean", "groundtruth", "norain")


def _same(stem: str) -> str:
    return stem


def _renamed(stem: str) -> str:
    """RainDrop: 0_rain -> 0_clean. Rain100: rain-001 -> norain-001."""
    if stem.endswith("_rain"):
        return stem.removesuffix("_rain") + "_clean"
    return re.sub(r"^rain-?(?=\d)", "norain-", stem)


def _scene(stem: str) -> str:
    """Several degraded pictures of one: 1400_1, 0001_0.8_0.2, im_0001_s80_a04."""
    short = re.sub(r"_s\d+_a\d+$", "", stem)
    return short if short != stem else stem.split("_")[0]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A pair of sub-folders, and how a degraded file's stem leads to its clean file's."""

    raw: str  # a regular expression on the folder's name in lower case
    clean: tuple[str, ...]
    degradation: str | None  # None: read from the path
    stems: tuple[Callable[[str], str], ...] = (_same,)


RULES = (
    Rule(r"input", _CLEAN, None, (_same, _renamed)),  # plain, AllWeather, RainDrop, Rain100
    Rule(r"hazy|haze", _CLEAN, "haze", (_same, _scene)),  # RESIDE: ITS, OTS, SOTS
    Rule(r"cloud_l\d", ("clear",), "haze"),  # 8KDehaze, four levels a scene
    Rule(r"rainy|rain", _CLEAN, "rain", (_same, _renamed)),  # Rain100L/H
    Rule(r"in", ("gt",), "rain", (_same, _scene)),  # Outdoor-Rain
    Rule(r"data", ("gt",), "rain", (_same, _renamed)),  # RainDrop
    Rule(r"synthetic|snow", _CLEAN, "snow"),  # Snow100K, CSD
)
_WORDS = (  # "train" is not rain
    (r"haz|fog", "haze"),
    (r"(?<!t)rain", "rain"),
    (r"snow|csd", "snow"),
)


def pictures(folder: os.PathLike | str) -> dict[str, pathlib.Path]:
    """Stem in Unicode's composed form (NFC) -> file, sorted by stem.

    Raises:
      InputError: where two pictures share a stem (a.png beside a.jpg).
    """
    found: dict[str, pathlib.Path] = {}
    for path in sorted(pathlib.Path(folder).iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            stem = names.stem(path)
            if stem in found:
                raise errors.InputError(
                    f"{folder}: {found[stem].name} and {path.name} share a stem; expected "
                    "one picture a stem. Cure: remove or rename one."
                )
            found[stem] = path
    return dict(sorted(found.items()))


def left_out(root: os.PathLike | str) -> collections.Counter[str]:
    """Files in the folders of pairs that are no picture read here, and those in sub-folders.

    By ending; pictures below a folder of pairs, which are not read, as `pictures in FOLDER`.
    """
    found: collections.Counter[str] = collections.Counter()
    places = {
        side
        for folder in _folders(pathlib.Path(root), 3)
        for _, raw, clean in _pairs(folder)
        for side in (raw, clean)
        if side is not None
    }
    for place in sorted(places):
        for path in sorted(place.rglob("*")):
            if not path.is_file() or any(p[0] == "." for p in path.relative_to(place).parts):
                continue
            suffix = path.suffix.lower()
            if suffix not in SUFFIXES:
                found[suffix or "without ending"] += suffix not in passed.NOTES
            elif path.parent != place and path.parent not in places:
                found[f"in {path.parent.relative_to(root).as_posix()}/"] += 1
    return +found


def scan(root: os.PathLike | str, *, leaks: str = "exclude") -> list[Record]:
    """Records of every pair of folders known by name in `root` or up to three levels below.

    Pairs are made by stem, never by order. Paths are relative to `root`; sizes are not
    read; `split` is empty where no folder's name tells it.

    Args:
      leaks: 'exclude' leaves out of training the scenes of Outdoor-Rain that its Test1
        also holds (im_0301 to im_0350); 'keep' keeps them.

    Raises:
      InputError: where nothing is recognised, or a partner is missing (listed).
    """
    root = pathlib.Path(root)
    if leaks not in ("exclude", "keep"):
        raise errors.unknown("leaks", leaks, ("exclude", "keep"))
    if not root.is_dir():
        raise errors.bad("data", str(root), "expected a folder or a meta.jsonl")
    found, missing = [], []
    for folder in _folders(root, 3):
        for rule, raw, clean in _pairs(folder):
            rows, lost = _match(root, rule, raw, clean)
            found += rows
            missing += lost
    if missing:
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if missing[8:] else "")
        raise errors.InputError(
            f"{root}: {len(missing)} pictures without partner: {shown}. Pairs go by file stem. "
            "Cure: add or remove them."
        )
    if not found:
        raise errors.InputError(
            f"{root}: no pictures recognised; expected input/ with gt/ (or input/ alone), a "
            "meta.jsonl, or one of the layouts in docs/data.md, with pictures that end in "
            f"{note()}." + _passed(root)
        )
    passed.say(root, left_out(root))
    found = _distinct(found)
    return [row for row in found if leaks == "keep" or not known_leak(row)]


def _passed(root: pathlib.Path) -> str:
    """What lies there instead, where the folders are right."""
    line = passed.line(left_out(root))
    return f" {line[0].upper()}{line[1:]}." if line else ""


def known_leak(record: Record) -> bool:
    """Training pictures of Outdoor-Rain whose clean scene is in Test1 as well.

    https://github.com/IGITUGraz/WeatherDiffusion/issues/3
    """
    match = re.fullmatch(r"im_(\d{4})(_.*)?", pathlib.PurePath(record.path_raw).stem)
    return record.split == "train" and bool(match) and 301 <= int(match[1]) <= 350


def _folders(root: pathlib.Path, depth: int):
    yield root
    if depth:
        for path in sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != "."):
            yield from _folders(path, depth - 1)


def _pairs(folder: pathlib.Path):
    """The rules that a folder's children satisfy; input/ alone is one, without truth."""
    inside = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    for rule in RULES:
        for name, raw in inside.items():
            if re.fullmatch(rule.raw, name):
                clean = next((inside[c] for c in rule.clean if c in inside), None)
                if clean is not None or name == "input":
                    yield rule, raw, clean


def _match(root: pathlib.Path, rule: Rule, raw: pathlib.Path, clean: pathlib.Path | None):
    dirty, truths = pictures(raw), pictures(clean) if clean else {}
    used, rows, missing = set(), [], []
    folded = _folded(truths)
    for stem, path in dirty.items():
        truth = next((s(stem) for s in rule.stems if s(stem) in truths), None)
        if truth is None:  # names that differ in letter case only, where that is clear
            truth = next((folded[s(stem).casefold()] for s in rule.stems
                          if s(stem).casefold() in folded), None)  # fmt: skip
            truth = None if truth in dirty or truth in used else truth
        if clean is not None and truth is None:
            missing.append(str(path.relative_to(root)))
            continue
        used.add(truth)
        rows.append(_record(root, rule, path, truths.get(truth), truth or stem))
    if _scene not in rule.stems:
        missing += [str(p.relative_to(root)) for s, p in truths.items() if s not in used]
    return rows, missing


def _folded(stems) -> dict[str, str]:
    """Stem without letter case -> stem, of those that no other is equal to but for case."""
    counts = collections.Counter(stem.casefold() for stem in stems)
    return {stem.casefold(): stem for stem in stems if counts[stem.casefold()] == 1}


def _record(
    root: pathlib.Path, rule: Rule, path: pathlib.Path, truth: pathlib.Path | None, scene: str
) -> Record:
    place = path.parent.parent.relative_to(root)
    named = re.sub(r"[^\w.-]+", "-", "-".join(place.parts))
    level = re.fullmatch(r"cloud_L(\d)", path.parent.name, re.IGNORECASE)
    return Record(
        id="-".join(part for part in (named, level and level[0], path.stem) if part),
        dataset=root.resolve().name or "folder",
        scene_id="-".join(part for part in (named, scene) if part),
        split=_split(place.parts),
        path_raw=path.relative_to(root).as_posix(),
        path_gt=truth and truth.relative_to(root).as_posix(),
        degradation=rule.degradation or _weather(path, root),
        severity=int(level[1]) / 4 if level else None,
        capture_id=level and level[0],
    )


def _split(parts: tuple[str, ...]) -> str:
    """From the innermost folder that names one: train, val_router, test_a, Test1 ..."""
    for part in reversed(parts):
        name = part.lower()
        if name in records.SPLITS:
            return name
        for split in ("train", "test", "val"):
            if re.match(rf"{split}([_\-\d]|idation|ing|$)", name):
                return split
    return ""


def _weather(path: pathlib.Path, root: pathlib.Path) -> str:
    """From the folders' names; in AllWeather's train/ from the file's."""
    for part in reversed((root.resolve().name, *path.parent.relative_to(root).parts)):
        for word, kind in _WORDS:
            if re.search(word, part.lower()):
                return kind
    stem = path.stem.lower()
    if re.search(r"(^|_)rain$|^rain-?\d", stem) or re.fullmatch(r"im_\d{4}_s\d+_a\d+", stem):
        return "rain"
    allweather = (root / "test_snow").is_dir() or root.resolve().name.lower() == "allweather"
    return "snow" if allweather else "unknown"


def _distinct(rows: list[Record]) -> list[Record]:
    """Two sub-folders can hold one stem; their parent's name then joins the id."""
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.id] = seen.get(row.id, 0) + 1
    return [
        dataclasses.replace(row, id=row.path_raw.replace("/", "-")) if seen[row.id] > 1 else row
        for row in rows
    ]
