"""A folder of pictures made into a checked meta.jsonl, with the audit beside it."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.progress import track

from wxjax import errors, files
from wxjax.data import audit, layouts, records, severity, sources
from wxjax.data.records import Record


def prepare(
    root: os.PathLike | str,
    out: os.PathLike | str,
    *,
    dataset: str | None = None,
    degradation: str | None = None,
    shares: Mapping[str, float] = records.SHARES,
    hamming: int = 4,
    max_shift: float = 1.0,
    on_leak: str = "refuse",
    progress: bool = True,
) -> dict[str, Any]:
    """Scans a known layout and writes `out/meta.jsonl` and `out/audit.json`.

    Folders that name no split are split by scene, by a hash of the scene's name, and
    scenes that are near-duplicates share a split. Where the folders name the splits,
    near-duplicates across them are refused, or dropped from training. Pairs off by more
    than `max_shift` pixels are listed, and left out of every split but the test ones.

    Args:
      dataset, degradation: in place of what the folders' names tell.
      shares: of the scenes, a split, where the folders name none.
      hamming: near-duplicates differ in at most so many of 64 bits.
      on_leak: 'refuse', or 'drop' the copy that is not in test.

    Returns:
      The audit, as written: counts, splits, misaligned pairs, leaks, failures.

    Raises:
      InputError: for a layout not known, unreadable or unequal pictures (all listed),
        leaks under 'refuse'; audit.json is written first, meta.jsonl is not.
    """
    if on_leak not in ("refuse", "drop"):
        raise errors.unknown("on_leak", on_leak, ("refuse", "drop"))
    root, out = pathlib.Path(root).resolve(), pathlib.Path(out).resolve()
    changes = {"dataset": dataset, "degradation": degradation}
    changes = {name: value for name, value in changes.items() if value is not None}
    found = [dataclasses.replace(row, **changes) for row in layouts.scan(root)]
    rows, alignments, failures = _measure(found, root, progress)

    leaks = []
    if not any(row.split for row in rows):
        rows = _assign(rows, shares, hamming)
    else:
        rows = [
            row if row.split else dataclasses.replace(row, split=records.split_of(_scene(row)))
            for row in rows
        ]
        leaks = _leaks(rows, hamming)
    dropped = {leak["drop"] for leak in leaks}
    misaligned = _misaligned(rows, alignments, max_shift)
    shifted = {pair["id"] for pair in misaligned if pair["split"] not in ("test", "mixed")}
    kept = [row for row in rows if row.id not in dropped | shifted]
    report = {
        "root": str(root),
        "pictures": len(found),
        "kept": len(kept),
        **_counts(kept),
        "max_shift": max_shift,
        "hamming": hamming,
        "misaligned": misaligned,
        "leaks": leaks,
        "failures": failures,
        "left_out": layouts.left_out(root),
    }
    files.write_json(out / "audit.json", report)
    _refuse(report, out, on_leak)
    records.write(out / "meta.jsonl", [_relocated(row, root, out) for row in kept])
    return report


def _misaligned(rows: Sequence[Record], alignments: Mapping, max_shift: float) -> list[dict]:
    return [
        {"id": row.id, "split": row.split, **alignments[row.id]._asdict()}
        for row in rows
        if row.id in alignments and alignments[row.id].off > max_shift
    ]


def _counts(rows: Sequence[Record]) -> dict[str, dict[str, int]]:
    return {
        "splits": dict(collections.Counter(row.split for row in rows)),
        "degradations": dict(collections.Counter(row.degradation for row in rows)),
    }


def _measure(rows: Sequence[Record], root: pathlib.Path, progress: bool):
    """Sizes, hashes, severities, alignments; what cannot be read is collected, not fatal."""
    measured, alignments, failures = [], {}, []
    pairs = sources.Pairs(rows, root)
    hashes: dict[str, str] = {}
    numbers: Iterable[int] = range(len(rows))
    for i in track(numbers, "Auditing pictures") if progress else numbers:
        row = rows[i]
        try:
            example = pairs[i]
        except errors.InputError as error:
            failures.append({"id": row.id, "reason": str(error)})
            continue
        key = row.path_gt or row.path_raw
        if key not in hashes:
            hashes[key] = audit.perceptual_hash(example.get("target", example["image"]))
        if "target" in example:
            alignments[row.id] = audit.align(example["image"], example["target"])
        strength = row.severity
        if strength is None and row.degradation in severity.ESTIMATES:
            strength = round(severity.estimate(example["image"], row.degradation), 4)
        h, w = example["image"].shape[:2]
        measured.append(dataclasses.replace(row, w=w, h=h, hash=hashes[key], severity=strength))
    return measured, alignments, failures


def _scene(row: Record) -> str:
    return f"{row.dataset}/{row.scene_id}"


def _assign(rows: Sequence[Record], shares: Mapping[str, float], hamming: int) -> list[Record]:
    """Scenes that look alike are one scene; a scene goes where its first name sends it."""
    first = {_scene(row): _scene(row) for row in rows}

    def find(scene: str) -> str:
        while first[scene] != scene:
            scene = first[scene]
        return scene

    names = [_scene(row) for row in rows]
    for i, j, _ in audit.near_duplicates([row.hash or "0" for row in rows], names, hamming=hamming):
        a, b = sorted((find(names[i]), find(names[j])))
        first[b] = a
    return [
        dataclasses.replace(row, split=records.split_of(find(_scene(row)), shares)) for row in rows
    ]


def _leaks(rows: Sequence[Record], hamming: int) -> list[dict[str, Any]]:
    """Near-duplicate pairs across splits; `drop` names the one that is not test data."""
    rank = {name: place for place, name in enumerate(records.SPLITS)}
    hashes = [row.hash or "0" for row in rows]
    splits = ["test" if row.split == "mixed" else row.split for row in rows]
    found = []
    for i, j, bits in audit.near_duplicates(hashes, splits, hamming=hamming):
        a, b = sorted((rows[i], rows[j]), key=lambda row: rank[row.split])
        found.append(
            {"ids": [a.id, b.id], "splits": [a.split, b.split], "bits": bits, "drop": a.id}
        )
    return found


def _refuse(report: Mapping[str, Any], out: pathlib.Path, on_leak: str) -> None:
    if failures := report["failures"]:
        first = "; ".join(failure["reason"].rstrip(".") for failure in failures[:3])
        raise errors.InputError(
            f"{len(failures)} of {report['pictures']} pictures cannot be used: {first}. "
            f"All are listed in {out / 'audit.json'}."
        )
    if report["leaks"] and on_leak == "refuse":
        shown = "; ".join(
            f"{leak['ids'][0]} ({leak['splits'][0]}) and {leak['ids'][1]} ({leak['splits'][1]})"
            for leak in report["leaks"][:3]
        )
        raise errors.InputError(
            f"{len(report['leaks'])} near-duplicates across splits: {shown}. All are listed in "
            f"{out / 'audit.json'}. Cure: remove them, or pass on_leak=drop."
        )
    if not report["kept"]:
        raise errors.InputError(
            f"no pair is left: {len(report['misaligned'])} are off by more than "
            f"{report['max_shift']} px. Cure: align them, or raise max_shift."
        )


def _relocated(row: Record, root: pathlib.Path, out: pathlib.Path) -> Record:
    """Paths from the folder of meta.jsonl, so that both can be moved together."""

    def seen(path: str) -> str:
        return pathlib.PurePath(os.path.relpath(root / path, out)).as_posix()

    return dataclasses.replace(
        row, path_raw=seen(row.path_raw), path_gt=None if row.path_gt is None else seen(row.path_gt)
    )


def summary(report: Mapping[str, Any]) -> str:
    """One line for the terminal."""
    splits = ", ".join(f"{name} {count}" for name, count in sorted(report["splits"].items()))
    worst = max((pair["off"] for pair in report["misaligned"]), default=np.nan)
    shifted = f", worst {worst:.1f} px" if report["misaligned"] else ""
    return (
        f"{report['kept']} of {report['pictures']} pictures kept ({splits}); "
        f"{len(report['misaligned'])} misaligned{shifted}; {len(report['leaks'])} leaks"
    )
