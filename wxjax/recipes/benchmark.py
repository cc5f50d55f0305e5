"""Cost of the routed system beside Dense-Unified alone, measured in turn."""

import pathlib
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files
from wxjax.evaluate import breakdown, cost
from wxjax.nn import experts
from wxjax.ops import tile
from wxjax.recipes import evidence, single


def run(config: ConfigDict, workdir: pathlib.Path, sizes: Sequence[str], repeats: int) -> dict:
    """Measures every size (`WIDTHxHEIGHT`) and writes `cost.json`."""
    task, networks = contestants(config, workdir)
    measured = []
    for size in sizes:
        width, height = parse_size(size)
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        batch = tile.cut(image, tile=config.tiles.tile, overlap=config.tiles.overlap)
        programs = {name: (task.predict, (x, batch)) for name, x in networks.items()}
        found = cost.compare(
            programs, size=(height, width), baseline="dense", warmups=1, repeats=repeats
        )
        measured.append((size, found))
    made = {
        "device": cost.device_name(),
        "matmul_gflops": max(found["matmul_gflops"] for _, found in measured),
        "cases": [case for _, found in measured for case in found["cases"]],
        "overhead": {
            f"{name}_{size}": ratio
            for size, found in measured
            for name, ratio in found["overhead"].items()
        },
        "method": f"1 warm-up and {repeats} measured runs a case, in turn; float32 unless the "
        "config says otherwise; operations count matrix products and convolutions, a "
        "multiply-add as two",
    }
    files.write_json(workdir / "cost.json", made)
    return made


def contestants(config: ConfigDict, workdir: pathlib.Path) -> tuple[Any, dict[str, Any]]:
    """The task, and variables by name: Dense-Unified alone, and the routed system if any."""
    if config.recipe in ("single", "video", "infrared"):
        task, variables, _ = single.system(config, workdir)
        return task, {"dense": jax.device_put(variables)}
    task, variables, _ = evidence.system(config, workdir)
    shared = variables["params"]["backbone"]
    deltas = experts.flatten(variables["params"]["experts"])
    plain = experts.unflatten({name: x for name, x in deltas.items() if "/shell" not in name})
    dense = {"params": {"backbone": experts.choose(shared, plain, 0)}}
    return task, {"dense": jax.device_put(dense), "actual": jax.device_put(variables)}


def parts(config: ConfigDict, workdir: pathlib.Path, sizes: Sequence[str], repeats: int) -> dict:
    """Time and work of the streamed image part by part; writes `breakdown.json`.

    Returns:
      size -> what `breakdown.measure` returns.
    """
    task, variables, _ = evidence.system(config, workdir)
    made = {}
    for size in sizes:
        width, height = parse_size(size)
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        run = breakdown.Clocked(task, variables, config.tiles)
        made[size] = breakdown.measure(run, image, repeats=repeats)
    files.write_json(workdir / "breakdown.json", made)
    return made


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of '3840x2160'."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(int(x) for x in match.groups()):
        raise errors.bad("--size", text, "expected WIDTHxHEIGHT", "For example 3840x2160.")
    return int(match[1]), int(match[2])
