"""Gates, their losses and their uncertainty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.metrics import calibration
from wxjax.nn import balance, routing
from wxjax.systems.mofme import uncertainty

LOGITS = jnp.log(jnp.array([[0.5, 0.3, 0.15, 0.05], [0.05, 0.9, 0.03, 0.02]]))
MANY = 2 * jax.random.normal(jax.random.key(3), (500, 8))


def test_slots_by_hand():
    choice = routing.select(LOGITS, 3, 0.6)
    np.testing.assert_array_equal(choice.index[:, 0], [0, 1])
    np.testing.assert_allclose(choice.weight, [[0.625, 0.375, 0], [1, 0, 0]], atol=1e-6)
    weights = routing.scatter(choice, 4)
    np.testing.assert_allclose(weights, [[0.625, 0.375, 0, 0], [0, 1, 0, 0]], atol=1e-6)


def test_all_the_mass_is_top_k_and_hardly_any_is_top_1():
    kept = routing.scatter(routing.select(MANY, 3, 1.0), 8)
    np.testing.assert_allclose(kept, routing.top_k(routing.probabilities(MANY), 3), atol=1e-6)
    first = routing.scatter(routing.select(MANY, 3, 1e-6), 8)
    np.testing.assert_array_equal(first, jax.nn.one_hot(MANY.argmax(-1), 8))


def test_the_weights_are_put_back_on_their_own_experts():
    """A sort applied twice is no inverse: the defect of the published top-p."""
    order = jnp.array([[3.0, 1.0, 2.0, 0.0]])
    weights = routing.scatter(routing.select(order, 4, 0.99), 4)
    np.testing.assert_array_equal(jnp.argsort(weights), jnp.argsort(order))


def test_both_forms_of_top_p_agree():
    for p in (0.2, 0.6, 0.9):
        weights = routing.scatter(routing.select(MANY, 4, p), 8)
        other = routing.top_p(routing.probabilities(MANY), p, 4)
        np.testing.assert_allclose(weights, other, atol=1e-6)


def test_a_high_temperature_keeps_more_experts():
    counts = [
        float((routing.select(MANY, 8, 0.6, temperature=t).weight > 0).sum(-1).mean())
        for t in (0.25, 1.0, 4.0)
    ]
    assert counts[0] < counts[1] < counts[2]


def test_gradients_are_finite_where_experts_are_dropped():
    grad = jax.grad(lambda x: (routing.select(x, 4, 0.6).weight ** 2).sum())(100 * MANY)
    assert np.isfinite(grad).all()


@pytest.mark.parametrize(
    "count, p, message",
    [(5, 1.0, "top_k=5: expected 1 to the number of experts, 4"), (2, 1.5, r"top_p=1.5.*\(0, 1\]")],
)
def test_impossible_gates_are_refused(count, p, message):
    with pytest.raises(errors.InputError, match=message):
        routing.select(LOGITS, count, p)


def test_an_image_has_one_choice_by_its_mean_probability():
    choice = routing.frame_level(LOGITS[None], 2)
    np.testing.assert_array_equal(choice.index, [[1, 0]])
    np.testing.assert_allclose(choice.weight, [[0.6 / 0.875, 0.275 / 0.875]], atol=1e-6)


def test_statistics_by_hand():
    weights = jnp.array([[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25]])
    found = routing.statistics(weights, 4)
    assert float(found["count"]) == pytest.approx(7 / 3)
    np.testing.assert_allclose(found["histogram"], [1 / 3, 1 / 3, 0, 1 / 3], atol=1e-6)
    np.testing.assert_allclose(found["usage"], [0.25, 1.75 / 3, 0.25 / 3, 0.25 / 3], atol=1e-6)
    assert float(found["entropy"]) == pytest.approx((np.log(2) + np.log(4)) / 3)


def test_an_unbalanced_case_by_hand():
    """Three tokens, two experts, top-1: 2 of 3 slots and mean probability 0.6 at expert 0."""
    probs = jnp.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    kept = jnp.array([[1.0, 0], [1, 0], [0, 1]])
    expected = 2 * (2 / 3 * 0.6 + 1 / 3 * 0.4)
    assert float(balance.switch(probs, kept)) == pytest.approx(expected)
    assert float(balance.importance(probs)) == pytest.approx((0.1 / 0.5) ** 2)
    z = np.log(np.exp([[1, 2], [0, 0]]).sum(-1))
    assert float(balance.router_z(jnp.array([[1.0, 2], [0, 0]]))) == pytest.approx((z**2).mean())


def test_balance_losses_are_least_for_a_fair_router_and_grow_to_their_bound():
    fair = jnp.full((8, 4), 0.25)
    alone = jnp.eye(4)[jnp.zeros(8, int)]
    assert float(balance.switch(fair, jnp.tile(jnp.eye(4), (2, 1)))) == pytest.approx(1)
    assert float(balance.switch(alone, alone)) == pytest.approx(4)
    assert float(balance.importance(fair)) == pytest.approx(0, abs=1e-9)
    assert float(balance.importance(alone)) == pytest.approx(3)
    assert float(balance.load(jnp.log(fair), 1, 0.1)) == pytest.approx(0, abs=1e-9)
    assert float(balance.load(20 * alone, 1, 0.1)) == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize("name", ["switch", "importance", "load"])
def test_following_a_balance_loss_balances(name):
    losses = {
        "switch": lambda x: balance.switch(
            routing.probabilities(x), routing.scatter(routing.select(x, 1), 8)
        ),
        "importance": lambda x: balance.importance(routing.probabilities(x)),
        "load": lambda x: balance.load(x, 1, 1 / 8),
    }
    bias = jnp.array([3.0, 1, 0, 0, 0, 0, 0, 0])
    usage = lambda b: np.bincount((MANY + b).argmax(-1), minlength=8) / len(MANY)
    grad = jax.jit(jax.grad(lambda b: losses[name](MANY + b)))
    before = usage(bias)
    for _ in range(300):
        bias = bias - 0.3 * grad(bias)
    assert usage(bias).max() < 0.7 * before.max()


def router(rate, m, x):
    kernel = jax.random.normal(jax.random.key(1), (x.shape[-1], 4))
    bias = jnp.arange(4.0)
    thinned = uncertainty.masks(jax.random.key(2), m, x.shape[-1:], rate)[:, None]
    return kernel, bias, uncertainty.samples(x, kernel, bias, thinned)


def test_without_dropout_one_sample_is_the_plain_router_to_the_bit():
    x = jax.random.normal(jax.random.key(0), (5, 16))
    kernel, bias, logits = router(0.0, 1, x)
    np.testing.assert_array_equal(uncertainty.probit(logits), x @ kernel + bias)
    np.testing.assert_allclose(
        uncertainty.probit(router(0.0, 7, x)[2]), x @ kernel + bias, atol=1e-5
    )


def test_many_samples_tend_to_the_closed_form():
    x = jax.random.normal(jax.random.key(0), (5, 16))
    kernel, bias, logits = router(0.1, 20_000, x)
    np.testing.assert_allclose(logits.mean(0), x @ kernel + bias, atol=0.05)
    expected = 0.1 / 0.9 * (x**2) @ (kernel**2)  # the variance that many samples tend to
    np.testing.assert_allclose(logits.var(0), expected, rtol=0.05)


def test_disagreement_softens_the_weights_and_they_stay_probabilities():
    x = jax.random.normal(jax.random.key(0), (50, 16))
    kernel, bias, logits = router(0.5, 5, x)
    plain = routing.probabilities(logits.mean(0))
    soft = routing.probabilities(uncertainty.probit(logits))
    np.testing.assert_allclose(soft.sum(-1), 1, rtol=1e-6)
    assert (soft.max(-1) <= plain.max(-1) + 1e-6).mean() > 0.8


def test_probit_confidence_is_the_share_that_noise_leaves_right():
    """Two experts whose logit gap has standard deviation 2: softmax is overconfident."""
    rng = np.random.default_rng(0)
    gap = rng.normal(0, 2, 20_000)  # what the router would say without noise
    draws = gap + rng.normal(0, 2, (64, gap.size))
    truth = rng.random(gap.size) < 1 / (1 + np.exp(-draws[0]))
    seen = jnp.stack([jnp.array(draws[1:]), jnp.zeros(draws[1:].shape)], -1)
    error = {}
    for name, logits in {"plain": seen.mean(0), "probit": uncertainty.probit(seen)}.items():
        p = np.asarray(routing.probabilities(logits))
        right = (p[:, 0] > 0.5) == truth
        error[name] = calibration.ece(p.max(-1), right)
    assert error["probit"] < 0.02 < 0.05 < error["plain"]


def test_the_published_uncertainty_is_no_probability():
    weights = uncertainty.code_weights(jax.random.normal(jax.random.key(0), (5, 3, 6)), 2)[
        "weights"
    ]
    assert (weights < 0).any() and (np.abs(weights.sum(-1) - 1) > 0.1).any()
