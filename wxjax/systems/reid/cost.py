"""What the variants of a re-identification study cost: parameters, operations, time, memory."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax.evaluate import cost, flops
from wxjax.nn import experts as trees
from wxjax.systems.reid import training, variants
from wxjax.systems.reid.sizes import sizes_of

BATCHES = (1, 32)


def measure(config: ConfigDict, workdir: pathlib.Path, names: Sequence[str], seed: int) -> dict:
    """A row a variant; latencies are taken in turn, so that ratios hold on a busy machine."""
    rows: dict[str, dict[str, Any]] = {}
    programs: dict[int, dict[str, Any]] = {n: {} for n in BATCHES}
    for name in names:
        place = training.folder(workdir, name, seed) / "last"
        task, variables, about, one = training.system(config, workdir, place)
        sizes = sizes_of(one)
        params = trees.flatten(variables["params"])
        inference = {k: v for k, v in params.items() if "classifier" not in k}
        block = variants.block_cost(sizes)
        image = np.zeros((1, len(sizes.modalities), *sizes.size, 3), np.float32)
        present = np.ones((1, len(sizes.modalities)), bool)
        count = flops.count(task.predict, variables, {"image": image, "present": present})
        rows[name] = {
            "parameters": sum(np.size(x) for x in inference.values()),
            "block_parameters": block["parameters"] if sizes.block != "global" else 0,
            "block_flops": block["flops"] if sizes.block != "global" else 0,
            "flops_g": count / 1e9,
        }
        if sizes.block == "mlp":
            rows[name]["hidden"] = sizes.mlp_hidden
        for n in BATCHES:
            batch = {"image": np.repeat(image, n, 0), "present": np.repeat(present, n, 0)}
            placed = jax.device_put((variables, batch))
            compiled = jax.jit(task.predict).lower(*placed).compile()
            programs[n][name] = lambda c=compiled, a=placed: jax.block_until_ready(c(*a))
            if n == BATCHES[-1]:
                rows[name] |= _memory(compiled)
    for n, runs in programs.items():
        spent = cost.interleaved(runs, warmups=3, repeats=config.evaluate.repeats)
        for name, times in spent.items():
            ms = 1e3 * np.array(times) / n
            rows[name][f"latency_ms_{n}"] = {
                "median": float(np.median(ms)), "p95": float(np.quantile(ms, 0.95)), "n": len(ms),
            }  # fmt: skip
    return {"device": cost.device_name(), "peak_gb": cost.peak_memory_gb(), "variants": rows}


def _memory(compiled: Any) -> dict[str, float]:
    """Bytes that the program asks for, and the operations that XLA counts."""
    found: dict[str, float] = {}
    stats = compiled.memory_analysis()
    if stats is not None:
        total = stats.temp_size_in_bytes + stats.argument_size_in_bytes + stats.output_size_in_bytes
        found["program_mb"] = total / 2**20
    analysis = compiled.cost_analysis()
    if analysis and "flops" in analysis:
        found["xla_flops_g"] = analysis["flops"] / BATCHES[-1] / 1e9
    return found
