"""Intervals that cover, tests that agree with SciPy, degenerate cases that are defined."""

import json

import numpy as np
import pytest
import scipy.stats

from wxjax import errors
from wxjax.metrics import statistics

RNG = np.random.default_rng(0)
VALUES = RNG.normal(30, 2, 60)


def test_the_interval_is_close_to_students():
    found = statistics.bootstrap(VALUES)
    half = scipy.stats.t.ppf(0.975, 59) * VALUES.std(ddof=1) / np.sqrt(60)
    assert found["method"] == "BCa" and found["n"] == 60 and found["resamples"] == 10_000
    assert found["low"] == pytest.approx(found["mean"] - half, abs=0.08)
    assert found["high"] == pytest.approx(found["mean"] + half, abs=0.08)


def test_a_seed_repeats_the_interval():
    assert statistics.bootstrap(VALUES, seed=3) == statistics.bootstrap(VALUES, seed=3)
    assert statistics.bootstrap(VALUES, seed=3) != statistics.bootstrap(VALUES, seed=4)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    draws = np.random.default_rng(1).exponential(1.0, (200, 40))
    found = [statistics.bootstrap(draw, resamples=500) for draw in draws]
    assert 0.88 <= np.mean([row["low"] <= 1 <= row["high"] for row in found]) <= 0.99


@pytest.mark.parametrize(
    "values, method", [([5.0], "none"), ([5.0] * 9, "none"), ([1.0, 2.0], "percentile")]
)
def test_degenerate_samples_have_an_interval(values, method):
    found = statistics.bootstrap(np.array(values))
    assert found["method"] == method
    assert min(values) <= found["low"] <= found["mean"] <= found["high"] <= max(values)
    json.dumps(found, allow_nan=False)


def test_three_values_and_one_outlier_have_a_finite_interval():
    for values in ([1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 1e6]):
        found = statistics.bootstrap(np.array(values))
        assert np.isfinite([found["low"], found["high"]]).all()


def test_macro_resamples_within_tasks():
    # No spread within a task: the interval is a point, however far the tasks are apart.
    group = np.array(["haze"] * 3 + ["snow"])
    found = statistics.bootstrap_macro(np.array([20.0, 20, 20, 30]), group)
    assert (found["mean"], found["low"], found["high"], found["method"]) == (25, 25, 25, "none")
    spread = statistics.bootstrap_macro(VALUES, np.arange(60) % 3, seed=1)
    assert spread["low"] < spread["mean"] < spread["high"]
    sd = np.sqrt(np.mean([VALUES[i::3].var() / 20 for i in range(3)]) / 3)
    assert (spread["high"] - spread["low"]) / 2 == pytest.approx(1.96 * sd, rel=0.05)


def test_an_infinite_value_is_refused_with_the_cure():
    with pytest.raises(errors.InputError, match="1 of 2 not finite.*identical to their target"):
        statistics.bootstrap(np.array([30.0, np.inf]))
    with pytest.raises(errors.InputError, match="values=0: expected at least one image"):
        statistics.bootstrap(np.array([]))


def test_paired_tests_are_scipys():
    other = VALUES + RNG.normal(0.1, 0.5, 60)
    t, w = statistics.paired_t(other, VALUES), statistics.wilcoxon(other, VALUES)
    assert t["p"] == pytest.approx(scipy.stats.ttest_rel(other, VALUES).pvalue)
    assert t["df"] == 59 and t["difference"] == pytest.approx(np.mean(other - VALUES))
    assert w["p"] == pytest.approx(scipy.stats.wilcoxon(other, VALUES).pvalue)


def test_the_effect_size_is_t_over_root_n():
    other = VALUES + RNG.normal(0.1, 0.5, 60)
    t = statistics.paired_t(other, VALUES)["t"]
    assert statistics.cohens_d(other, VALUES) == pytest.approx(t / np.sqrt(60))


@pytest.mark.parametrize(
    "shift, n, t, p, d",
    [(0.0, 5, 0.0, 1.0, 0.0), (0.3, 5, None, 0.0, None), (0.3, 1, None, None, None)],
    ids=["equal", "one constant apart", "one pair"],
)
def test_paired_tests_without_spread_are_defined(shift, n, t, p, d):
    a, b = VALUES[:n] + shift, VALUES[:n]
    found = statistics.paired_t(a, b)
    assert (found["t"], found["p"]) == (t, p)
    assert statistics.cohens_d(a, b) == d
    json.dumps([found, statistics.wilcoxon(a, b)], allow_nan=False)


def test_macro_weighs_tasks_not_images():
    means = statistics.group_means(np.array([1.0, 1, 1, 5]), np.array(["a", "a", "a", "b"]))
    assert means == {"a": 1, "b": 5}
    assert statistics.macro(means) == 3


def test_h_mean_by_hand_and_at_its_ends():
    assert statistics.h_mean(30.0, 0.2) == pytest.approx(0.8)  # a = b = .8
    assert statistics.h_mean(22.5, 0.0) == pytest.approx(2 * 0.5 / 1.5)
    ends = statistics.h_mean(np.array([5.0, 60.0, np.inf, 30.0]), np.array([0.0, 0.0, 0.0, 1.2]))
    np.testing.assert_allclose(ends, [0, 1, 1, 0])
    assert statistics.h_mean(0.0, 1.0) == 0
