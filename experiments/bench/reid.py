"""Does skipping experts save time? The fusion block with 8 experts, one kept, by executor.

    python -m experiments.bench.reid --out=experiments/bench/reid.json

The gate reads the global vector, so 'blocked' as the network runs it ('early') looks at no
window that nobody chose; the others look through all windows and skip experts alone.
Programs run in turn; the ratios are pair by pair. Agreement with 'dense' is checked first.
"""

import argparse
import pathlib

import jax
import numpy as np

from wxjax import files
from wxjax.evaluate import cost, flops
from wxjax.systems.reid.experts import Body
from wxjax.systems.reid.fusion import Fusion
from wxjax.systems.reid.gate import Gating
from wxjax.systems.reid.windows import Windows

SCALES, REPLICAS = (4, 8), 4
CASES = {"small": (64, 2.0, 96), "document": (512, 2.0, 96)}  # d, ratio, rows (32 shots x 3)
NAMES = ("dense", "early", "skip", "grouped", "blocked", "capacity")


def block(name: str, d: int, ratio: float, gate: str) -> Fusion:
    return Fusion(
        "moe", SCALES, REPLICAS, Windows(), Body(ratio=ratio, dropout=0.0),
        Gating(top_k=1, input=gate, dropout=0.0), d,
        executor="blocked" if name == "early" else name,
    )  # fmt: skip


def measure(d: int, ratio: float, rows: int, repeats: int) -> dict:
    keys = jax.random.split(jax.random.key(0), 3)
    cls = jax.random.normal(keys[0], (rows, d))
    grid = jax.random.normal(keys[1], (rows, 16, 8, d))
    variables = block("dense", d, ratio, "cls").init(keys[2], cls, grid)
    # Executors behind all windows are reached with a gate given from outside.
    weights = block("dense", d, ratio, "cls").apply(variables, cls, grid)["gates"]
    concat = block("dense", d, ratio, "concat").init(keys[2], cls, grid)
    params = {**variables["params"], "gate": concat["params"]["gate"]}
    behind = {"params": params}
    made, programs = {}, {}
    for name in NAMES:
        early = name in ("dense", "early")
        net = block(name, d, ratio, "cls" if early else "concat")
        given = None if early else weights
        fn = lambda v, c, g, w, net=net: net.apply(v, c, g, weights=w)["feature"]
        args = (variables if early else behind, cls, grid, given)
        compiled = jax.jit(fn).lower(*args).compile()
        made[name] = np.asarray(compiled(*args))
        programs[name] = lambda c=compiled, a=args: jax.block_until_ready(c(*a))
        if name == "dense":
            work = flops.count(fn, *args)
    apart = {n: float(np.abs(x - made["dense"]).max()) for n, x in made.items()}
    spent = cost.interleaved(programs, warmups=3, repeats=repeats)
    base = np.array(spent["dense"])
    chosen = np.bincount(np.asarray(weights[:, 0]).argmax(-1), minlength=8)
    return {
        "features": d,
        "rows": rows,
        "rows_an_expert": chosen.tolist(),
        "dense_gflop": work / 1e9,
        "executors": {
            name: {
                "ms": float(np.median(times)) * 1e3,
                "over_dense": float(np.median(np.array(times) / base)),
                "low": float((np.array(times) / base).min()),
                "high": float((np.array(times) / base).max()),
                "largest_difference": apart[name],
            }
            for name, times in spent.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("reid.json"))
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    found = {name: measure(*case, options.repeats) for name, case in CASES.items()}
    files.write_json(options.out, {"device": cost.device_name(), "cases": found})
    for name, case in found.items():
        for executor, row in case["executors"].items():
            span = f"[{row['low']:.2f}, {row['high']:.2f}]"
            print(
                f"{name:9s} {executor:9s} {row['ms']:8.2f} ms  {row['over_dense']:.2f} of dense "
                f"{span}  off by {row['largest_difference']:.1e}"
            )


if __name__ == "__main__":
    main()
