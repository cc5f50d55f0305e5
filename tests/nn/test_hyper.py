"""Hashed attention against a slow loop, its limits, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.nn import attention, hyper

hashed = jax.jit(hyper.hyper_attention, static_argnames=("block", "samples"))


def tokens(n, *, b=1, h=2, d=8, seed=0):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=(b, n, h, d)).astype(np.float32)) for _ in range(3)]


def by_hand(q, k, v, directions, sampled, block, samples):
    """One image and head, `[n d]`, in NumPy loops."""
    n, d = q.shape
    ranks = hyper.gray_order(directions.shape[1])
    weights = 1 << np.arange(directions.shape[1])
    order = lambda x: np.argsort(ranks[((x @ directions) > 0) @ weights], kind="stable")
    q_order, k_order = order(q), order(k)
    k, v = k[k_order], v[k_order]
    zeros = np.zeros((-n % block, d))
    padded_k, padded_v = np.concatenate([k, zeros]), np.concatenate([v, zeros])
    out = np.zeros_like(q)
    for place, i in enumerate(q_order):
        start = place // block * block
        near = np.exp(padded_k[start : start + block] @ q[i] / np.sqrt(d))
        far = np.exp(k[sampled] @ q[i] / np.sqrt(d)) * n / samples
        total = near @ padded_v[start : start + block] + far @ v[sampled]
        out[i] = total / (near.sum() + far.sum())
    return out


@pytest.mark.parametrize("n", [64, 70], ids=["whole blocks", "a part block"])
def test_hashed_attention_equals_a_slow_loop(n):
    q, k, v = tokens(n)
    directions = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    sampled = np.random.default_rng(2).integers(0, n, (1, 2, 16)).astype(np.int32)
    found = hashed(
        q, k, v, jnp.asarray(directions), sampled=jnp.asarray(sampled), block=32, samples=16
    )
    for head in range(2):
        one = [np.asarray(x[0, :, head], np.float64) for x in (q, k, v)]
        expected = by_hand(*one, directions, sampled[0, head], 32, 16)
        np.testing.assert_allclose(found.output[0, :, head], expected, atol=2e-6)


def test_ranks_by_hand():
    assert hyper.gray_order(3).tolist() == [0, 1, 3, 2, 6, 7, 5, 4]
    assert sorted(hyper.gray_order(7)) == list(range(128))


def test_one_block_without_samples_is_exact_attention():
    q, k, v = tokens(32)
    found = hashed(q, k, v, hyper.draw_projections(8), key=jax.random.key(0), block=32, samples=32)
    np.testing.assert_allclose(found.output, attention.global_attention(q, k, v), atol=1e-6)


def test_padding_changes_nothing():
    q, k, v = tokens(70)
    key, directions = jax.random.key(3), hyper.draw_projections(8)
    run = lambda *xs, **more: hashed(*xs, directions, key=key, block=32, samples=16, **more).output
    padded = [jnp.pad(x, ((0, 0), (0, 30), (0, 0), (0, 0)), constant_values=9.0) for x in (q, k, v)]
    valid = jnp.asarray(np.arange(100) < 70, jnp.float32)[None]
    np.testing.assert_allclose(run(*padded, valid=valid)[:, :70], run(q, k, v), atol=1e-6)


def test_the_gradient_stays_finite_where_the_far_keys_rule():
    """exp(l_s - l_b) overflows here, as in the official code, whose gradient is NaN."""
    q, k, v = tokens(64)
    k = k.at[:, 0].mul(200.0)
    sampled = jnp.zeros((1, 2, 16), jnp.int32)

    def loss(q):
        return hashed(
            q * 20, k, v, hyper.draw_projections(8), sampled=sampled, block=16, samples=16
        ).output.sum()

    assert np.isfinite(jax.jit(jax.grad(loss))(q)).all()


def test_auto_is_exact_below_the_switch_and_counts_real_tokens(monkeypatch):
    monkeypatch.setattr(hyper, "SWITCH", 300)
    q, k, v = tokens(320)

    def run(kind, valid=None):  # a function of its own, so that the switch is read anew
        return jax.jit(lambda *xs: hyper.token_attention(kind, *xs))(q, k, v, valid)

    exact, near = run("exact"), run("hyper")
    assert np.abs(exact - near).max() > 1e-3
    np.testing.assert_array_equal(run("auto"), near)
    few = jnp.asarray(np.arange(320) < 290, jnp.float32)[None]
    np.testing.assert_allclose(run("auto", few), run("exact", few), atol=1e-6)
    many = jnp.asarray(np.arange(320) < 310, jnp.float32)[None]
    np.testing.assert_allclose(run("auto", many), run("hyper", many), atol=1e-6)
    monkeypatch.setattr(hyper, "SWITCH", 321)
    np.testing.assert_array_equal(run("auto"), exact)


def test_an_unknown_kind_is_named():
    with pytest.raises(errors.InputError, match="Did you mean 'hyper'"):
        hyper.token_attention("hypr", *tokens(8))


def test_one_kernel_for_exact_attention_leaves_padding_out():
    q, k, v = tokens(24)
    valid = (jnp.arange(24) < 17).astype(jnp.float32)[None]
    found = hyper.fused(q, k, v, valid, implementation="xla")
    expected = attention.global_attention(q, k, v, valid, chunk=8)
    np.testing.assert_allclose(found[:, :17], expected[:, :17], atol=2e-6)


def test_cudnn_s_kernel_is_refused_where_it_cannot_run():
    with pytest.raises(errors.InputError, match="float32 on a cpu. Take exact."):
        hyper.token_attention("cudnn", *tokens(24))
