"""Cost of the routed system beside Dense-Unified alone, measured in turn."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from wxjax import errors, files
from wxjax.evaluate import breakdown, cost
from wxjax.ops import tile
from wxjax.systems import BenchOptions
from wxjax.task import Task


def run(
    task: Task,
    networks: Mapping[str, Any],
    tiles: Any,
    workdir: pathlib.Path,
    options: BenchOptions,
) -> dict:
    """Measures `networks`, variables by name, at every size; writes `cost.json`."""
    measured = []
    for size in options.size:
        width, height = parse_size(size)
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        batch = tile.cut(image, tile=tiles.tile, overlap=tiles.overlap)
        programs = {name: (task.predict, (x, batch)) for name, x in networks.items()}
        found = cost.compare(
            programs, size=(height, width), baseline="dense", warmups=1, repeats=options.repeats
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
        "method": f"1 warm-up and {options.repeats} measured runs a case, in turn; float32 unless "
        "the config says otherwise; operations count matrix products and convolutions, a "
        "multiply-add as two",
    }
    files.write_json(workdir / "cost.json", made)
    return made


def lines(made: Mapping[str, Any]) -> list[str]:
    """`cost.json` in words, a line per case."""
    out = []
    for case in made["cases"]:
        latency = case["latency_ms"]
        width, height = case["size"][1], case["size"][0]
        out.append(
            f"{case['name']:8s} {width}x{height}: {latency['median']:.0f} ms "
            f"({latency['low']:.0f}-{latency['high']:.0f}, n={latency['n']}), "
            f"{case['ms_per_mp']:.0f} ms/MP, {case['flops_g']:.1f} GFLOP, "
            f"{100 * case['efficiency']:.0f} % of the matrix-product rate"
        )
    for name, ratio in made["overhead"].items():
        out.append(f"{name}: {ratio['median']:.3f} ({ratio['low']:.3f}-{ratio['high']:.3f})")
    return out


def parts(
    task: Task, variables: Any, tiles: Any, workdir: pathlib.Path, options: BenchOptions
) -> dict:
    """Time and work of the streamed image part by part; writes `breakdown.json`.

    Returns:
      size -> what `breakdown.measure` returns.
    """
    made = {}
    for size in options.size:
        width, height = parse_size(size)
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        run = breakdown.Clocked(task, variables, tiles)
        made[size] = breakdown.measure(run, image, repeats=options.repeats)
    files.write_json(workdir / "breakdown.json", made)
    return made


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of '3840x2160'."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(int(x) for x in match.groups()):
        raise errors.bad("--size", text, "expected WIDTHxHEIGHT", "For example 3840x2160.")
    return int(match[1]), int(match[2])
