"""What a router did, by hand."""

import numpy as np
import pytest

from wxjax.metrics import routing


def test_accuracy_counts_only_what_has_a_truth():
    assert routing.accuracy(np.array([0, 1, 2, 2]), np.array([0, 2, 2, -1])) == 2 / 3
    assert np.isnan(routing.accuracy(np.array([0]), np.array([-1])))


@pytest.mark.parametrize("actual, expected", [(30.0, 0), (31.0, 1), (30.9, 0.9), (29.5, -0.5)])
def test_nearness_runs_from_dense_to_oracle(actual, expected):
    assert routing.nearness(actual, 30.0, 31.0) == pytest.approx(expected)


def test_nearness_without_headroom_has_no_answer():
    assert np.isnan(routing.nearness(30.0, 30.0, 30.0))


def test_usage_sums_to_one_and_keeps_idle_experts():
    np.testing.assert_array_equal(routing.usage(np.array([1, 1, 3, 0]), 4), [0.25, 0.5, 0, 0.25])
    np.testing.assert_array_equal(routing.usage(np.array([], int), 3), [0, 0, 0])


def test_abstention_is_a_share():
    assert routing.abstention(np.array([True, False, False, False])) == 0.25
    assert routing.abstention(np.array([], bool)) == 0


def test_entropy_runs_from_certainty_to_ignorance():
    p = np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])
    np.testing.assert_allclose(routing.entropy(p), [0, np.log(3), np.log(2)], atol=1e-12)
