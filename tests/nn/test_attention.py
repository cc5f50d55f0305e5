"""Windows, masks and attention against slow references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.nn import attention


def test_windows_and_back():
    x = jax.random.normal(jax.random.key(0), (2, 8, 12, 3))
    windows = attention.to_windows(x, 4)
    np.testing.assert_array_equal(attention.from_windows(windows, 4, 8, 12), x)
    np.testing.assert_array_equal(windows[4].reshape(4, 4, 3), x[0, 4:8, 4:8])


def test_the_bias_row_depends_on_the_offset_alone():
    index = attention.relative_index(3)
    for q in range(9):
        for k in range(9):
            dy, dx = q // 3 - k // 3, q % 3 - k % 3
            assert index[q, k] == (dy + 2) * 5 + dx + 2


def test_the_mask_parts_what_only_the_roll_made_neighbours():
    size, shift, side = 4, 2, 8
    mask = attention.shift_mask(side, side, size, shift)
    place = np.stack(np.mgrid[:side, :side], -1)
    rolled = np.roll(place, (-shift, -shift), (0, 1))[None].astype(np.float32)
    windows = np.asarray(attention.to_windows(jnp.asarray(rolled), size))
    for window, allowed in zip(windows, mask, strict=True):
        close = np.abs(window[:, None] - window).max(-1) < size
        np.testing.assert_array_equal(allowed == 0, close)


@pytest.mark.parametrize("chunk", [1, 5, 7, 64])
def test_chunks_of_queries_change_nothing(chunk):
    q, k, v = jax.random.normal(jax.random.key(1), (3, 2, 17, 3, 4))
    valid = jnp.ones((2, 17)).at[1, 11:].set(0)
    logits = np.einsum("bqhd,bkhd->bhqk", q, k) / 2
    logits[1, :, :, 11:] = -np.inf
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("bhqk,bkhd->bqhd", weights, v)
    found = attention.global_attention(q, k, v, valid, chunk=chunk)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_unit_vector_has_a_finite_gradient_at_zero():
    grad = jax.grad(lambda x: attention.unit(x).sum())(jnp.zeros(4))
    assert np.isfinite(grad).all()
    x = jnp.array([3.0, 4.0])
    np.testing.assert_allclose(attention.unit(x), [0.6, 0.8], rtol=1e-6)


def test_a_fresh_low_rank_delta_changes_nothing_and_learns():
    x = jax.random.normal(jax.random.key(2), (3, 8))
    layer = attention.LoRADense(5, rank=2)
    variables = layer.init(jax.random.key(0), x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    np.testing.assert_allclose(layer.apply(variables, x), x @ kernel + bias, atol=1e-6)
    grad = jax.grad(lambda v: layer.apply(v, x).sum())(variables)["params"]
    assert np.abs(grad["shell_up"]).max() > 0
