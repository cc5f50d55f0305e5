"""The full-size network on a CPU beside the published code: dehazexl_cpu.{json,md} here.

python -m experiments.bench.dehazexl                        # 512 to 3840x2160
python -m experiments.bench.dehazexl --sizes 7680x4320 --repeats=1   # minutes
python -m experiments.bench.dehazexl --starts               # compilation, cold and cached

Every row is a fresh process: it plans (`wxjax plan`), runs, and says both. Random weights and
pixels; costs do not depend on them. Wall and CPU seconds are medians of `repeats` calls of
compiled programs, everything between the picture in memory and the restored picture in memory
counted; peak is the process's, libraries, weights and compilation included. The published
code's seconds were taken on another machine of the class, whose float32 products in jax ran at
105 GFLOP per CPU-second and about 195 GFLOP/s on both cores; the second ratio of each pair is
in units of the matrix-product rate of the own run (the median of products timed between its
batches): what both would need at one rate.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.bench import speed
from wxjax import files
from wxjax.evaluate import breakdown, cost, plan
from wxjax.recipes import benchmark, pictures


class Official(NamedTuple):
    """The published code: wall and CPU seconds, peak MiB, where they are known."""

    wall_s: float
    cpu_s: float
    peak_mib: int


# At 3840x2160 with rows and columns counted apart, which the published code itself cannot.
OFFICIAL = {
    "256x256": Official(0.59, 1.16, 1_019),
    "512x512": Official(2.6, 4.8, 1_371),
    "1024x1024": Official(8.1, 14.5, 2_160),
    "2048x2048": Official(36, 66.7, 2_693),
    "3840x2160": Official(84, 151, 4_057),
}
RATE_THERE = 195.0, 105.0  # GFLOP of a matrix product there by wall and by CPU second
SIZES = ("512x512", "1024x1024", "2048x2048", "3840x2160")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--config", default="dehazexl:paper")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--memory", default="")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="experiments/bench/dehazexl_cpu.json")
    parser.add_argument("--row", help="one row here: its size")
    parser.add_argument("--starts", action="store_true")
    parser.add_argument("--start", help="only until the programs of this size are there")
    return parser.parse_args(argv)


def begin(asked: argparse.Namespace, size: str) -> tuple[breakdown.Clocked, int, int]:
    config = speed.load(asked.config)
    config.model.dtype = asked.dtype
    width, height = benchmark.parse_size(size)
    return breakdown.Clocked(*pictures.blank(config), config.tiles), height, width


def measure(asked: argparse.Namespace, size: str) -> dict:
    """One row, in this process."""
    run, height, width = begin(asked, size)
    budget = plan.parse_bytes(asked.memory) if asked.memory else plan.available()
    planned = plan.predict(run, height, width, np.uint8, budget)
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    made = breakdown.measure(run, picture, repeats=asked.repeats, dtype=asked.dtype)
    return {
        "size": size,
        "dtype": asked.dtype,
        "planned_mib": planned.memory.total >> 20,
        "planned_seconds": sum(planned.seconds.values()),
        "planned_parts": planned.seconds,
        "peak_mib": cost.peak_bytes() >> 20,
        "load": os.getloadavg()[0],
        **made,
    }


def start(asked: argparse.Namespace, size: str) -> dict:
    """Seconds until the programs of a size are there, counted from after the imports."""
    begun = time.perf_counter()
    run, height, width = begin(asked, size)
    ready = time.perf_counter()
    run.compile(run.cover(height, width), np.uint8)
    return {"weights_s": ready - begun, "compile_s": time.perf_counter() - ready}


def fresh(*arguments: str, **environment: str) -> dict:
    """What this program prints last, run anew."""
    command = (sys.executable, "-m", "experiments.bench.dehazexl", *arguments)
    ran = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | environment
    )
    return json.loads(ran.stdout.strip().splitlines()[-1])


def starts(asked: argparse.Namespace) -> dict:
    """The first call's compilation and a later one's, with a compilation cache of its own."""
    found = {}
    with tempfile.TemporaryDirectory() as cache:
        kept = dict(JAX_COMPILATION_CACHE_DIR=cache, JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0")
        for name in ("cold", "cached"):
            begun = time.perf_counter()
            found[name] = fresh(f"--start={asked.sizes[0]}", f"--config={asked.config}", **kept)
            found[name]["process_s"] = time.perf_counter() - begun
    return found


def table(rows: Sequence[Mapping]) -> str:
    """The rows in Markdown, beside the published code's."""
    text = (
        "| size | wall s | CPU-s | ms/MP | peak MiB | share of the rate, by wall and by CPU-s | "
        "over official: wall, CPU-s | the same at one rate | peak |\n"
    )
    text += "|---" * 9 + "|" + "\n"
    for row in sorted(rows, key=lambda row: row["parts"]["total"]["flops_g"]):
        whole = row["parts"]["total"]
        width, height = benchmark.parse_size(row["size"])
        wall, busy = whole["seconds"], whole["cpu_seconds"]
        ratios = "| | |"
        if row["size"] in OFFICIAL and row["dtype"] == "float32":
            theirs = OFFICIAL[row["size"]]
            raw = wall / theirs.wall_s, busy / theirs.cpu_s
            rates = row["matmul_gflops"], row["matmul_gflop_per_cpu_s"]
            even = [r * here / there for r, here, there in zip(raw, rates, RATE_THERE, strict=True)]
            memory = row["peak_mib"] / theirs.peak_mib
            ratios = f"{raw[0]:.2f}, {raw[1]:.2f} | {even[0]:.2f}, {even[1]:.2f} | {memory:.2f} |"
        text += (
            f"| {row['size']} | {wall:.3g} | {busy:.3g} | {1e9 * wall / (width * height):,.0f} | "
            f"{row['peak_mib']:,} | {100 * whole['efficiency']:.0f} %, "
            f"{100 * whole['cpu_efficiency']:.0f} % | {ratios}\n"
        )
    return text


def parts(rows: Sequence[Mapping]) -> str:
    """CPU-seconds of the parts and their share of the rate, in Markdown."""
    rows = sorted(rows, key=lambda row: row["parts"]["total"]["flops_g"])
    text = f"| part | {' | '.join(row['size'] for row in rows)} |\n|---|" + "---|" * len(rows)
    for name in rows[0]["parts"]:
        found = [row["parts"][name] for row in rows]
        share = lambda x: f", {100 * x['cpu_efficiency']:.0f} %" if x["flops_g"] else ""
        text += (
            f"\n| {name} | " + " | ".join(f"{x['cpu_seconds']:.3g}{share(x)}" for x in found) + " |"
        )
    return text + "\n"


def main() -> None:
    """Measures every size and writes after each of them."""
    asked = options()
    if asked.row:
        print(json.dumps(measure(asked, asked.row)))
    elif asked.start:
        print(json.dumps(start(asked, asked.start)))
    elif asked.starts:
        print(json.dumps(starts(asked), indent=1))
    else:
        path = pathlib.Path(asked.out)
        known = json.loads(path.read_text()) if path.exists() else []
        passed = [f"--{name}={getattr(asked, name)}" for name in ("config", "dtype", "repeats")]
        for size in asked.sizes:
            row = fresh(f"--row={size}", f"--memory={asked.memory}", *passed)
            key = size, asked.dtype
            known = [old for old in known if (old["size"], old["dtype"]) != key] + [row]
            files.write_json(path, known)
        text = table(known) + "\n" + parts(known)
        files.write_text(path.with_suffix(".md"), text)
        print(text)


if __name__ == "__main__":
    main()
