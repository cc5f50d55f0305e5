"""Averaging over shifts, on programs whose lattice is known."""

import numpy as np
import pytest

from wxjax.evaluate.averaging import SHIFTS, Averaged

IMAGE = np.random.default_rng(0).random((20, 24, 3)).astype(np.float32)
COSTS = {"latency_ms": 2.0, "ms_per_mp": 3.0, "mem_gb": 1.0}


def test_a_program_without_a_lattice_is_left_as_it_is():
    restored, said = Averaged(lambda x, **extra: (2 * x, COSTS))(IMAGE)
    np.testing.assert_allclose(restored, 2 * IMAGE, atol=1e-6)
    assert said == {"latency_ms": 8.0, "ms_per_mp": 12.0, "mem_gb": 1.0}


@pytest.mark.parametrize("axis", [0, 1])
def test_a_lattice_of_a_patch_is_averaged_away(axis):
    def program(x):
        lines = np.float32(np.arange(x.shape[axis]) % 4 == 0)
        return x + (lines[:, None, None] if axis == 0 else lines[:, None]), COSTS

    restored, _ = Averaged(program)(IMAGE)
    np.testing.assert_allclose(restored - IMAGE, 0.25, atol=1e-6)  # on every line alike


def test_every_shift_uses_the_expert_chosen_for_the_picture_where_it_lies():
    asked = []

    def program(x, force):
        asked.append(int(force))
        return x, {**COSTS, "route": np.array([2])}

    _, said = Averaged(program)(IMAGE, force=np.int32(-1))
    assert asked == [-1, 2, 2, 2] and said["route"][0] == 2 and len(SHIFTS) == 4


def test_a_picture_smaller_than_the_shifts_is_averaged_too():
    tiny = IMAGE[:2, :3]
    restored, _ = Averaged(lambda x: (x, COSTS))(tiny)
    np.testing.assert_allclose(restored, tiny, atol=1e-6)
