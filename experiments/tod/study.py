"""The source's A/B groups and its grid of 24 runs, as changes of one config.

python -m experiments.tod.study groups --steps=400 --out=runs/tod_study
python -m experiments.tod.study grid --steps=400 --out=runs/tod_study --halve
"""

import argparse
import itertools
import pathlib

from configs import tod
from wxjax import files, settings
from wxjax.recipes import daytime

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
    """Trains and measures one variant; at once where it is done."""
    config = configure(changes, steps, batch)
    workdir = out / f"{name}_{steps}"
    settings.save(config, workdir)
    daytime.run(config, workdir)
    summary = files.read_json(workdir / "daytime.json")
    found = summary["variants"]["model"]
    return {
        "name": name,
        "steps": steps,
        "parameters": summary["parameters"],
        **{part: found[part]["day"] | {"pooled": found[part]["pooled"]} for part in found},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("groups", "grid"))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/tod_study"))
    parser.add_argument(
        "--halve", action="store_true", help="the better half goes on, twice as far"
    )
    args = parser.parse_args()
    variants, steps, rows = dict(GROUPS if args.what == "groups" else GRID), args.steps, []
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
