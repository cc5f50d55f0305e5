"""The estimate follows the synthetic strength."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from wxjax import errors, task
from wxjax.data import embedded, records, severity, synthesis

PHOTOGRAPHS = ("astronaut", "flower", "chelsea", "china", "coffee", "rocket", "brick", "camera")
STRENGTHS = np.linspace(0, 1, 8)


def correlations(kind, key):
    """Of strength and estimate over a sweep, a photograph; `key(photo, step)` seeds the rest."""
    values = []
    for j, name in enumerate(PHOTOGRAPHS):
        clean = np.ascontiguousarray(embedded.photograph(name)[:256, :256])
        found = [
            synthesis.degrade(clean, kind, np.random.default_rng(key(j, i)), strength)[0]
            for i, strength in enumerate(STRENGTHS)
        ]
        values.append(spearmanr(STRENGTHS, [severity.estimate(one, kind) for one in found])[0])
    return values


@pytest.mark.parametrize("kind", records.DEGRADATIONS)
def test_rank_correlation_with_the_strength_of_one_scene_is_high(kind):
    assert min(correlations(kind, lambda photo, step: [9, photo])) >= 0.9


@pytest.mark.parametrize("kind", records.DEGRADATIONS)
def test_rank_correlation_holds_when_all_else_is_drawn_anew(kind):
    assert np.mean(correlations(kind, lambda photo, step: [photo, step])) >= 0.8


@pytest.mark.parametrize("kind", records.DEGRADATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (700, 500)])
def test_it_stays_in_the_unit_interval(kind, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for image in (noise, np.zeros_like(noise), np.full_like(noise, 255)):
        assert 0 <= severity.estimate(image, kind) <= 1


def test_a_kind_without_estimate_is_named():
    with pytest.raises(errors.InputError, match="kind='mixed'"):
        severity.estimate(np.zeros((4, 4, 3), np.uint8), "mixed")


def test_the_order_of_degradations_is_the_tasks():
    assert records.DEGRADATIONS == task.DEGRADATIONS
