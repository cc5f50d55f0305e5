"""The diffusion UNet and its codec beside the published code: experiments/bench/irsr.{json,md}.

python -m experiments.bench.irsr                       # ten minutes on two cores
python -m experiments.bench.irsr --case=forward-3      # one row, in this process

CPU-seconds are those of the whole process while the program runs, best of `repeats`. The
published code's were taken once, on a machine whose float32 matrix products in jax ran at
105 GFLOP per CPU-second; the second ratio is in units of that rate, here and there.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import optax

from experiments.bench.mofme import RATE_THERE, cpu_seconds, product_rate
from wxjax import files
from wxjax.systems.irsr import codec as codecs
from wxjax.systems.irsr import diffusion, unet

# What the published code took: CPU-seconds, MiB.
CASES = {
    "forward-3": (2.2, 849),
    "forward-21": (2.6, 831),
    "forward-16": (2.2, 849),
    "sample-15-steps": (35.5, 838),
    "training-3": (11.3, 2_700),
    "training-21": (9.8, 2_700),
    "codec": (14.3, 943),
}
HERE = pathlib.Path(__file__).parent


def program(name: str):
    """The function that is timed, and its arguments."""
    key = jax.random.key(0)
    if name == "codec":
        codec = codecs.Codec()

        def there_and_back(x):
            z, side = codecs.encode(codec, {}, x)
            # Something between the two, or XLA would find that nothing happens.
            return codecs.decode(codec, {}, jnp.tanh(z), side, x.shape[1:3])

        return there_and_back, (jax.random.uniform(key, (1, 256, 256, 3)),)
    channels = int(name.split("-")[1]) if name.split("-")[1] in ("3", "16", "21") else 3
    if name == "sample-15-steps":
        channels = 3
    net = unet.UNet(channels, mask="official")
    shape = (1, 64, 64, channels)
    x, cond = (jax.random.normal(jax.random.key(i), shape) for i in (1, 2))
    variables = jax.jit(net.init)(key, x, jnp.zeros(1, jnp.int32), cond)
    if name.startswith("forward"):
        return net.apply, (variables, x, jnp.ones(1, jnp.int32), cond)
    plan = diffusion.schedule(15)
    if name.startswith("sample"):
        noise = diffusion.keyed_noise(key, jnp.arange(1), shape[1:])

        def sample(variables, cond):
            network = lambda x, t: net.apply(variables, x, t, cond)
            return diffusion.sample(plan, network, cond, noise)[0]

        return sample, (variables, cond)
    optimizer = optax.adamw(5e-5)

    def step(variables, state, x, cond):
        def loss(variables):
            t = jnp.array([7])
            noisy = diffusion.noised(plan, x, cond, t, jax.random.normal(key, shape))
            scale = diffusion.at(diffusion.input_scale(plan), t)
            return jnp.square(net.apply(variables, noisy / scale, t, cond) - x).mean()

        updates, state = optimizer.update(jax.grad(loss)(variables), state, variables)
        return optax.apply_updates(variables, updates), state

    return step, (variables, jax.jit(optimizer.init)(variables), x, cond)


def measure(name: str, repeats: int) -> dict:
    """One row, in this process."""
    function, arguments = program(name)
    donated = (0, 1) if name.startswith("training") else ()
    run = jax.jit(function, donate_argnums=donated).lower(*arguments).compile()
    spent, wall = [], []
    for _ in range(repeats + 1):
        before, clock = cpu_seconds(), time.perf_counter()
        out = jax.block_until_ready(run(*arguments))
        spent.append(cpu_seconds() - before)
        wall.append(time.perf_counter() - clock)
        if donated:
            arguments = (*out, *arguments[2:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "case": name,
        "cpu_s": min(spent[1:]),
        "wall_s": min(wall[1:]),
        "peak_mib": peak,
        "gflop": run.cost_analysis()["flops"] / 1e9,
        "rate": max(product_rate() for _ in range(3)),
    }


def table(rows: list[dict]) -> str:
    lines = [
        "| case | CPU-s | published | ratio | at one rate | wall s | peak MiB | published | rate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        there, memory = CASES[row["case"]]
        ratio = row["cpu_s"] / there
        lines.append(
            f"| {row['case']} | {row['cpu_s']:.3g} | {there} | {ratio:.2g} "
            f"| {ratio * row['rate'] / RATE_THERE:.2g} | {row['wall_s']:.3g} "
            f"| {row['peak_mib']:,.0f} | {memory:,} | {row['rate']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--cases", nargs="*", choices=CASES, help="these rows of the table only")
    parser.add_argument("--repeats", type=int, default=4)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(given.case, given.repeats)))
        return
    path = HERE / "irsr.json"
    old = files.read_json(path)["rows"] if path.exists() else []
    rows = {row["case"]: row for row in old}
    for name in given.cases or CASES:
        command = [sys.executable, "-m", "experiments.bench.irsr", f"--case={name}"]
        command.append(f"--repeats={given.repeats}")
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows[name] = json.loads(done.stdout.splitlines()[-1])
        print(rows[name], flush=True)
        ordered = [rows[case] for case in CASES if case in rows]
        files.write_json(path, {"rows": ordered})
        files.write_text(HERE / "irsr.md", table(ordered))


if __name__ == "__main__":
    main()
