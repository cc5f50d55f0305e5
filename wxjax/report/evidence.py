"""What a workdir holds for a report, and what it lacks."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence

from wxjax import errors, files

PICTURES = ("input", "dense", "actual", "target")


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The files of a run as plain values.

    Attributes:
      summary: `summary.json`, or None.
      cost: `cost.json`, or None.
      training: stage -> points {"step", "loss"}, in the order of their folders' age.
      samples: entries of `samples/samples.json` whose pictures exist, each picture
        name replaced by its path.
      rows: number of lines of `per_image.jsonl`.
      missing: one sentence for everything that is not there, with its cure.
    """

    summary: Mapping | None
    cost: Mapping | None
    training: Mapping[str, Sequence[Mapping]]
    samples: Sequence[Mapping]
    rows: int
    missing: Sequence[str]


def read(workdir: pathlib.Path) -> Evidence:
    """Reads all there is; a missing piece is named, a broken one raises.

    Raises:
      InputError: where `workdir` is no folder, or a file in it is not valid JSON.
    """
    workdir = pathlib.Path(workdir)
    if not workdir.is_dir():
        raise errors.bad("workdir", str(workdir), "expected a folder that a run left behind")
    missing: list[str] = []

    def optional(name, cure, reader):
        if (workdir / name).is_file():
            return reader(workdir / name)
        missing.append(f"no {name}: {cure}")
        return None

    summary = optional("summary.json", "run wxjax evaluate", files.read_json)
    rows = optional("per_image.jsonl", "run wxjax evaluate", files.read_jsonl)
    cost = optional("cost.json", "run wxjax bench", files.read_json)
    losses = training(workdir)
    if not losses:
        missing.append("no metrics.jsonl of any stage: run wxjax train in this workdir")
    samples = _samples(workdir, missing)
    if summary is not None:
        missing += [f"no {what}" for what in _unmeasured(summary)]
    return Evidence(summary, cost, losses, samples, len(rows or []), tuple(missing))


def training(workdir: pathlib.Path) -> dict[str, list[dict]]:
    """Loss over steps of every stage under a workdir, oldest first."""
    paths = sorted(workdir.rglob("metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    stages = {}
    for path in paths:
        points = []
        for row in files.read_jsonl(path):
            loss = next((row[k] for k in ("train/loss", "loss") if k in row), None)
            if isinstance(loss, int | float) and math.isfinite(loss):
                points.append({"step": row["step"], "loss": loss})
        name = path.parent.relative_to(workdir).as_posix()
        if points:
            stages["train" if name == "." else name] = points
    return stages


def _samples(workdir: pathlib.Path, missing: list[str]) -> list[dict]:
    folder = workdir / "samples"
    if not (folder / "samples.json").is_file():
        missing.append("no samples/samples.json: run wxjax evaluate with samples")
        return []
    samples = []
    for entry in files.read_json(folder / "samples.json"):
        pictures = {k: folder / entry[k] for k in PICTURES if entry.get(k)}
        gone = [path.name for path in pictures.values() if not path.is_file()]
        if gone:
            missing.append(f"sample {entry['id']}: no picture {', '.join(gone)}")
        kept = {k: path for k, path in pictures.items() if path.is_file()}
        if len(kept) >= 2:
            samples.append({k: v for k, v in entry.items() if k not in PICTURES} | kept)
    return samples


def _unmeasured(summary: Mapping) -> list[str]:
    """Parts of a summary that its rows could not fill."""
    variants = summary.get("variants", {})
    experts = [v for v in ("dense", "dehaze", "derain", "desnow") if v not in variants]
    curves = summary.get("curves", {})
    gaps = []
    if not any(entry.get("macro", {}).get("psnr") for entry in variants.values()):
        gaps.append("truth for these images: quality was not measured, only routing")
    elif experts:
        gaps.append(f"rows of {', '.join(experts)}: Oracle and mis-routing need them")
    if not curves.get("severity"):
        gaps.append("severity curves: they need input and actual rows with severities")
    return gaps
