"""What bfloat16 costs in PSNR and brings in time: the full-size network in both, on one picture.

python -m experiments.bench.dehazexl_bf16 --size=512x512

Weights are drawn so that every layer passes a signal on (normal, 1 / fan-in), the decoder's
output scaled to a strong haze's correction: a standard deviation of 0.1. Sums and norms,
softmax and the residual with the input stay in float32; products take bfloat16.
"""

import argparse
import json

import jax
import numpy as np
from skimage import data

from experiments.bench import speed
from wxjax import systems
from wxjax.evaluate import breakdown, stream
from wxjax.evaluate.stream import Way
from wxjax.recipes import benchmark

DTYPES = ("float32", "bfloat16")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--config", default="dehazexl:paper")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def weights(task, seed: int = 0):
    """Random weights under which a signal keeps its size."""
    rng = np.random.default_rng(seed)

    def draw(path, x):
        name = path[-1].key
        noise = rng.standard_normal(x.shape, np.float32)
        if name == "kernel":
            return np.float32(np.prod(x.shape[:-1]) ** -0.5) * noise
        return np.float32(name == "scale") + np.float32(0.1) * noise

    shapes = jax.eval_shape(task.init, jax.random.key(0), {})
    return jax.tree_util.tree_map_with_path(draw, shapes)


def main() -> None:
    """Prints one JSON object."""
    asked = options()
    width, height = benchmark.parse_size(asked.size)
    picture = data.astronaut()[:height, :width].astype(np.float32) / 255
    runs = {}
    for dtype in DTYPES:
        config = speed.load(asked.config)
        config.model.dtype = dtype
        task = systems.make(config)
        runs[dtype] = stream.Streamer(task, weights(task), config.tiles, Way(4, True))
    corrections = {name: run(picture)[0] - picture for name, run in runs.items()}
    scale = 0.1 / corrections["float32"].std()
    eight = lambda x: np.round(np.clip(picture + scale * x, 0, 1) * 255)
    a, b = (eight(corrections[name]) for name in DTYPES)
    gap = float(np.mean((a - b) ** 2)) / 255**2
    spent = {name: [] for name in runs}
    for _ in range(asked.repeats):
        for name, run in runs.items():
            begun = breakdown.clocks()
            run(picture)
            spent[name].append(breakdown.clocks() - begun)
    exact = float(np.mean(scale**2 * (corrections["float32"] - corrections["bfloat16"]) ** 2))
    cost = lambda psnr: 10 * np.log10(1 + exact / 10 ** (-psnr / 10))
    found = {
        "size": asked.size,
        "psnr_between_8_bit_pictures_db": -10 * np.log10(gap) if gap else None,
        "psnr_between_unrounded_db": -10 * np.log10(exact),
        "relative_error": (exact**0.5) / 0.1,
        "levels_apart_at_most": float(np.abs(a - b).max()),
        "lost_at_25_30_35_db": [float(cost(psnr)) for psnr in (25, 30, 35)],
        "seconds": {name: np.median(x, 0).tolist() for name, x in spent.items()},
        "rates": {name: breakdown.product_rate(name).tolist() for name in DTYPES},
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
