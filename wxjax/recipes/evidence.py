"""The end of every recipe: rows on the test split, a summary, samples, a page."""

import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from wxjax import errors, files
from wxjax.data import sources
from wxjax.evaluate import runner, schema, stamp, summary
from wxjax.nn import experts
from wxjax.recipes import stages
from wxjax.report import build
from wxjax.systems.moei.task import EXPERTS
from wxjax.train.provenance import commit, key, read
from wxjax.train.provenance import of as provenance

__all__ = ["commit", "key", "provenance"]  # for the recipes
ROUTES = ("dense", *EXPERTS)


def mixed(config: ConfigDict) -> Any:
    """The set with two degradations an image, None where the data has none."""
    try:
        return sources.open(config.data, "mixed")
    except errors.InputError:
        return None


def system(config: ConfigDict, workdir: pathlib.Path) -> tuple[Any, dict, dict]:
    """The trained system of a workdir: its task, variables and provenance."""
    return read(stages.stage_config(config, "system", "router"), workdir / "system")


def test(config: ConfigDict, workdir: pathlib.Path, source: Any, mixed: Any = None) -> None:
    """Rows, summary, samples and report of the workdir's system on `source`.

    Skipped where the rows of the same weights and data stand already.
    """
    task, variables, about = system(config, workdir)
    stamp.once(
        config,
        workdir,
        lambda: evaluate(config, workdir, task, variables, about, source, mixed),
        {
            "weights_hash": stamp.weights_hash(workdir),
            "data_hash": sources.fingerprint(source),
            "protocol": config.evaluate.protocol,
        },
    )
    build.build(workdir)


def evaluate(
    config: ConfigDict,
    out: pathlib.Path,
    task: Any,
    variables: Any,
    about: dict,
    source: Any,
    mixed: Any = None,
    *,
    weights_from: pathlib.Path | None = None,
) -> dict:
    """Writes `per_image.jsonl`, `samples/` and `summary.json` under `out`; returns the summary."""
    restorer = runner.Restorer(task, variables, config.tiles)
    wanted = pick_samples(source, config.evaluate.samples)
    samples = Samples(out / "samples", wanted)
    options = dict(routes=ROUTES, protocol=config.evaluate.protocol, top2=config.evaluate.top2)
    found = runner.run(
        task, restorer, source, total=len(source), label="test", keep=samples.keep, **options
    )
    rows = list(found.rows)
    if mixed is not None and len(mixed):
        relabelled = ({**mixed[i], "kind": "mixed"} for i in range(len(mixed)))
        rows += runner.run(
            task, restorer, relabelled, total=len(mixed), label="mixed", **options
        ).rows
    for row in rows:
        schema.validate("row", row)
    files.write_jsonl(out / "per_image.jsonl", rows)
    samples.finish()
    made = summary.summarize(
        rows,
        settings=settings(config),
        meta=meta(config, variables, about, source, weights_from or out / "system"),
        cost=files.read_json(out / "cost.json") if (out / "cost.json").exists() else None,
    )
    files.write_json(out / "summary.json", made)
    return made


def settings(config: ConfigDict) -> dict:
    """How the figures were taken; the unified evaluation setting."""
    tiles = config.tiles
    return {
        "tile": tiles.tile,
        "overlap": tiles.overlap,
        "blend": tiles.blend,
        "mode": tiles.mode,
        "tta": False,
        "crop_border": config.evaluate.crop_border,
        "hmean": "a = clip((PSNR - 10) / 25, 0, 1), b = 1 - LPIPS, 2ab / (a + b)",
    }


def meta(config: ConfigDict, variables: Any, about: dict, source: Any, where) -> dict:
    """Identity of the run: model, hashes, sizes, training budget."""
    sizes = sum(np.size(x) for x in jax.tree.leaves(variables["params"]["backbone"]))
    deltas = experts.flatten(variables["params"]["experts"])
    shells = sum(np.size(x[0]) for name, x in deltas.items() if "/shell" in name)
    owned = sum(np.size(x[0]) for x in deltas.values())
    gate = sum(np.size(x) for x in jax.tree.leaves(variables["params"]["router"]))
    steps = {name: config.stages[name].num_steps for name in ("dense", "part1", "part2")}
    batch, count = config.data.batch_size, len(EXPERTS)
    together = steps["dense"] + count * (steps["part1"] + steps["part2"])
    return {
        **about,
        "backbone": f"DehazeXL-{'x'.join(str(d) for d in config.model.dims)}",
        "weights_hash": files.sha256(pathlib.Path(where) / "weights.npz"),
        "test_hash": sources.fingerprint(source),
        "protocol": config.evaluate.protocol,
        "calibration": {name: float(x) for name, x in variables["calibration"].items()},
        "parameters": {
            "backbone": sizes,
            "shell_per_expert": shells,
            "shell_share_percent": 100 * shells / sizes,
            "owned_per_expert": owned,
            "router": gate,
        },
        "budget": {
            "presentations_dense": batch * together,
            "presentations_experts": batch * together,
            "dense_steps": together,
            "shared_steps": steps["dense"],
            "expert_steps_each": steps["part1"] + steps["part2"],
            "batch_size": batch,
        },
    }


def pick_samples(source: Any, count: int) -> set[str]:
    """Ids spread over the source, as many of each degradation as of any other."""
    groups: dict[int, list[str]] = {}
    for i in range(len(source)):
        example = source[i]
        groups.setdefault(int(example["degradation"]), []).append(example["id"])
    each = max(1, count // max(1, len(groups)))
    chosen = set()
    for ids in groups.values():
        chosen |= {ids[int(j)] for j in np.linspace(0, len(ids) - 1, each).round()}
    return chosen


class Samples:
    """Stores before/after pictures of chosen examples for the report."""

    VARIANTS = ("input", "dense", "actual", "target")

    def __init__(self, folder: pathlib.Path, wanted: set[str]):
        self._folder, self._wanted, self._entries = folder, wanted, []

    def keep(self, name: str, found: dict) -> None:
        if name not in self._wanted:
            return
        rows = found["rows"]
        actual = rows["actual"]
        entry = {
            "id": name,
            "degradation": actual["degradation"],
            "severity": actual["severity"],
            "psnr_input": rows["input"]["metrics"].get("psnr"),
            "psnr_actual": actual["metrics"].get("psnr"),
            "route": actual["moe"]["route"],
            "pmax": actual["moe"]["pmax"],
        }
        for variant in self.VARIANTS:
            if found.get(variant) is not None:
                file = f"{len(self._entries):02d}-{variant}.png"
                with files.atomic(self._folder / file) as handle:
                    Image.fromarray(found[variant]).save(handle, format="PNG")
                entry[variant] = file
        self._entries.append(entry)

    def finish(self) -> None:
        files.write_json(self._folder / "samples.json", self._entries)
