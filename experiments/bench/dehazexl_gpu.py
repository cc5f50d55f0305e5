"""The full-size network on a GPU: experiments/bench/dehazexl_gpu.{json,md} in one go.

python -m experiments.bench.dehazexl_gpu                                  # about 10 minutes
python -m experiments.bench.dehazexl_gpu --sizes=256x256 --config=dehazexl:tiny --out=DIR   # a try

Every row is a fresh process, for peak memory is counted from its start: dtype float32 or
bfloat16; attention over all tokens in blocks by XLA ('exact'), hashed from 4096 tokens on as
published ('auto'), or cuDNN's kernel (16 bits only). Random weights and pixels; costs do not
depend on them. The rate is that of an 8192 x 8192 product of the row's dtype in the same
process. The paper: 10240 x 10240 in float16 within 21 GB.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.bench import speed
from wxjax import files
from wxjax.evaluate import breakdown, cost
from wxjax.evaluate.stream import Way
from wxjax.recipes import benchmark, pictures

SIZES = ("1024x1024", "3840x2160", "7680x4320", "10240x10240")
FORMS = (
    ("float32", "exact"),
    ("bfloat16", "exact"),
    ("bfloat16", "auto"),
    ("bfloat16", "cudnn"),
)


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--config", default="dehazexl:paper")
    parser.add_argument("--batch", type=int, default=16, help="regions at a time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="experiments/bench")
    parser.add_argument("--row", nargs=3, help="one row here: size, dtype, attention")
    return parser.parse_args(argv)


def measure(asked: argparse.Namespace, size: str, dtype: str, attention: str) -> dict:
    """One row, in this process."""
    config = speed.load(asked.config)
    config.model.dtype, config.model.bottleneck.attention = dtype, attention
    width, height = benchmark.parse_size(size)
    task, variables = pictures.blank(config)
    run = breakdown.Clocked(task, variables, config.tiles, Way(asked.batch, True))
    start = time.perf_counter()
    run.compile(run.cover(height, width), np.uint8)
    compiled = time.perf_counter() - start
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    made = breakdown.measure(run, picture, repeats=asked.repeats, dtype=dtype)
    return {
        "device": cost.device_name(),
        "compile_seconds": compiled,
        "peak_gb": cost.peak_memory_gb(),
        **made,
    }


def row(asked: argparse.Namespace, size: str, dtype: str, attention: str) -> dict:
    """The same in a fresh process; `failed` where it did not run, out of memory for example."""
    options = (f"--config={asked.config}", f"--batch={asked.batch}", f"--repeats={asked.repeats}")
    command = (sys.executable, "-m", "experiments.bench.dehazexl_gpu", *options)
    command += ("--row", size, dtype, attention)
    ran = subprocess.run(command, capture_output=True, text=True)
    found = {"size": size, "dtype": dtype, "attention": attention}
    lines = ran.stdout.strip().splitlines()
    if ran.returncode or not lines:
        return found | {"failed": (ran.stderr.strip().splitlines() or ["no word"])[-1]}
    return found | json.loads(lines[-1])


def line(found: Mapping) -> str:
    """A row of the table, in Markdown."""
    head = f"| {found['size']} | {found['dtype']} | {found['attention']} |"
    if "failed" in found:
        return f"{head} {found['failed']} | | | | |"
    whole = found["parts"]["total"]
    width, height = benchmark.parse_size(found["size"])
    shares = ", ".join(
        f"{100 * found['parts'][name]['efficiency']:.0f}" for name in breakdown.PARTS.values()
    )
    return (
        f"{head} {whole['seconds']:.3g} | {1e9 * whole['seconds'] / (width * height):.0f} | "
        f"{found['peak_gb']:.2f} | {100 * whole['efficiency']:.0f} % | {shares} |"
    )


def main() -> None:
    """Measures every row, and writes after each of them."""
    asked = options()
    if asked.row:
        print(json.dumps(measure(asked, *asked.row)))
        return
    rows, out = [], pathlib.Path(asked.out)
    table = [
        "| size | dtype | attention | seconds | ms/MP | peak GiB | share of the product rate | "
        "encoder, bottleneck, decoder [%] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in asked.sizes:
        for dtype, attention in FORMS:
            rows.append(row(asked, size, dtype, attention))
            table.append(line(rows[-1]))
            print(table[-1], flush=True)
            files.write_json(out / "dehazexl_gpu.json", rows)
    device = next((found["device"] for found in rows if "device" in found), "no device")
    text = f"# DehazeXL at full size on a GPU\n\n{device}; `{' '.join(sys.orig_argv[1:])}`\n\n"
    files.write_text(out / "dehazexl_gpu.md", text + "\n".join(table) + "\n")


if __name__ == "__main__":
    main()
