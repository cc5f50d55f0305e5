"""The bottleneck in chunks of tokens is the bottleneck of all tokens at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.systems.moei.backbone import Bottleneck

KEY = jax.random.key(0)
PLACE = np.stack(np.divmod(np.arange(40), 8), -1)


@pytest.fixture(scope="module")
def tokens():
    return jax.random.normal(KEY, (2, 40, 16))


@pytest.fixture(scope="module")
def variables(tokens):
    return jax.jit(Bottleneck(depth=1, heads=2).init)(KEY, tokens, PLACE)


@pytest.mark.parametrize("shell", ["none", "lora"])
def test_chunks_of_tokens_change_nothing_and_padding_none_of_it(tokens, shell):
    whole = Bottleneck(shell, depth=1, heads=2, chunk=64)
    parts = Bottleneck(shell, depth=1, heads=2, chunk=7)
    variables = jax.jit(whole.init)(KEY, tokens, PLACE)
    run = jax.jit(lambda net, *args: net.apply(variables, *args), static_argnums=0)
    np.testing.assert_allclose(run(parts, tokens, PLACE), run(whole, tokens, PLACE), atol=1e-5)
    valid = jnp.ones((2, 40)).at[:, 30:].set(0)
    spoilt = tokens.at[:, 35:].set(jnp.nan)
    expected = run(whole, tokens[:, :30], PLACE[:30])
    found = run(parts, spoilt, PLACE, valid)
    np.testing.assert_allclose(found[:, :30], expected, atol=1e-5)


def test_gradients_pass_through_the_chunks(tokens, variables):
    goal = jax.random.normal(KEY, tokens.shape)

    def grad(chunk):
        net = Bottleneck(depth=1, heads=2, chunk=chunk)
        return jax.jit(jax.grad(lambda v: (net.apply(v, tokens, PLACE) * goal).sum()))(variables)

    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3, rtol=1e-3)
    jax.tree.map(close, grad(16), grad(64))


def test_memory_is_bounded_by_the_chunk_where_the_hidden_layer_is_wide(variables):
    def temporary(n):
        net = Bottleneck(depth=1, heads=2, chunk=32, mlp_ratio=4)
        x = jax.ShapeDtypeStruct((1, n, 16), jnp.float32)
        place = jax.ShapeDtypeStruct((n, 2), jnp.int32)
        lowered = jax.jit(net.apply).lower(variables, x, place)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    token = 16 * 4  # bytes; all logits would be 2 * n * n * 4, all hidden ones 2 * 4 * token * n
    assert temporary(4096) - temporary(2048) < 2048 * 14 * token
