"""Seconds of the full-size network on one picture, part by part, and of a training step.

python -m experiments.bench.speed --size=512x512
python -m experiments.bench.speed --step --config=moei

Random weights and pixels; costs do not depend on them. The matrix-product rate is taken
in the same process between the runs.
"""

import argparse
import importlib
import json
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from wxjax.evaluate import breakdown, flops
from wxjax.evaluate.stream import Way
from wxjax.recipes import benchmark, pictures
from wxjax.systems.moei.backbone import Backbone
from wxjax.train import allocator


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--config", default="dehazexl:paper")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=1, help="regions at a time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--step", action="store_true", help="forward and gradient, 8 x 128 x 128")
    return parser.parse_args()


def load(text: str) -> ConfigDict:
    """The config `NAME[:size]` of the folder configs, as it restores: nothing computed twice."""
    name, _, size = text.partition(":")
    config = importlib.import_module(f"configs.{name}").get_config(size or "default")
    config.model.remat = False
    return config


def image(config, asked: argparse.Namespace) -> dict:
    """The streamed picture, part by part."""
    width, height = benchmark.parse_size(asked.size)
    task, variables = pictures.blank(config)
    run = breakdown.Clocked(task, variables, config.tiles, Way(asked.batch, True))
    start = time.perf_counter()
    run.compile(run.cover(height, width), np.uint8)
    compiled = time.perf_counter() - start
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    made = breakdown.measure(run, picture, repeats=asked.repeats)
    print("\n".join(breakdown.lines(asked.size, made)))
    return {"size": asked.size, "compile_seconds": compiled, **made}


def step(config, asked: argparse.Namespace) -> dict:
    """Forward and gradient of the mean square of the bare network, kept memory and all."""
    net = Backbone(FrozenConfigDict(config.model.to_dict()))
    x = jnp.ones((8, config.model.region, config.model.region, 3)) / 2
    shapes = jax.eval_shape(net.init, jax.random.key(0), x)
    rng = np.random.default_rng(0)
    draw = lambda s: jnp.asarray(rng.standard_normal(s.shape, np.float32) * np.float32(0.02))
    weights = jax.tree.map(draw, shapes)
    loss = lambda weights: jnp.mean(net.apply(weights, x) ** 2)
    made = {}
    for name, fn in (("forward", loss), ("gradient", jax.grad(loss))):
        program = jax.jit(fn).lower(weights).compile()
        jax.block_until_ready(program(weights))
        spent, rates = [], [breakdown.product_rate()]
        for _ in range(asked.repeats):
            start = breakdown.clocks()
            jax.block_until_ready(program(weights))
            spent.append(breakdown.clocks() - start)
        rates.append(breakdown.product_rate())
        wall, busy = np.median(spent, 0)
        work = flops.count(fn, weights) / 1e9
        made[name] = {
            "flops_g": work,
            "seconds": float(wall),
            "cpu_seconds": float(busy),
            "cpu_efficiency": float(work / busy / np.max(rates, 0)[1]),
        }
    return made


def main() -> None:
    """Prints one JSON object."""
    asked = options()
    config = load(asked.config)
    config.model.dtype = asked.dtype
    if asked.step:
        allocator.keep_memory()  # as the command train does
    found = (step if asked.step else image)(config, asked)
    print(json.dumps({"load": os.getloadavg()[0], **found}))


if __name__ == "__main__":
    main()
