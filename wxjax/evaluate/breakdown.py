"""Where the time of one image goes: encoder, bottleneck, decoder, assembly."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wxjax.evaluate import flops
from wxjax.evaluate.stream import Streamer
from wxjax.ops.canvas import Cover

WARM = 64  # tiles up to which an image is run once before it counts
PARTS = {"look": "encoder", "mix": "bottleneck", "finish": "decoder"}


class Clocked(Streamer):
    """A streamer that keeps wall and CPU seconds of every part's program.

    Attributes:
      spent: part -> [wall, CPU] seconds since it was last emptied.
      pause: called after every program; its seconds are kept as those of 'pause'.
    """

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.spent: dict[str, np.ndarray] = {}
        self.pause: Callable[[], Any] = lambda: None

    def _program(self, part: str, arguments: tuple) -> Callable:
        compiled = super()._program(part, arguments)

        def run(*args):
            start = clocks()
            made = jax.block_until_ready(compiled(*args))
            self._keep(part, start)
            start = clocks()
            self.pause()
            self._keep("pause", start)
            return made

        run.memory_analysis = compiled.memory_analysis
        return run

    def _keep(self, part: str, start: np.ndarray) -> None:
        self.spent[part] = self.spent.get(part, 0) + clocks() - start


def clocks() -> np.ndarray:
    """Wall and CPU seconds (of all threads of this process)."""
    return np.array([time.perf_counter(), time.process_time()])


def operations(run: Streamer, cover: Cover) -> dict[str, float]:
    """GFLOP of each part for a whole image, padding of the last batch not counted."""
    tile = jax.ShapeDtypeStruct((1, *cover.sides, 3), np.float32)
    sides = (side // run.parts.step for side in cover.sides)
    tokens = jax.ShapeDtypeStruct((1, *sides, run.parts.features), np.float32)
    route = np.int32(0)
    given = (run.looked(cover, 1)["maps"],) if run.way.keep else ()
    seen, force = run.abstract_mix(cover)
    count, _ = run.tokens(cover)
    cut = lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype)
    seen |= {name: cut(seen[name]) for name in ("tokens", "position", "valid")}
    parts = run.parts
    return {
        "look": cover.count * flops.count(parts.look, run.variables, route, tile) / 1e9,
        "mix": flops.count(parts.mix, run.variables, seen, force) / 1e9,
        "finish": cover.count
        * flops.count(parts.finish, run.variables, route, tokens, tile, *given)
        / 1e9,
    }


def measure(
    run: Clocked, image: np.ndarray, *, repeats: int = 3, dtype: str = "float32"
) -> dict[str, Any]:
    """Rows of encoder, bottleneck, decoder, assembly and their total.

    The assembly is what the host does: cutting, keeping maps, blending, rounding. A matrix
    product of `dtype` is timed after every batch, outside of their time; the median counts,
    as theirs: a rate from other minutes can be a fifth off on a machine that others share.

    Returns:
      `matmul_gflops` [GFLOP/s], `matmul_gflop_per_cpu_s`, and `parts`: name -> `flops_g`,
      `seconds`, `cpu_seconds` (medians of `repeats`) and `efficiency`, the share of the
      matrix-product rate by wall time, with `cpu_efficiency` by CPU time.
    """
    cover = run.cover(*image.shape[:2])
    work = operations(run, cover)
    run.compile(cover, image.dtype)
    if cover.count <= WARM:
        run(image)
    rates, samples, once = [], [], clocked_product(dtype)
    for _ in range(repeats):
        run.spent, run.pause = {}, lambda: rates.append(once())
        start = clocks()
        run(image)
        total = clocks() - start - run.spent["pause"]
        samples.append({**run.spent, "total": total})
    run.pause = lambda: None
    rate = np.median(rates, 0)
    rows = {}
    for key, name in (*PARTS.items(), ("assembly", "assembly"), ("total", "total")):
        taken = [x[key] if key in x else x["total"] - sum(x[p] for p in PARTS) for x in samples]
        wall, busy = (statistics.median(float(x[i]) for x in taken) for i in range(2))
        count = sum(work.values()) if key == "total" else work.get(key, 0.0)
        rows[name] = {
            "flops_g": count,
            "seconds": wall,
            "cpu_seconds": busy,
            "efficiency": count / wall / rate[0] if wall else 0.0,
            "cpu_efficiency": count / busy / rate[1] if busy else 0.0,
        }
    return {
        "matmul_gflops": float(rate[0]),
        "matmul_gflop_per_cpu_s": float(rate[1]),
        "kept_maps": run.way.keep,
        "batch": run.way.batch,
        "parts": rows,
    }


def clocked_product(dtype: str = "float32") -> Callable[[], np.ndarray]:
    """A function that times one matrix product: its GFLOP by wall and by CPU second."""
    side = 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((side, side), dtype)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()

    def once():
        start = clocks()
        product(a, a).block_until_ready()
        return 2 * side**3 / 1e9 / (clocks() - start)

    return once


def product_rate(dtype: str = "float32", repeats: int = 3) -> np.ndarray:
    """GFLOP of a matrix product by wall and by CPU second, the best of `repeats`."""
    once = clocked_product(dtype)
    return np.max([once() for _ in range(repeats)], 0)


def lines(size: str, made: dict[str, Any]) -> list[str]:
    """The rows for people."""
    out = []
    for name, row in made["parts"].items():
        share = f", {100 * row['efficiency']:.0f} % of the matrix-product rate"
        out.append(
            f"{size} {name:10s} {row['flops_g']:9.1f} GFLOP {row['seconds']:8.2f} s "
            f"({row['cpu_seconds']:.2f} CPU-s)" + (share if row["flops_g"] else "")
        )
    return out
