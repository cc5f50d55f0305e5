"""Products and activations against their definitions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.ops import dense


def test_a_product_runs_over_the_last_axis_alone():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    kernel = jax.random.normal(jax.random.key(1), (5, 6))
    expected = np.einsum("bhwc,cd->bhwd", x, kernel)
    np.testing.assert_allclose(dense.product(x, kernel), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_fence_changes_neither_a_value_nor_a_slope(dtype):
    x = jnp.asarray([-6e4, -1.1, -1e-6, 0, 1e-3, 3.3, 6e4], dtype)
    behind, slope = jax.jit(jax.jvp, static_argnums=0)(dense.fence, (x,), (x,))
    np.testing.assert_array_equal(behind, x)
    np.testing.assert_array_equal(slope, x)


def test_gelu_is_x_times_the_normal_distribution_function():
    x = np.linspace(-6, 6, 49, dtype=np.float32)
    expected = [t * 0.5 * math.erfc(-t / math.sqrt(2)) for t in x.tolist()]
    np.testing.assert_allclose(dense.gelu(jnp.asarray(x)), expected, atol=1e-6)


def test_the_slope_of_gelu_adds_the_density():
    x = np.linspace(-4, 4, 33, dtype=np.float32)
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    slope = [0.5 * math.erfc(-t / math.sqrt(2)) for t in x.tolist()] + x * density
    found = jax.vmap(jax.grad(dense.gelu))(jnp.asarray(x))
    np.testing.assert_allclose(found, slope, atol=1e-6)


def test_a_column_sum_of_small_numbers_keeps_single_precision():
    x = jnp.full((1000, 2, 3), 0.01, jnp.bfloat16)
    total = dense.column_sum(x)
    assert total.dtype == jnp.float32
    np.testing.assert_allclose(total, 1000 * np.float32(x[0]), rtol=1e-5)


def test_shift_and_affine_have_the_gradients_of_what_they_are():
    keys = jax.random.split(jax.random.key(0), 4)
    x, weight = (jax.random.normal(key, (3, 4, 5, 6)) for key in keys[:2])
    scale, bias = (jax.random.normal(key, (6,)) for key in keys[2:])
    for found, plain, given in (
        (dense.shift, lambda x, b: x + b, (x, bias)),
        (dense.affine, lambda x, s, b: x * s + b, (x, scale, bias)),
    ):
        np.testing.assert_array_equal(found(*given), plain(*given))
        every = tuple(range(len(given)))
        slopes = [
            jax.grad(lambda *args, f=f: (weight * f(*args) ** 2).sum(), argnums=every)(*given)
            for f in (found, plain)
        ]
        for a, b in zip(*slopes, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-4)
