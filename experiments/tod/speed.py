"""Milliseconds of one 1920x1080 frame: a baked basis, the closed forms, the fields.

python -m experiments.tod.speed --out=experiments/tod/results/speed.json
"""

import argparse
import time

import jax
import numpy as np
from ml_collections import FrozenConfigDict

from configs import tod
from wxjax import files
from wxjax.recipes import stages
from wxjax.systems.tod import basis as bases
from wxjax.systems.tod import measure as measuring
from wxjax.systems.tod import task as tods

HOURS = np.arange(0, 24, 2.0)


def view(height: int, width: int, **changes):
    """A task with random frames and weights: costs do not depend on either."""
    config = tod.get_config()
    config.model.update(learn_sun=False, **changes)
    staged = stages.stage_config(config, "field", "field")
    model = FrozenConfigDict(staged.model.to_dict())
    frames = np.random.default_rng(0).integers(0, 256, (len(HOURS), height, width, 3), np.uint8)
    variables = tods.init(model, jax.random.key(0), {"frames": frames, "hours": HOURS})
    return tods.make(staged), variables


def timed(call, repeats: int) -> dict:
    """Median and 95th percentile in ms, after two calls to warm up."""
    for _ in range(2):
        call()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        spent.append(1e3 * (time.perf_counter() - start))
    return {"median": float(np.median(spent)), "p95": float(np.quantile(spent, 0.95))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    width, height = (int(n) for n in args.size.split("x"))
    rng = np.random.default_rng(0)
    rows = {}
    for rank in (8, 15):
        codes = rng.integers(-127, 128, (rank, height, width, 3), np.int8)
        bits = np.full(rank, 8, np.int8)
        curves, scales = rng.normal(size=(96, rank)), np.full((rank, 3), 1e-3)
        made = bases.Basis(np.arange(96) / 4, np.float32(curves), codes,
                           scales.astype(np.float32), bits, 24.0)  # fmt: skip
        show = bases.program(made)
        rows[f"basis, {rank} pictures"] = timed(lambda show=show: show(7.3), args.repeats)
    for name, changes in {
        "sunfield, closed forms": dict(residual_net=False),
        "sunfield with its network": dict(residual_net=True),
        "mlp, ReLU 64x6 (source)": dict(field="mlp", film=False, layers=6, time_code="harmonic"),
    }.items():
        task, variables = view(height, width, **changes)
        render = measuring.Renderer(task, variables)
        rows[name] = timed(lambda render=render: render(7.3), max(3, args.repeats // 6))
        coords = rng.integers(0, min(height, width), (4096, 2))
        rows[name]["pixels_4096"] = timed(
            lambda render=render, c=coords: render.pixels(7.3, c), args.repeats
        )["median"]
    device = jax.devices()[0].device_kind
    files.write_json(args.out, {"size": args.size, "device": device, "rows": rows})
    for name, row in rows.items():
        print(name, {key: round(value, 2) for key, value in row.items()})


if __name__ == "__main__":
    main()
