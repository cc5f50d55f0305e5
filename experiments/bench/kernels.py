"""Forms of the full-size network's kernels on a CPU, interleaved in one process.

python -m experiments.bench.kernels                # on one core: taskset -c 0 python -m ...

Each line is a form, its least CPU-milliseconds of `rounds` and their ratio to the form that
was there before. Least, because others share the machine.
"""

import argparse
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from wxjax.nn import attention
from wxjax.ops.dense import fence, gelu, product
from wxjax.systems.moei import decoder as decoders


def least(forms: Mapping[str, Callable], given: tuple, rounds: int) -> None:
    """Prints each form's least CPU-milliseconds, and over the first form's."""
    programs = {name: jax.jit(fn).lower(*given).compile() for name, fn in forms.items()}
    spent = {name: [] for name in forms}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            start = time.process_time()
            jax.block_until_ready(program(*given))
            if turn:
                spent[name].append(time.process_time() - start)
    first = min(spent[next(iter(forms))])
    for name, each in spent.items():
        print(f"  {name:28s} {1e3 * min(each):9.2f}  {min(each) / first:.2f}")


def norm(x, p):
    apart = x - x.mean(-1, keepdims=True)
    share = jax.lax.rsqrt((apart * apart).mean(-1, keepdims=True) + 1e-5)
    return apart * (share * p["scale"]) + p["shift"]


def mlp(regions: int, side: int, c: int, after: bool, rounds: int) -> None:
    """An MLP with its norm and residual: on maps, on rows, on rows with a fence, without erf."""
    draw = lambda i, *shape: jax.random.normal(jax.random.key(i), shape)
    p = {
        "in": draw(0, c, 4 * c) * c**-0.5,
        "out": draw(1, 4 * c, c) * (4 * c) ** -0.5,
        "bias": draw(2, 4 * c),
        "scale": draw(3, c),
        "shift": draw(4, c),
    }

    def form(rows, wall=lambda x: x, bend=gelu):
        def inner(x, p):
            return product(wall(bend(product(x, p["in"]) + p["bias"])), p["out"]) + p["shift"]

        def run(x, p):
            y = x.reshape(-1, c) if rows else x
            y = y + norm(inner(y, p), p) if after else y + inner(norm(y, p), p)
            return y.reshape(x.shape)

        return run

    print(f"MLP, {regions} x {side} x {side} x {c}, norm {'after' if after else 'before'} it")
    forms = {
        "maps": form(False),
        "rows": form(True),
        "rows, fence (in use)": form(True, fence),
        "rows, fence, no erf": form(True, fence, lambda x: x),
    }
    least(forms, (draw(5, regions, side, side, c), p), rounds)


def tail(rounds: int) -> None:
    """The published decoder's last three layers on a region: one by one, and as one product."""
    first, second = decoders.Expand(48), decoders.Expand(12)
    x = jax.random.normal(jax.random.key(0), (1, 64, 64, 192))
    one = jax.jit(first.init)(jax.random.key(1), x)
    two = jax.jit(second.init)(jax.random.key(2), jnp.zeros((1, 128, 128, 48)))
    kernel = jax.random.normal(jax.random.key(3), (12, 3))
    layers = lambda x, one, two, kernel: product(second.apply(two, first.apply(one, x)), kernel)

    def together(x, one, two, kernel):
        return decoders.in_one(x, [first.bind(one), second.bind(two)], kernel)

    print("last three layers of the decoder, one region")
    forms = {"one by one": layers, "one product (in use)": together}
    least(forms, (x, one, two, kernel), rounds)


def bottleneck(tokens: int, rounds: int) -> None:
    """Exact attention over all tokens: in use, without its running maximum, its products alone."""
    h, d, chunk = 8, 96, 1024
    given = tuple(jax.random.normal(jax.random.key(i), (1, tokens, h, d)) for i in range(3))

    def form(weigh):
        def run(q, k, v):
            fold = lambda x: attention.fold(x, chunk).swapaxes(2, 3)
            keys, values = fold(k).swapaxes(3, 4), fold(v)

            def some(query):
                def step(carry, block):
                    total, sums = carry
                    key, value = block
                    weights = weigh(jnp.einsum("bhqd,bhdk->bhqk", query * d**-0.5, key))
                    part = jnp.einsum("bhqk,bhkd->bhqd", weights, value)
                    return (total + weights.sum(-1, keepdims=True), sums + part), None

                start = jnp.zeros((1, h, chunk, 1)), jnp.zeros((1, h, chunk, d))
                total, sums = jax.lax.scan(step, start, (keys, values))[0]
                return sums / total

            return attention.unfold(jax.lax.map(some, fold(q)).swapaxes(2, 3), tokens)

        return run

    print(f"exact attention of the bottleneck, {tokens} tokens")
    forms = {
        "in use": lambda q, k, v: attention.global_attention(q, k, v, chunk=chunk),
        "no running maximum": form(jnp.exp),
        "products and sums alone": form(lambda x: x),
    }
    least(forms, given, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    asked = parser.parse_args()
    for regions, side, c in ((1, 64, 96), (1, 32, 192), (8, 16, 384), (8, 8, 768)):
        mlp(regions, side, c, True, asked.rounds)
    for regions, side, c in ((1, 64, 192), (1, 32, 384), (1, 16, 768), (8, 8, 1536)):
        mlp(regions, side, c, False, asked.rounds)
    tail(asked.rounds)
    bottleneck(8192, max(2, asked.rounds // 4))


if __name__ == "__main__":
    main()
