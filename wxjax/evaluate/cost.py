"""What inference costs: operations, latency, memory, and the same machine's matrix products.

Programs that are compared run in turn, A B A B ..., so that a machine whose speed
drifts does not favour one; the ratio is taken pair by pair.
"""

import ctypes
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from wxjax.evaluate import flops

GIB = 2**30


def peak_memory_gb() -> float:
    """Peak memory in GiB: of the accelerator where it says, else of this process."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / GIB
    return peak_bytes() / GIB


def peak_bytes() -> int:
    """The most that this program has held of the host's memory.

    Linux's `ru_maxrss` starts from the process that forked it, which may have been larger.
    """
    try:
        with open("/proc/self/status") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def give_back_memory() -> None:
    """Returns what is free in this process's heap to the system, where glibc manages it.

    Compiling leaves hundreds of megabytes that are free and would count as held.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass  # another C library: nothing to ask


def device_name() -> str:
    device = jax.local_devices()[0]
    kind = device.device_kind if device.platform != "cpu" else platform.processor() or "cpu"
    return f"{jax.device_count()} x {kind}"


def matmul_gflops(side: int = 2048, repeats: int = 3) -> float:
    """GFLOP/s of a float32 matrix product in this process, best of `repeats`."""
    a = jnp.ones((side, side), jnp.float32)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    best = min(seconds(lambda: product(a, a).block_until_ready()) for _ in range(repeats))
    return 2 * side**3 / best / 1e9


def seconds(fn: Callable[[], object]) -> float:
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


def interleaved(
    programs: Mapping[str, Callable[[], object]], *, warmups: int, repeats: int
) -> dict[str, list[float]]:
    """Seconds of each program, measured in turn after `warmups` rounds."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for i in range(warmups + repeats):
        order = list(programs.items())
        for name, program in order if i % 2 else order[::-1]:
            spent = seconds(program)
            if i >= warmups:
                times[name].append(spent)
    return times


def case(name: str, size: Sequence[int], flops_g: float, spent: list[float], rate: float) -> dict:
    """One row of `cost.json`; `rate` is the machine's matrix-product rate, GFLOP/s."""
    median = statistics.median(spent)
    megapixels = size[0] * size[1] / 1e6
    return {
        "name": name,
        "size": list(size),
        "flops_g": flops_g,
        "latency_ms": {
            "median": median * 1e3,
            "low": min(spent) * 1e3,
            "high": max(spent) * 1e3,
            "n": len(spent),
        },
        "ms_per_mp": median * 1e3 / megapixels,
        "peak_mem_gb": peak_memory_gb(),
        "efficiency": flops_g / median / rate,
    }


def compare(
    programs: Mapping[str, tuple[Callable, tuple]],
    *,
    size: Sequence[int],
    baseline: str,
    warmups: int = 1,
    repeats: int = 5,
) -> dict:
    """Measures compiled programs on one input size.

    Args:
      programs: name -> (function of arrays, its arguments).
      baseline: the name that ratios are taken against.

    Returns:
      `cases` (rows) and `overhead`: median of the pairwise ratios, their range.
    """
    compiled = {name: jax.jit(fn).lower(*args).compile() for name, (fn, args) in programs.items()}
    runs = {
        name: (lambda c=compiled[name], a=args: jax.block_until_ready(c(*a)))
        for name, (_, args) in programs.items()
    }
    rate = matmul_gflops()
    times = interleaved(runs, warmups=warmups, repeats=repeats)
    rate = max(rate, matmul_gflops())
    cases, overhead = [], {}
    for name, (fn, args) in programs.items():
        cases.append(case(name, size, flops.count(fn, *args) / 1e9, times[name], rate))
        if name != baseline:
            ratios = np.divide(times[name], times[baseline])
            overhead[f"{name}_over_{baseline}"] = {
                "median": float(np.median(ratios)),
                "low": float(ratios.min()),
                "high": float(ratios.max()),
                "n": len(ratios),
            }
    return {"matmul_gflops": rate, "cases": cases, "overhead": overhead}
