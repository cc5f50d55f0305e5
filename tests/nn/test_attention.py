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


def softmax_attention(q, k, v, valid):
    """The whole matrix of logits, as in the textbook."""
    logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    logits = jnp.where(valid[:, None, None] > 0, logits, -jnp.inf)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits), v)


@pytest.mark.parametrize("chunk", [1, 5, 7, 64])
def test_blocks_of_queries_and_keys_change_nothing(chunk):
    q, k, v = 3 * jax.random.normal(jax.random.key(1), (3, 2, 17, 3, 4))
    valid = jnp.ones((2, 17)).at[1, 11:].set(0).at[:, 3].set(0)
    found = attention.global_attention(q, k, v, valid, chunk=chunk)
    expected = softmax_attention(q, k, v, valid)
    real = np.asarray(valid, bool)
    np.testing.assert_allclose(found[real], expected[real], atol=1e-5)
    whole = attention.global_attention(q, k, v, chunk=chunk)
    np.testing.assert_allclose(whole, softmax_attention(q, k, v, jnp.ones((2, 17))), atol=1e-5)


def test_the_gradient_through_blocks_is_that_of_the_whole_matrix():
    qkv = jax.random.normal(jax.random.key(1), (3, 1, 17, 2, 4))
    valid = jnp.ones((1, 17)).at[0, 12:].set(0)
    goal = jax.random.normal(jax.random.key(2), (1, 17, 2, 4)) * valid[..., None, None]
    inner = lambda fn: lambda x: (fn(*x) * goal).sum()
    blocks = inner(lambda q, k, v: attention.global_attention(q, k, v, valid, chunk=4))
    whole = inner(lambda q, k, v: softmax_attention(q, k, v, valid))
    np.testing.assert_allclose(jax.jit(jax.grad(blocks))(qkv), jax.grad(whole)(qkv), atol=1e-5)


def test_blocks_of_padding_are_never_computed():
    q, k, v = jax.random.normal(jax.random.key(1), (3, 1, 16, 1, 4))
    valid = jnp.ones((1, 16)).at[0, 8:].set(0)
    bad = [x.at[0, 8:].set(jnp.nan) for x in (q, k, v)]
    found = attention.global_attention(*bad, valid, chunk=4)
    expected = attention.global_attention(q[:, :8], k[:, :8], v[:, :8])
    np.testing.assert_allclose(found[:, :8], expected, atol=1e-6)
    np.testing.assert_array_equal(found[:, 8:], 0)


def test_logits_far_apart_overflow_nowhere():
    q, k, v = 200 * jax.random.normal(jax.random.key(1), (3, 1, 12, 1, 4))
    found = attention.global_attention(q, k, v, chunk=4)
    np.testing.assert_allclose(found, softmax_attention(q, k, v, jnp.ones((1, 12))), rtol=1e-4)


def test_memory_grows_with_the_block_and_not_with_the_square_of_the_tokens():
    def temporary(n):
        x = jax.ShapeDtypeStruct((1, n, 2, 8), jnp.float32)
        fn = lambda q, k, v: attention.global_attention(q, k, v, chunk=64)
        return jax.jit(fn).lower(x, x, x).compile().memory_analysis().temp_size_in_bytes

    assert temporary(4096) < 4.5 * temporary(1024)


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
