"""Losses by hand, and by slow references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.losses import terms
from wxjax.systems.irsr import diffusion, losses

PLAN = diffusion.schedule(15)


def picture(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32))


def test_steps_count_by_thirds():
    weights = losses.step_weights(PLAN)
    np.testing.assert_array_equal(weights, [1] * 5 + [0.1] * 5 + [0.001] * 5)
    np.testing.assert_array_equal(losses.step_weights(PLAN, "early"), [1] * 5 + [0] * 10)
    four = losses.step_weights(diffusion.schedule(4), "relaxed")
    np.testing.assert_array_equal(four, [1, 0.5, 0.1, 0.1])  # 4 // 3 = 1, 8 // 3 = 2
    smooth = losses.step_weights(PLAN, "smooth")
    np.testing.assert_allclose(smooth, diffusion.input_scale(PLAN) ** -2.0)
    with pytest.raises(errors.InputError, match="losses.steps='third'.*Did you mean 'thirds'"):
        losses.step_weights(PLAN, "third")


def test_the_published_schedule_is_two_corners():
    corners = ((0, 0.01), (100_000, 0.15))
    for step, weight in ((10_000, 0.024), (50_000, 0.08), (200_000, 0.15)):
        assert float(terms.weight_at(corners, step)) == pytest.approx(weight)


def test_the_latents_error_by_hand():
    out = jnp.zeros((1, 1, 2, 2)).at[0, 0, 0].set(jnp.array([1.0, 2.0]))
    found = losses.latent_error(out, jnp.zeros_like(out), jnp.array([0.5, 1.5]))
    np.testing.assert_allclose(found, [(0.5 + 6.0) / 4])


def test_edges_of_a_step_by_hand():
    step = jnp.zeros((1, 5, 6, 1)).at[:, :, 3:].set(1.0)
    inner = losses.magnitude(step)[0, 1:-1, 1:-1, 0]
    np.testing.assert_allclose(inner, [[0, 4, 4, 0]] * 3, atol=2e-4)
    np.testing.assert_allclose(losses.edge(step, step), 0)


def test_the_spectrum_of_a_wave_by_hand():
    x = jnp.broadcast_to(jnp.cos(2 * jnp.pi * jnp.arange(9) / 9 * 2)[None, :, None], (9, 9, 1))
    found = losses.frequency(x[None], jnp.zeros((1, 9, 9, 1)))
    # Amplitude 1/2 at +-2 of 9 rows: 4.5 each in orthonormal units, at radius 2 / 4.
    np.testing.assert_allclose(found, 2 * 4.5 * 1.5 / 81, rtol=1e-4)


def test_details_are_blind_to_a_constant_and_see_one_scale():
    x = jnp.zeros((1, 16, 16, 1))
    np.testing.assert_allclose(losses.details(x + 0.7, x), 0, atol=1e-6)
    stripes = jnp.broadcast_to(jnp.arange(16) % 2 * 1.0, (16, 16))[None, ..., None]
    np.testing.assert_allclose(losses.details(stripes, x), 1 / 3 / 3, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in losses.NAMES if n != "lpips_vgg16"])
def test_terms_are_nothing_at_equality_and_have_finite_gradients(name):
    x, y = picture(0, 2, 32, 32, 1), picture(1, 2, 32, 32, 1)
    term = jax.jit(lambda x, y: losses.image_terms((name,), x, y)[name])
    assert term(x, y).shape == (2,)
    np.testing.assert_allclose(term(x, x), 0, atol=1e-6)
    assert (term(x, y) > 1e-4).all()
    slope = jax.jit(jax.grad(lambda x, y: term(x, y).sum()))
    assert jnp.isfinite(slope(x, x)).all() and jnp.isfinite(slope(x, jnp.zeros_like(x))).all()
    assert jnp.abs(slope(x, y)).max() > 0


def test_a_misspelt_term_is_named():
    x = picture(0, 1, 8, 8, 1)
    with pytest.raises(errors.InputError, match="loss='edges'.*Did you mean 'edge'"):
        losses.image_terms(("edges",), x, x)
