"""The source's A/B groups, its grid of 24 runs, and all fields, as changes of one config.

python -m experiments.tod.study groups --steps=400 --out=runs/tod_study
python -m experiments.tod.study grid --steps=400 --out=runs/tod_study --halve
python -m experiments.tod.study fields --steps=1500 --out=runs/tod_study

A variant that was trained for so many steps already is only measured again.
"""

import argparse
import itertools
import pathlib

import jax
import numpy as np

from configs import tod
from wxjax import commands, files, systems
from wxjax.systems.tod import measure as measuring
from wxjax.systems.tod import quantise, recipe, training

SOURCE = {
    "model.field": "mlp", "model.film": False, "model.time_code": "harmonic",
    "model.time_harmonics": 4, "model.xy_code": "origin", "model.xy_harmonics": 4,
    "model.layers": 6, "training.patch_size": 0,
}  # fmt: skip
PATCH = {"training.patch_size": 32, "training.loss_ssim_w": 0.2}
ENCODER = {"model.use_baseline_encoder": True, "model.be_channels": 32}
GROUPS = {
    "baseline": SOURCE,
    "encoder": {**SOURCE, **ENCODER},
    "patch": {**SOURCE, **PATCH},
    "hybrid": {**SOURCE, **ENCODER, **PATCH},
}
GRID = {
    f"p{p}_ssim{w}_c{c}_d{d}": {
        **SOURCE, **ENCODER, "training.patch_size": p, "training.loss_ssim_w": w,
        "model.be_channels": c, "model.be_downsample": d,
    }
    for p, w, c, d in itertools.product((16, 32), (0.1, 0.2, 0.5), (16, 32), (1, 2))
}  # fmt: skip
FILM = {"training.patch_size": 0, "model.layers": 2, "model.residual_net": True}
FIELDS = {
    "mlp": SOURCE,
    **{
        name: {**FILM, "model.field": name}
        for name in ("encoder", "dense", "hash2d", "hash3d", "sunfield")
    },
    "dense_hour": {**FILM, "model.field": "dense", "model.time_code": "harmonic"},
    "dense_fp16": {**FILM, "model.field": "dense", "model.quant": "fp16"},
    "dense_int8": {**FILM, "model.field": "dense", "model.quant": "int8"},
    "basis_grid": {**FILM, "model.field": "basis", "model.basis_fit": "grid"},
    "sunfield_closed": {},
}
STUDIES = {"groups": GROUPS, "grid": GRID, "fields": FIELDS}


def configure(changes: dict, steps: int, batch: int):
    config = tod.get_config()
    config.training.batch_size = batch
    stage = config.stages.field
    stage.num_steps, stage.optimizer.warmup_steps = steps, min(50, steps // 10)
    stage.checkpoint.every_steps = stage.evaluate.every_steps = steps
    stage.optimizer.learning_rate = 2e-3
    for name, value in changes.items():
        place = config
        *path, last = name.split(".")
        for part in path:
            place = place[part]
        place[last] = value
    return config


def one(name: str, changes: dict, steps: int, batch: int, out: pathlib.Path) -> dict:
    """Trains one variant, or takes what stands, and measures it at given and hidden hours."""
    config = configure(changes, steps, batch)
    day, split = training.data(config)
    variables = training.train(config, day, split, out / f"{name}_{steps}")
    model = training.fitted(config, day).model.to_dict()
    task = systems.make(training.fitted(config, day))
    measure, rounded = recipe.measures(task, day)
    parts = recipe.parts(split, {**model, "time_code": "sun"})  # the same days for all
    rows = measuring.rows({name: measuring.Renderer(task, variables)}, parts, measure, rounded)
    found = {part: measuring.means(rows, name, part) for part in parts}
    return {
        "name": name,
        "steps": steps,
        "parameters": int(sum(np.size(x) for x in jax.tree.leaves(variables["params"]))),
        "bytes": recipe.stored(model, quantise.pack(config.model.quant, variables)),
        **{part: found[part]["day"] | {"pooled": found[part]["pooled"]} for part in found},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=tuple(STUDIES))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/tod_study"))
    parser.add_argument(
        "--halve", action="store_true", help="the better half goes on, twice as far"
    )
    args = parser.parse_args()
    commands.use_compilation_cache()
    variants, steps, rows = dict(STUDIES[args.what]), args.steps, []
    while variants:
        found = [one(n, c, steps, args.batch, args.out) for n, c in variants.items()]
        rows += found
        files.write_json(args.out / f"{args.what}.json", rows)
        if not args.halve or len(variants) == 1:
            break
        best = sorted(found, key=lambda row: -row["hidden"]["psnr"])[: len(found) // 2]
        variants, steps = {row["name"]: variants[row["name"]] for row in best}, 2 * steps
    for row in rows:
        scores = ", ".join(f"{k} {v:.4f}" for k, v in row["hidden"].items())
        print(f"{row['name']:24s} {row['steps']:6d} steps, {row['parameters']:7d}: {scores}")


if __name__ == "__main__":
    main()
