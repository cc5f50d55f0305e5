"""Identity and triplet losses, worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.systems.reid import losses

LABELS = jnp.array([0, 0, 1, 1])
POINTS = jnp.array([[0.0], [1.0], [3.0], [7.0]])
# Anchor 0: farthest positive 1, nearest negative 3. Anchor 1: 1, 2. Anchor 2: 4, 2. Anchor 3: 4, 6.
GAPS = np.array([1 - 3, 1 - 2, 4 - 2, 4 - 6], float)


def test_batch_hard_by_hand():
    found = losses.batch_hard_triplet(POINTS, LABELS)
    np.testing.assert_allclose(found, np.log1p(np.exp(GAPS)), rtol=1e-5)
    found = losses.batch_hard_triplet(POINTS, LABELS, margin=0.3)
    np.testing.assert_allclose(found, np.maximum(GAPS + 0.3, 0), atol=1e-5)


def test_the_gradient_is_finite_where_shots_coincide():
    same = jnp.zeros((4, 3))
    grad = jax.grad(lambda x: losses.batch_hard_triplet(x, LABELS).mean())(same)
    assert np.isfinite(grad).all()


def test_an_anchor_without_a_positive_or_negative_counts_nothing():
    alone = losses.batch_hard_triplet(POINTS, jnp.array([0, 0, 1, 2]))
    assert alone[2] == 0 and alone[3] == 0 and alone[0] > 0
    assert float(losses.batch_hard_triplet(POINTS, jnp.zeros(4, int)).sum()) == 0


def test_smoothing_by_hand():
    # Uniform scores over i identities cost log i, whatever the smoothing.
    found = losses.identity(jnp.zeros((4, 5)), LABELS, 0.1)
    np.testing.assert_allclose(found, np.log(5), rtol=1e-6)
    logits = jnp.array([[np.log(3.0), 0.0]])  # p = 3/4, 1/4
    expected = -(0.95 * np.log(3 / 4) + 0.05 * np.log(1 / 4))
    assert float(losses.identity(logits, jnp.array([0]), 0.1)[0]) == pytest.approx(expected)
