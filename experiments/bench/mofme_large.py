"""What MoFME takes on large pictures: experiments/bench/mofme_large.json, a line a call.

python -m experiments.bench.mofme_large --mode=global --size=3840x2160

A fresh process a row; random weights of `configs/mofme.py`, 'default' or 'paper' size.
'global' streams the whole image in pieces (tiles of 512, overlap 64); 'local' takes windows
of 240 at a stride of 120, as the authors do, in the same tile code.
"""

import argparse
import json
import pathlib
import time

import numpy as np

from configs.mofme import get_config
from experiments.bench.mofme import cpu_seconds, product_rate
from wxjax import files
from wxjax.evaluate import cost
from wxjax.recipes import pictures

TILES = {
    "global": dict(tile=512, overlap=64, blend="hann", mode="global", batch_size=1),
    "local": dict(tile=240, overlap=120, blend="uniform", mode="local", batch_size=4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=TILES, default="global")
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--config", choices=("default", "paper"), default="default")
    out = pathlib.Path("experiments/bench/mofme_large.json")
    parser.add_argument("--out", type=pathlib.Path, default=out)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    config = get_config(arguments.config)
    config.tiles.update(TILES[arguments.mode])
    task, variables = pictures.blank(config)
    run = pictures.program(task, variables, config.tiles)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    before = cost.peak_memory_gb()
    start, clock = cpu_seconds(), time.perf_counter()
    restored, said = run(image)
    row = {
        "config": arguments.config,
        "mode": arguments.mode,
        "size": [width, height],
        "cpu_s_with_compilation": cpu_seconds() - start,
        "wall_s": time.perf_counter() - clock,
        "latency_ms": float(said["latency_ms"]),
        "peak_gib": cost.peak_memory_gb(),
        "before_gib": before,
        "gflop_per_cpu_s_of_products": product_rate(),
    }
    assert restored.shape == image.shape
    rows = files.read_json(arguments.out) if arguments.out.exists() else []
    same = lambda r: all(r[key] == row[key] for key in ("config", "mode", "size"))
    files.write_json(arguments.out, [*(r for r in rows if not same(r)), row])
    print(json.dumps(row))


if __name__ == "__main__":
    main()
