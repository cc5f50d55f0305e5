"""Calibration numbers worked by hand, and searches against slow ones."""

import numpy as np
import pytest
import scipy.optimize
import sklearn.metrics

from wxjax import errors
from wxjax.metrics import calibration

RNG = np.random.default_rng(0)


def test_a_perfectly_calibrated_table_has_no_error():
    confidence = np.repeat([0.25, 0.5, 0.75], 4)
    correct = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0], bool)
    assert calibration.ece(confidence, correct) == pytest.approx(0, abs=1e-12)
    assert calibration.ece(confidence, correct, bins=3, adaptive=True) == pytest.approx(0)


def test_ece_by_hand():
    # Two bins hold .9 .9 (one right) and .6 (right): 2/3 |.5 - .9| + 1/3 |1 - .6| = .4
    found = calibration.ece(np.array([0.9, 0.9, 0.6]), np.array([True, False, True]))
    assert found == pytest.approx(0.4)


def test_bins_are_open_below_and_closed_above():
    rows = calibration.reliability(np.array([0.0, 0.5, 0.51, 1.0]), np.ones(4, bool), bins=2)
    assert [row["count"] for row in rows] == [2, 2]
    empty = calibration.reliability(np.array([0.9]), np.array([True]), bins=2)[0]
    assert empty == {"low": 0, "high": 0.5, "count": 0, "confidence": None, "accuracy": None}


def test_adaptive_bins_hold_equally_many():
    rows = calibration.reliability(RNG.random(100) ** 4, np.ones(100, bool), 15, adaptive=True)
    assert {row["count"] for row in rows} == {6, 7} and len(rows) == 15
    assert len(calibration.reliability(np.array([0.4, 0.6]), np.ones(2, bool), 15, True)) == 2


def test_ece_tends_to_the_gap_of_an_overconfident_router():
    confidence = np.full(20_000, 0.95)
    correct = RNG.random(20_000) < 0.8
    assert calibration.ece(confidence, correct) == pytest.approx(0.15, abs=0.01)


def test_brier_and_nll_by_hand():
    p, label = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]]), np.array([0, 0])
    assert calibration.brier(p, label) == pytest.approx((0.09 + 0.04 + 0.01 + 2) / 2)
    assert calibration.nll(p, label) == pytest.approx((-np.log(0.7) - np.log(1e-12)) / 2)
    certain = np.eye(3)
    assert calibration.nll(certain, np.arange(3)) == 0


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(true):
    logits = RNG.normal(0, 3, (20_000, 3))
    p = calibration.softmax(logits, true)
    label = (RNG.random((20_000, 1)) > np.cumsum(p, 1)).sum(1).clip(0, 2)
    found = calibration.fit_temperature(logits, label)
    assert found == pytest.approx(true, rel=0.05)
    slow = scipy.optimize.minimize_scalar(
        lambda t: calibration.nll(calibration.softmax(logits, t), label),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert found == pytest.approx(slow.x, rel=1e-4)


def test_lapses_that_made_the_labels_are_found():
    logits = RNG.normal(0, 3, (20_000, 3))
    p = calibration.with_lapses(calibration.softmax(logits, 0.5), 0.3)
    label = (RNG.random((20_000, 1)) > np.cumsum(p, 1)).sum(1).clip(0, 2)
    temperature, rate = calibration.fit_lapses(logits, label)
    assert rate == pytest.approx(0.3, abs=0.02) and temperature == pytest.approx(0.5, rel=0.15)
    sure = calibration.softmax(logits, 0.5)
    honest = calibration.with_lapses(sure, rate)
    right = sure.argmax(-1) == label
    assert calibration.ece(honest.max(-1), right) < 0.02 < calibration.ece(sure.max(-1), right)


def test_without_lapses_it_is_the_temperature_alone():
    logits, right = np.eye(3) * 5, np.arange(3)
    assert calibration.fit_lapses(logits, right) == (0.02, 0.0)


def test_the_temperature_has_ends():
    logits, right = np.eye(3) * 5, np.arange(3)
    assert calibration.fit_temperature(logits, right) == 0.02
    assert calibration.fit_temperature(logits, (right + 1) % 3) == 50
    with pytest.raises(errors.InputError, match="samples=0"):
        calibration.fit_temperature(np.zeros((0, 3)), np.zeros(0, int))


def slow_threshold(confidence, score, fallback, limit, group):
    best = (0.0, -np.inf, 0.0)
    for threshold in [0.0, *np.unique(confidence)]:
        out = confidence < threshold
        if out.mean() <= limit:
            values = np.where(out, fallback, score)
            macro = np.mean([values[group == g].mean() for g in np.unique(group)])
            if macro > best[1] + 1e-12:
                best = (threshold, macro, out.mean())
    return best


@pytest.mark.parametrize("limit", [0.0, 0.1, 0.5, 1.0])
def test_the_best_threshold_is_the_slow_one(limit):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        confidence = rng.choice(np.linspace(0.3, 1, 12), 40)  # ties
        score, fallback = rng.normal(30, 1, 40), rng.normal(29.8, 1, 40)
        group = rng.integers(0, 3, 40)
        found = calibration.best_threshold(confidence, score, fallback, limit=limit, group=group)
        _, macro, abstention = slow_threshold(confidence, score, fallback, limit, group)
        np.testing.assert_allclose([found["score"], found["abstention"]], [macro, abstention])
        assert (confidence < found["threshold"]).mean() == abstention


def test_a_threshold_cuts_alike_in_float32():
    confidence = RNG.random(1000)
    found = calibration.best_threshold(confidence, confidence, np.full(1000, 0.05))
    cut = confidence.astype(np.float32) < np.float32(found["threshold"])
    assert found["abstention"] > 0.02 and cut.mean() == found["abstention"]


def test_nothing_abstains_where_the_fallback_is_worse():
    found = calibration.best_threshold(RNG.random(50), np.ones(50), np.zeros(50), limit=0.5)
    assert found == {"threshold": 0.0, "score": 1.0, "abstention": 0.0}


def test_aurc_by_hand_and_its_ends():
    # Losses from the most confident on: 0, 1, 0; their running means 0, 1/2, 1/3.
    found = calibration.aurc(np.array([0.9, 0.5, 0.7]), np.array([0.0, 0.0, 1.0]))
    assert found == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    loss = (RNG.random(200) < 0.3).astype(float)
    best, worst = calibration.aurc(-loss, loss), calibration.aurc(loss, loss)
    assert best < calibration.aurc(np.full(200, 0.5), loss) < worst
    assert calibration.aurc(np.full(200, 0.5), loss) == pytest.approx(loss.mean())


def test_brier_of_two_classes_is_twice_scikit_learns():
    p = RNG.random(100)
    label = (RNG.random(100) < p).astype(int)
    expected = 2 * sklearn.metrics.brier_score_loss(label, p)
    assert calibration.brier(np.stack([1 - p, p], 1), label) == pytest.approx(expected)


def test_a_confidence_that_is_none_is_refused():
    with pytest.raises(errors.InputError, match=r"confidence=1.5: expected values in \[0, 1\]"):
        calibration.ece(np.array([0.2, 1.5]), np.array([True, True]))
