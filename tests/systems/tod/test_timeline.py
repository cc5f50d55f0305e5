"""Interpolation on a circle of hours, against SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from wxjax.systems.tod import timeline

HOURS = np.array([0.5, 2.0, 5.0, 9.0, 12.0, 18.0, 21.5])


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).uniform(size=(3, 7, 2)).astype(np.float32)


def between(kind, values, hours, asked, keep=None):
    asked = jnp.asarray(asked, jnp.float32)
    keep = jnp.ones((len(asked), len(hours)), bool) if keep is None else keep
    at = timeline.bracket(jnp.asarray(hours, jnp.float32), keep, asked, 24.0)
    return kind(at, jnp.broadcast_to(values, (len(asked), *values.shape)))


def test_cubic_is_scipys_on_a_circle(values):
    asked = np.linspace(0, 23.9, 49)
    found = between(timeline.cubic, values, HOURS, asked)
    around = np.concatenate([HOURS - 24, HOURS, HOURS + 24])
    expected = PchipInterpolator(around, np.tile(values, (1, 3, 1)), axis=1)(asked)
    np.testing.assert_allclose(found.swapaxes(0, 1), expected, atol=2e-5)


def test_both_are_exact_at_given_hours_and_linear_halves(values):
    for kind in (timeline.linear, timeline.cubic):
        found = between(kind, values, HOURS, HOURS)
        np.testing.assert_allclose(found.swapaxes(0, 1), values, atol=1e-6)
    middle = between(timeline.linear, values, HOURS, [23.0])  # between 21.5 and 0.5
    np.testing.assert_allclose(middle[0], (values[:, 6] + values[:, 0]) / 2, atol=1e-6)


def test_hidden_frames_are_not_used(values):
    keep = np.ones((1, 7), bool)
    keep[0, 3] = False
    spoilt = values.copy()
    spoilt[:, 3] = np.nan
    for kind in (timeline.linear, timeline.cubic):
        found = between(kind, spoilt, HOURS, [9.0], jnp.asarray(keep))
        rest = np.delete(np.arange(7), 3)
        expected = between(kind, values[:, rest], HOURS[rest], [9.0])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_bracket_of_an_hour_before_the_first_frame_is_last_nights():
    at = timeline.bracket(
        jnp.asarray(HOURS, jnp.float32), jnp.ones((1, 7), bool), jnp.array([0.2]), 24.0
    )
    assert at.index[:, 0].tolist() == [5, 6, 0, 1]
    np.testing.assert_allclose(at.spans[:, 0], [3.5, 3.0, 1.5], atol=1e-5)
    np.testing.assert_allclose(at.u, 2.7 / 3, atol=1e-5)
