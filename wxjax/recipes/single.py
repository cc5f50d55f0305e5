"""One network without a router: trains, measures on the test split, reports.

A stage whose product stands in the workdir is skipped; a killed run goes on where it was.
"""

import functools
import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import files, systems
from wxjax.data import embedded, sources
from wxjax.evaluate import runner, schema, stamp, summary
from wxjax.recipes import evidence, pictures, stages
from wxjax.report import build
from wxjax.train import provenance, weights


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains what is missing, measures it on the test split, and writes the report."""
    if config.data.name == "embedded":
        print(embedded.describe())
    load = functools.cache(lambda split: sources.open(config.data, split))
    folder = workdir / "system"
    if not (folder / "weights.json").exists():
        name = config.stage
        side = config.model.get("region", config.data.crops[0])
        check = stages.validation_batch(load("val_router"), side=side, count=24)
        variables = stages.train(
            stages.stage_config(config, name, name),
            load("train"),
            workdir / name,
            name=name,
            validation=check,
        )
        weights.save(folder, variables, provenance.of(config, load("train")))
    test(config, workdir, load("test"))


def system(config: ConfigDict, workdir: pathlib.Path) -> tuple[Any, dict, dict]:
    """The network of a workdir: its task, variables and provenance."""
    staged = stages.stage_config(config, config.stage, config.stage)
    return provenance.read(staged, workdir / "system")


def test(config: ConfigDict, workdir: pathlib.Path, source: Any) -> None:
    """Rows, summary and report on `source`; skipped where they stand already."""
    stamp.once(
        config,
        workdir,
        lambda: evaluate(config, workdir, workdir, source),
        {
            "weights_hash": stamp.weights_hash(workdir),
            "data_hash": sources.fingerprint(source),
            "protocol": config.evaluate.protocol,
        },
    )
    build.build(workdir)


def evaluate(config: ConfigDict, workdir: pathlib.Path, out: pathlib.Path, source: Any) -> dict:
    """Measures the input and the restored picture; the summary, written under `out`."""
    task, variables, about = system(config, workdir)
    restorer = runner.Restorer(task, variables, config.tiles)
    rows = runner.run(
        task,
        restorer,
        source,
        routes=("dense",),
        actual=False,
        protocol=config.evaluate.protocol,
        total=len(source),
        label="test",
    ).rows
    for row in rows:
        schema.validate("row", row)
    files.write_jsonl(out / "per_image.jsonl", rows)
    name, dims = systems.load(config.system).title, config.model.get("dims", ())
    meta = {
        **about,
        "model": name,
        "backbone": "-".join([name, *["x".join(map(str, dims))] * bool(dims)]),
        "weights_hash": files.sha256(workdir / "system" / "weights.npz"),
        "test_hash": sources.fingerprint(source),
        "protocol": config.evaluate.protocol,
        "parameters": {"backbone": sum(np.size(x) for x in jax.tree.leaves(variables["params"]))},
    }
    made = summary.summarize(rows, settings=evidence.settings(config), meta=meta)
    # The criteria are those of a routed system; without a router most have no answer.
    made["criteria"] = [entry for entry in made["criteria"] if entry["met"] is not None]
    files.write_json(out / "summary.json", made)
    return made


def restorer(config: ConfigDict, workdir: pathlib.Path):
    """The network as a function of one float32 picture, and its settings."""
    task, variables, about = system(config, workdir)
    program = pictures.program(task, variables, config.tiles)

    def restore(rgb):
        restored, said = program(rgb)
        costs = ("latency_ms", "ms_per_mp", "mem_gb")
        return restored, {"route": "dense", **{name: float(said[name]) for name in costs}}

    restore.takes_uint8 = getattr(program, "takes_uint8", False)
    restore.fit = getattr(program, "fit", None)
    return restore, {
        "model": systems.load(config.system).title,
        **record(config, workdir, about),
    }


def record(config: ConfigDict, workdir: pathlib.Path, about: dict) -> dict[str, Any]:
    """What a restored picture depends on, for its record."""
    tiles = config.tiles
    return {
        "weights_hash": files.sha256(workdir / "system" / "weights.npz"),
        "commit": about.get("commit"),
        "tile": tiles.tile,
        "overlap": tiles.overlap,
        "blend": tiles.blend,
        "mode": tiles.mode,
        "average": bool(tiles.get("average", False)),
    }
