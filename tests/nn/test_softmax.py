"""Window attention and its own backward pass against the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.nn import softmax


def plain(q, k, v, bias, mask):
    logits = jnp.einsum("nqhd,nkhd->nhqk", q, k) + bias
    if mask is not None:
        logits += jnp.tile(mask, (len(q) // len(mask), 1, 1))[:, None]
    return jnp.einsum("nhqk,nkhd->nqhd", jax.nn.softmax(logits), v)


def inputs(masked: bool):
    keys = jax.random.split(jax.random.key(0), 5)
    q, k, v = (jax.random.normal(key, (6, 5, 3, 4)) for key in keys[:3])
    bias = jax.random.normal(keys[3], (3, 5, 5))
    apart = jax.random.bernoulli(keys[4], 0.3, (2, 5, 5)) & ~jnp.eye(5, dtype=bool)
    return q, k, v, bias, jnp.where(apart, -100.0, 0.0) if masked else None


@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_those_of_the_formula(masked):
    *arrays, mask = inputs(masked)
    weight = jax.random.normal(jax.random.key(1), (6, 5, 3, 4))

    def results(attend):
        loss = lambda *arrays: jnp.sum(weight * attend(*arrays, mask))
        return attend(*arrays, mask), jax.jit(jax.grad(loss, (0, 1, 2, 3)))(*arrays)

    found, expected = results(softmax.attend), results(plain)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, expected)


def test_logits_beyond_the_range_of_exp_stay_finite():
    q, k, v, bias, mask = inputs(True)
    value, grads = jax.value_and_grad(
        lambda q: softmax.attend(1e3 * q, k, v, bias, mask).sum(), argnums=0
    )(q)
    assert np.isfinite(value) and np.isfinite(grads).all()


def test_half_precision_stays_close_and_keeps_its_type():
    q, k, v, bias, mask = inputs(True)
    half = [x.astype(jnp.bfloat16) for x in (q, k, v)]
    found = softmax.attend(*half, bias, mask)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), plain(q, k, v, bias, mask), atol=0.1)
