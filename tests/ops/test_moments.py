import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from wxjax.ops import moments


def maps(n=5, side=6, c=4):
    x = np.random.default_rng(0).gamma(2.0, size=(n, side, side, c)).astype(np.float32)
    return x + 10 * np.arange(c, dtype=np.float32)


def test_statistics_are_those_of_scipy():
    x = maps(1)[0]
    flat = x.reshape(-1, 4).astype(np.float64)
    expected = np.concatenate([flat.mean(0), flat.std(0), stats.skew(flat)])
    expected = np.sign(expected) * np.log1p(np.abs(expected))
    np.testing.assert_allclose(moments.describe(moments.central(jnp.asarray(x))), expected, 1e-3)


def test_parts_merge_into_the_whole():
    x = maps()
    parts = jax.vmap(moments.central)(jnp.asarray(x))
    whole = moments.central(jnp.asarray(x.reshape(-1, 6, 4)))
    np.testing.assert_allclose(moments.merge(parts, jnp.full(5, 0.2)), whole, rtol=1e-3)


def test_a_part_without_share_counts_for_nothing():
    x = maps()
    parts = jax.vmap(moments.central)(jnp.asarray(x))
    share = jnp.array([0.5, 0.5, 0, 0, 0])
    np.testing.assert_allclose(
        moments.merge(parts, share), moments.merge(parts[:2], share[:2]), rtol=1e-6
    )


def test_a_constant_map_has_no_spread_and_no_skewness():
    said = moments.describe(moments.central(jnp.full((4, 4, 2), 3.0)))
    np.testing.assert_allclose(said, [np.log(4)] * 2 + [0] * 4, atol=1e-5)


def test_the_gradient_at_a_constant_map_is_finite():
    loss = lambda x: moments.describe(moments.central(x)).sum()
    assert jnp.isfinite(jax.grad(loss)(jnp.full((4, 4, 2), 3.0))).all()
