"""The chain: its statistics, its symmetries, and answers known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.systems.irsr import diffusion

PLAN = diffusion.schedule(15)
KEY = jax.random.key(3)


def draw(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def test_the_published_numbers_of_four_steps():
    plan = diffusion.schedule(4, min_noise=0.2, capped=False)
    expected = [0.1, 0.5200963722, 0.7613819906, 0.99]
    np.testing.assert_allclose(plan.sqrt_eta, expected, rtol=1e-9)
    np.testing.assert_allclose(plan.variance, [0, 0.038521, 0.577119, 0.947297], atol=1e-6)
    weights = [12.979846, 12.037893, 0.246479, 0.088090]
    np.testing.assert_allclose(diffusion.loss_weight(plan, "xstart", True), weights, rtol=1e-5)
    capped = diffusion.schedule(4, min_noise=0.2)
    expected = [0.0316227766, 0.3764396588, 0.6673233889, 0.99]
    np.testing.assert_allclose(capped.sqrt_eta, expected, rtol=1e-9)


def test_spacings_keep_the_steps_they_say():
    official = diffusion.respace(PLAN, 5, "official")
    np.testing.assert_array_equal(official.steps, [0, 3, 6, 9, 12])
    np.testing.assert_array_equal(diffusion.respace(PLAN, 4).steps, [0, 5, 9, 14])
    np.testing.assert_array_equal(diffusion.respace(PLAN, 1).steps, [14])
    np.testing.assert_array_equal(diffusion.respace(PLAN, 15).steps, np.arange(15))


@pytest.mark.parametrize("kind", diffusion.PREDICTIONS)
def test_every_prediction_of_the_truth_gives_the_truth(kind):
    x0, y, noise = (draw(i, 3, 4, 5, 2) for i in range(3))
    t = jnp.array([0, 7, 13])
    xt = diffusion.noised(PLAN, x0, y, t, noise)
    out = diffusion.target(PLAN, kind, x0, y, t, noise)
    np.testing.assert_allclose(diffusion.estimate(PLAN, kind, out, xt, y, t), x0, atol=1e-4)
    np.testing.assert_allclose(diffusion.epsilon(PLAN, xt, x0, y, t), noise, atol=1e-4)


def test_ancestral_coefficients_are_the_posteriors():
    rows = diffusion.update(PLAN, 1.0)
    np.testing.assert_allclose(rows.m, PLAN.eta_before / PLAN.eta, atol=1e-12)
    np.testing.assert_allclose(rows.k, PLAN.alpha / PLAN.eta, atol=1e-12)
    np.testing.assert_allclose(rows.j, 0, atol=1e-12)
    np.testing.assert_allclose(rows.s**2, PLAN.variance, atol=1e-12)


@pytest.mark.parametrize("randomness", [0.0, 0.4, 1.0])
def test_a_step_back_from_a_noised_truth_has_the_statistics_of_the_step_before(randomness):
    x0, y, n = 0.7, -0.2, 200_000
    rows, t = diffusion.update(PLAN, randomness), 9
    xt = (1 - PLAN.eta[t]) * x0 + PLAN.eta[t] * y + PLAN.kappa * PLAN.sqrt_eta[t] * draw(0, n)
    x = rows.k[t] * x0 + rows.m[t] * xt + rows.j[t] * y + rows.s[t] * draw(1, n)
    mean = (1 - PLAN.eta[t - 1]) * x0 + PLAN.eta[t - 1] * y
    np.testing.assert_allclose(x.mean(), mean, atol=0.01)
    np.testing.assert_allclose(x.std(), PLAN.kappa * PLAN.sqrt_eta[t - 1], rtol=0.01)


@pytest.mark.parametrize("randomness", [0.0, 1.0])
@pytest.mark.parametrize("count", [1, 4, 15])
def test_a_network_that_knows_the_truth_samples_it(count, randomness):
    truth, y = draw(0, 2, 4, 4, 3), draw(1, 2, 4, 4, 3)
    plan = diffusion.respace(PLAN, count)
    noise = diffusion.keyed_noise(KEY, jnp.arange(2), (4, 4, 3))
    found, states = diffusion.sample(plan, lambda x, t: truth, y, noise, randomness=randomness)
    np.testing.assert_allclose(found, truth, atol=1e-5)
    assert states.shape == (count, 2, 4, 4, 3)


@pytest.mark.parametrize("randomness", [0.0, 1.0])
def test_shifting_everything_by_y_is_the_same_chain_from_zero(randomness):
    y, truth = draw(0, 1, 4, 4, 2), draw(1, 1, 4, 4, 2)
    noise = diffusion.keyed_noise(KEY, jnp.arange(1), (4, 4, 2))

    def imperfect(y):
        return lambda x, t: y + 0.5 * (truth + jnp.tanh(x - y / 1.5))

    # The scale of the input is no shift, so both networks see x as it is.
    options = dict(randomness=randomness, scaling="none")
    there, _ = diffusion.sample(PLAN, lambda x, t: imperfect(y)(x + y / 1.5 - y, t), y, noise,
                                **options)  # fmt: skip
    origin = jnp.zeros_like(y)
    here, _ = diffusion.sample(PLAN, imperfect(origin), origin, noise, **options)
    np.testing.assert_allclose(there - y, here, atol=1e-5)


def test_examples_keep_their_noise_whatever_stands_beside_them():
    network = lambda x, t: jnp.tanh(x) + t[:, None, None, None] / 15

    @jax.jit
    def run(index):
        y = jnp.ones((len(index), 4, 4, 2)) * index[:, None, None, None]
        noise = diffusion.keyed_noise(KEY, index, (4, 4, 2))
        return diffusion.sample(PLAN, network, y, noise)[0]

    together = run(jnp.array([5, 2, 9]))
    for i, index in enumerate((5, 2, 9)):
        np.testing.assert_allclose(run(jnp.array([index]))[0], together[i], atol=1e-6)
    assert float(jnp.abs(run(jnp.array([5])) - run(jnp.array([6])) + 1).max()) > 0.01


def test_a_tile_has_the_noise_of_its_place_and_noise_is_white():
    whole = diffusion.keyed_noise(KEY, jnp.array([7]), (48, 48, 3))(jnp.int32(4))
    part = diffusion.keyed_noise(KEY, jnp.array([7]), (8, 16, 3), jnp.array([[5, 30]]))
    np.testing.assert_array_equal(part(jnp.int32(4)), whole[:, 5:13, 30:46])
    assert abs(float(whole.mean())) < 0.05 and float(whole.std()) == pytest.approx(1, abs=0.03)
    neighbours = float((whole[:, 1:] * whole[:, :-1]).mean())
    bands = float((whole[..., 1:] * whole[..., :-1]).mean())
    assert abs(neighbours) < 0.05 and abs(bands) < 0.05
    assert not np.array_equal(part(jnp.int32(3)), part(jnp.int32(4)))


def test_the_network_is_told_the_step_it_was_trained_under_and_scaled_input():
    seen = []

    def network(x, t):
        jax.debug.callback(lambda t, x: seen.append((int(t[0]), float(x.std()))), t, x)
        return jnp.zeros_like(x)

    plan = diffusion.respace(PLAN, 3)
    y = jnp.zeros((1, 32, 32, 4))
    diffusion.sample(plan, network, y, diffusion.keyed_noise(KEY, jnp.arange(1), (32, 32, 4)))
    jax.effects_barrier()
    assert [t for t, _ in seen] == [14, 7, 0]
    scale = np.sqrt(4 * PLAN.eta[14] + 1)
    assert seen[0][1] == pytest.approx(2 * 0.99 / scale, rel=0.03)


def test_corrections_and_clipping_reach_every_estimate():
    y = jnp.zeros((1, 2, 2, 1))
    noise = diffusion.keyed_noise(KEY, jnp.arange(1), (2, 2, 1))
    network = lambda x, t: jnp.full_like(x, 3.0)
    run = lambda **options: diffusion.sample(PLAN, network, y, noise, **options)[0]
    np.testing.assert_allclose(run(clip=True), 1, atol=1e-6)
    np.testing.assert_allclose(run(correct=lambda x0: x0 - 1), 2, atol=1e-6)


def test_slips_are_named():
    cases = {
        "diffusion.steps=1: expected at least 2.*respace": lambda: diffusion.schedule(1),
        "diffusion.end=1.2": lambda: diffusion.schedule(15, end=1.2),
        "expected numbers above 0": lambda: diffusion.schedule(15, kappa=0.0),
        "sampling steps=16: expected 1 to 15": lambda: diffusion.respace(PLAN, 16),
        "spacing='oficial'.*'official'": lambda: diffusion.respace(PLAN, 5, "oficial"),
        "sampling randomness=2.0": lambda: diffusion.update(PLAN, 2.0),
        "diffusion.input='latents'": lambda: diffusion.input_scale(PLAN, "latents"),
        "diffusion.predict='x0'": lambda: diffusion.loss_weight(PLAN, "x0"),
    }
    for message, call in cases.items():
        with pytest.raises(errors.InputError, match=message):
            call()
