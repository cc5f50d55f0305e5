"""Products and activations against their definitions."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from wxjax.ops import dense


def test_a_product_runs_over_the_last_axis_alone():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    kernel = jax.random.normal(jax.random.key(1), (5, 6))
    expected = np.einsum("bhwc,cd->bhwd", x, kernel)
    np.testing.assert_allclose(dense.product(x, kernel), expected, atol=1e-5)


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
