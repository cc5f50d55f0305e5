"""MoFME beside the published PyTorch code on a CPU: experiments/bench/mofme_cpu.{json,md}.

python -m experiments.bench.mofme                       # five minutes on two cores
python -m experiments.bench.mofme --case=film-256       # one row, in this process

CPU-seconds are those of the whole process while the program runs, best of `repeats`; the
published code's were taken once, on a machine whose float32 matrix products in jax ran at
105 GFLOP per CPU-second. The rate of this machine stands beside every row, and the second
ratio is in units of it: what both machines would need at one rate.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from wxjax import files
from wxjax.losses import pixel
from wxjax.systems.mofme.gating import Gating
from wxjax.systems.mofme.network import Network, normalise

RATE_THERE = 105.0  # GFLOP per CPU-second of jax's matrix products where the baseline was taken


class Case(NamedTuple):
    """One row; `cpu_s` and `peak_mib` are the published code's."""

    variant: str
    size: int
    batch: int
    train: bool
    cpu_s: float
    peak_mib: float


CASES = {
    "film-256": Case("film", 256, 1, False, 2.3, 518),
    "film-512": Case("film", 512, 1, False, 12.1, 1_534),
    "film-1024": Case("film", 1024, 1, False, 172, 17_232),
    "moe-256": Case("moe", 256, 1, False, 3.7, 631),
    "base-256": Case("base", 256, 1, False, 1.8, 480),
    "film-256-training": Case("film", 256, 2, True, 15.7, 1_899),
}


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def program(case: Case, top_p: float):
    """The function that is timed, and its arguments."""
    net = Network(case.variant, Gating(experts=16, top_k=4, top_p=top_p))
    variables = net.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    image = jax.random.uniform(jax.random.key(1), (case.batch, case.size, case.size, 3))
    if not case.train:
        return lambda v, x: net.apply(v, normalise(x))[0], (variables, image)
    optimizer = optax.adamw(4e-4, weight_decay=1e-2)

    def step(v, state, x):
        def loss(v):
            out, _ = net.apply(v, normalise(x), True, rngs={"dropout": jax.random.key(2)})
            return pixel.smooth_l1(out, x).mean()

        updates, state = optimizer.update(jax.grad(loss)(v), state, v)
        return optax.apply_updates(v, updates), state

    return step, (variables, optimizer.init(variables), image)


def product_rate() -> float:
    """GFLOP per CPU-second of a float32 matrix product of side 2048."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    start = cpu_seconds()
    for _ in range(5):
        product(a, a).block_until_ready()
    return 5 * 2 * 2048**3 / 1e9 / (cpu_seconds() - start)


def measure(name: str, top_p: float, repeats: int) -> dict:
    """One row, in this process."""
    case = CASES[name]
    fn, args = program(case, top_p)
    compiled = jax.jit(fn).lower(*args).compile()
    jax.block_until_ready(compiled(*args))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent, wall, rates = [], [], []
    for _ in range(repeats):
        rates.append(product_rate())
        start, clock = cpu_seconds(), time.perf_counter()
        jax.block_until_ready(compiled(*args))
        spent.append(cpu_seconds() - start)
        wall.append(time.perf_counter() - clock)
    best, rate = min(spent), max(rates)
    return {
        "case": name,
        "top_p": top_p,
        "cpu_s": best,
        "wall_s": min(wall),
        "peak_mib": peak,
        "work_mib": compiled.memory_analysis().temp_size_in_bytes / 2**20,
        "gflop_per_cpu_s_of_products": rate,
        "published_cpu_s": case.cpu_s,
        "published_peak_mib": case.peak_mib,
        "ratio": best / case.cpu_s,
        "ratio_at_one_rate": best * rate / RATE_THERE / case.cpu_s,
    }


def markdown(rows: list[dict]) -> str:
    head = ["case", "CPU-s", "published", "ratio", "at one rate", "peak MiB", "published", "rate"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = (
            row["case"] if row["top_p"] == 1 else f"{row['case']}, top-p {row['top_p']}",
            f"{row['cpu_s']:.2f}",
            f"{row['published_cpu_s']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['ratio_at_one_rate']:.2f}",
            f"{row['peak_mib']:,.0f}",
            f"{row['published_peak_mib']:,.0f}",
            f"{row['gflop_per_cpu_s_of_products']:.0f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--top_p", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("experiments/bench"))
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.top_p, arguments.repeats)))
        return
    rows = []
    for name, top_p in [*((name, 1.0) for name in CASES), ("film-256", 0.6)]:
        words = [f"--case={name}", f"--top_p={top_p}", f"--repeats={arguments.repeats}"]
        command = [sys.executable, "-m", "experiments.bench.mofme", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    files.write_json(arguments.out / "mofme_cpu.json", rows)
    files.write_text(arguments.out / "mofme_cpu.md", markdown(rows))


if __name__ == "__main__":
    main()
