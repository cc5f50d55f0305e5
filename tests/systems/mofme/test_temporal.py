"""Temporal metrics on clips whose motion is known."""

import cv2
import numpy as np
import pytest

from wxjax.systems.mofme import temporal

RNG = np.random.default_rng(0)


def moving(step=2, count=4, side=96):
    """A textured picture that moves `step` pixels to the left every frame."""
    big = cv2.GaussianBlur(RNG.random((side, side + 40, 3)).astype(np.float32), (0, 0), 2)
    big = np.rint((big - big.min()) / np.ptp(big) * 255).astype(np.uint8)
    return np.stack([big[:, step * t : step * t + side] for t in range(count)])


def test_the_flow_of_a_moved_picture_is_its_motion():
    clip = moving()
    way = temporal.flow(clip[0], clip[1])[20:-20, 20:-20]
    np.testing.assert_allclose(np.median(way, (0, 1)), [-2, 0], atol=0.1)
    warped = temporal.warp(clip[1], temporal.flow(clip[0], clip[1]))
    assert np.abs(warped - clip[0])[20:-20, 20:-20].mean() < 3


def test_what_leaves_the_frame_is_not_visible():
    forward = np.zeros((16, 16, 2), np.float32)
    forward[..., 0] = -3
    mask = temporal.visible(forward, -forward)
    assert not mask[:, :3].any() and mask[:, 3:].all()
    assert not temporal.visible(forward, np.zeros_like(forward)).any()  # the way back disagrees


def test_the_truth_scores_the_floor_and_flicker_more():
    clean = moving()
    best = temporal.measure(clean, clean)
    assert best["warping"] == best["warping_floor"] and best["tof"] == best["difference"] == 0
    flicker = clean.copy()
    flicker[1::2] = np.minimum(flicker[1::2].astype(int) + 20, 255)
    worse = temporal.measure(flicker, clean)
    assert worse["warping"] > 2 * best["warping"]
    assert worse["difference"] == pytest.approx((20 / 255) ** 2, rel=0.1)


def test_a_constant_error_has_no_difference_and_one_frame_no_score():
    clean = moving() // 2
    assert temporal.measure(clean + 10, clean)["difference"] == pytest.approx(0, abs=1e-12)
    assert temporal.measure(clean[:1], clean[:1]) == {}


def test_the_profile_is_a_row_over_time():
    clip = moving()
    np.testing.assert_array_equal(temporal.profile(clip, 5), clip[:, 5])
    assert temporal.profile(clip).shape == (4, 96, 3)
