"""Times every way to run a mixture of experts: experiments/bench/experts.{json,md}.

python -m experiments.bench.experts                     # two minutes on two cores
python -m experiments.bench.experts --out=DIR           # the same elsewhere
"""

import argparse
import json
import pathlib
import resource
import statistics
from collections.abc import Callable

import jax

from wxjax import files
from wxjax.evaluate import cost
from wxjax.nn import executors, expert_kinds, routing

TOKENS, DIM = 1024, 384  # a 256x256 image, 8x8 patches; MoFME's width
KEEP = {"top-4": (4, 1.0), "top-p 0.6": (4, 0.6)}
SPREAD = 1.5  # standard deviation of the logits


def parameters(kind: str, e: int) -> tuple[expert_kinds.Expert, dict]:
    """Random experts of MoFME's sizes."""
    d, h = DIM, 4 * DIM
    shapes = {
        "film": {"kernel": (e, d, 2 * d), "bias": (e, 2 * d)},
        "ffn": {
            "scale": (e, d),
            "shift": (e, d),
            "kernel1": (e, d, h),
            "bias1": (e, h),
            "kernel2": (e, h, d),
            "bias2": (e, d),
        },
    }[kind]
    keys = jax.random.split(jax.random.key(e), len(shapes))
    params = {
        name: jax.random.normal(key, shape) * shape[1] ** -0.5
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    return getattr(expert_kinds, kind), params


def row_gflop(kind: str) -> float:
    """One token through one expert; a multiply-add is two operations."""
    return 2 * DIM * (2 * DIM if kind == "film" else 8 * DIM) / 1e9


def rows_computed(name: str, e: int, choice: routing.Choice) -> int:
    """How many (token, expert) pairs an executor evaluates."""
    sizes = executors.sort(choice, e).sizes
    if name == "merged":
        return TOKENS
    if name == "skip":
        return TOKENS * int((sizes > 0).sum())
    if name == "blocked":
        return int((-(-sizes // executors.BLOCK)).sum()) * executors.BLOCK
    if name == "grouped":
        slots = choice.index.shape[1]
        budgets = [TOKENS * n for n in (1, 2, 4, 8, 16) if n < slots] + [TOKENS * slots]
        return min(b for b in budgets if b >= int(sizes.sum()))
    return TOKENS * e


def programs(kind: str, e: int, count: int, p: float) -> dict[str, tuple[Callable, tuple]]:
    """name -> (function, arguments); 'grad' adds the backward pass."""
    expert, params = parameters(kind, e)
    x, logits = (
        jax.random.normal(jax.random.key(1), (TOKENS, DIM)),
        SPREAD * jax.random.normal(jax.random.key(2), (TOKENS, e)),
    )
    found = {}

    def forward(name):
        def run(params, x, logits):
            if name == "merged":
                choice = routing.frame_level(logits[None], count, p)
                return executors.merged(expert, params, x[None], choice)[0]
            return executors.run(name, expert, params, x, routing.select(logits, count, p))

        return run

    def backward(name):
        run = forward(name)
        return jax.grad(lambda *xs: (run(*xs) ** 2).sum(), argnums=(0, 1, 2))

    for name in (*executors.TOKEN_LEVEL, "merged"):
        if (name == "folded" and not expert.fold) or (name == "merged" and not expert.merge):
            continue
        found[name] = forward(name), (params, x, logits)
        slow = name == "grouped" and jax.default_backend() == "cpu"  # see the table's note
        if p == 1 and not slow:
            found[f"{name} grad"] = backward(name), (params, x, logits)
    return found


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(kind: str, e: int, keep: str, repeats: int) -> list[dict]:
    """Rows of one setting, programs interleaved; the fastest of `repeats` counts."""
    count, p = KEEP[keep]
    compiled = {
        name: (jax.jit(fn).lower(*args).compile(), args)
        for name, (fn, args) in programs(kind, e, count, p).items()
    }
    logits = next(iter(compiled.values()))[1][2]
    choice = routing.select(logits, count, p)
    spent: dict[str, list[float]] = {name: [] for name in compiled}

    def timed(name):
        program, args = compiled[name]
        start = cpu_seconds()
        jax.block_until_ready(program(*args))
        spent[name].append(cpu_seconds() - start)

    runs = {name: (lambda name=name: timed(name)) for name in compiled}
    wall = cost.interleaved(runs, warmups=1, repeats=repeats)
    rows = []
    for name in compiled:
        plain = name.removesuffix(" grad")
        rows.append(
            {
                "kind": kind,
                "experts": e,
                "keep": keep,
                "kept": float((choice.weight > 0).sum(-1).mean()),
                "executor": plain,
                "pass": "forward and backward" if name != plain else "forward",
                "gflop_forward": rows_computed(plain, e, choice) * row_gflop(kind),
                "cpu_ms": min(spent[name][1:]) * 1e3,
                "wall_ms": min(wall[name]) * 1e3,
                "wall_ms_median": statistics.median(wall[name]) * 1e3,
            }
        )
    return rows


def markdown(record: dict) -> str:
    """Tables a kind, a pass and a way to keep: executors down, numbers of experts across."""
    time = "cpu_ms" if record["backend"] == "cpu" else "wall_ms"
    unit = "CPU-ms" if time == "cpu_ms" else "ms"
    settings = sorted({(r["kind"], r["pass"], r["keep"]) for r in record["rows"]})
    lines = []
    for kind, part, keep in settings:
        rows = [
            r for r in record["rows"] if (r["kind"], r["pass"], r["keep"]) == (kind, part, keep)
        ]
        counts = sorted({r["experts"] for r in rows})
        kept = ", ".join(
            f"{next(r['kept'] for r in rows if r['experts'] == e):.1f}" for e in counts
        )
        lines += [f"### {kind}, {part}, {keep} (kept a token: {kept})", ""]
        lines += ["| executor | " + " | ".join(f"E = {e}" for e in counts) + " |"]
        lines += ["|---|" + "---|" * len(counts)]
        for name in dict.fromkeys(r["executor"] for r in rows):
            cells = [
                f"{r[time]:.0f} ({r['gflop_forward']:.1f})" for r in rows if r["executor"] == name
            ]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    head = f"{unit} (GFLOP of the forward pass) for {TOKENS} tokens of {DIM} features, "
    head += f"{record['device']}, {record['matmul_gflops']:.0f} GFLOP/s in matrix products."
    return "\n".join([head, "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("experiments/bench"))
    parser.add_argument("--experts", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--repeats", type=int, default=4)
    arguments = parser.parse_args()
    rows = []
    for kind in ("film", "ffn"):
        for e in arguments.experts:
            for keep in KEEP:
                rows += measure(kind, e, keep, arguments.repeats)
                print(json.dumps(rows[-1]), flush=True)
    record = {
        "backend": jax.default_backend(),
        "device": cost.device_name(),
        "matmul_gflops": cost.matmul_gflops(),
        "jax": jax.__version__,
        "rows": rows,
    }
    name = f"experts_{record['backend']}"
    files.write_json(arguments.out / f"{name}.json", record)
    files.write_text(arguments.out / f"{name}.md", markdown(record))
    print(markdown(record))


if __name__ == "__main__":
    main()
