"""Operations counted by hand, and latencies taken in turn."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from wxjax.evaluate import cost, flops


def test_products_and_convolutions_by_hand():
    a, b = jnp.ones((3, 5)), jnp.ones((5, 7))
    assert flops.count(lambda a, b: a @ b, a, b) == 2 * 3 * 5 * 7
    x, k = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 6))

    def convolve(x, k):
        return jax.lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert flops.count(convolve, x, k) == 2 * 8 * 8 * 6 * 3 * 3 * 4


def test_a_loop_counts_as_often_as_it_runs():
    a = jnp.ones((4, 4))
    once = flops.count(lambda a: a @ a, a)
    assert flops.count(lambda a: jax.lax.map(lambda i: a @ a * i, jnp.arange(10.0)), a) == 10 * once
    assert flops.count(jax.jit(lambda a: jnp.sin(a @ a)), a) == once
    assert flops.count(lambda a: jax.lax.cond(True, lambda: a @ a @ a, lambda: a), a) == 2 * once


def test_the_ratio_of_a_program_to_one_that_does_it_thrice():
    a = jnp.ones((600, 600))

    def thrice(a):
        return jax.lax.fori_loop(0, 3, lambda i, x: x @ a / 600, a)

    found = cost.compare(
        {"one": (lambda a: a @ a, (a,)), "three": (thrice, (a,))},
        size=(600, 600),
        baseline="one",
        repeats=5,
    )
    assert 1.5 < found["overhead"]["three_over_one"]["median"] < 8
    one = found["cases"][0]
    assert one["flops_g"] == pytest.approx(2 * 0.6**3)
    assert one["latency_ms"]["low"] <= one["latency_ms"]["median"] <= one["latency_ms"]["high"]
    assert one["peak_mem_gb"] > 0 and 0 < one["efficiency"] < 2


def test_the_peak_is_this_program_s_and_not_that_of_the_one_that_forked_it():
    grow = "import subprocess, sys; x = bytearray(600 << 20); x[::4096] = b'1' * len(x[::4096])"
    ask = "from wxjax.evaluate import cost; print(cost.peak_bytes())"
    told = f"{grow}; print(subprocess.check_output([sys.executable, '-c', {ask!r}], text=True))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 600 << 20
