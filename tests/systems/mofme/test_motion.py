"""Motion between frames: known shifts, things that move by themselves, borders."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.systems.mofme import motion

RNG = np.random.default_rng(0)


@functools.cache
def ground(side=200):
    """A smooth random picture in [0, 1]."""
    noise = RNG.normal(size=(side, side)).astype(np.float32)
    soft = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4, 10))
    return (soft - soft.min()) / np.ptp(soft)


def window(down, right, side=96):
    """The middle of the picture after it has moved down and right, between pixels too."""
    move = np.float32([[1, 0, right], [0, 1, down]])
    moved = cv2.warpAffine(ground(), move, (200, 200), flags=cv2.INTER_CUBIC)
    return jnp.asarray(moved[52 : 52 + side, 52 : 52 + side])


estimate = jax.jit(motion.estimate)


@pytest.mark.parametrize("down, right", [(0, 0), (1.3, -2.6), (-7, 5.5), (20, -24)])
def test_a_pan_is_found_between_pixels(down, right):
    way = np.asarray(estimate(window(down, right), window(0, 0)))
    true = jnp.broadcast_to(jnp.array([-down, -right], jnp.float32), way.shape)
    seen = np.asarray(motion.inside(true))
    error = np.abs(way - [-down, -right]).max(-1)[seen]
    assert np.median(error) < 0.1 and np.quantile(error, 0.9) < 0.5


def test_what_falls_by_itself_does_not_carry_the_scene_along():
    first, second = (np.array(window(*place)) for place in ((0, 0), (0, 6.0)))
    flakes = RNG.integers(4, 90, (30, 2))
    for y, x in flakes:  # bright, 3 x 3, falling by 4 pixels
        first[y - 1 : y + 2, x - 1 : x + 2] = second[y + 3 : y + 6, x - 1 : x + 2] = 1
    way = np.asarray(estimate(jnp.asarray(second), jnp.asarray(first)))
    error = np.abs(way - [0, -6.0]).max(-1)[:, 8:]
    assert np.median(error) < 0.3 and (error < 1).mean() > 0.85


def test_a_frame_read_along_its_motion_is_the_other():
    first, second = window(0, 0), window(3.4, -5.2)
    warped = motion.warp(first[..., None], estimate(second, first))[..., 0]
    assert np.abs(warped - second)[8:-8, 8:-8].mean() < 0.01
    assert np.abs(first - second)[8:-8, 8:-8].mean() > 0.05


def test_reading_in_place_is_the_identity_and_half_a_pixel_the_mean():
    image = jnp.asarray(RNG.random((5, 7, 3), np.float32))
    np.testing.assert_array_equal(motion.warp(image, jnp.zeros((5, 7, 2))), image)
    half = motion.warp(image, jnp.broadcast_to(jnp.array([0, 0.5]), (5, 7, 2)))
    np.testing.assert_allclose(half[:, :-1], (image[:, 1:] + image[:, :-1]) / 2, atol=1e-6)
    np.testing.assert_array_equal(half[:, -1], image[:, -1])


def test_flat_frames_of_odd_sides_stand_still():
    flat = jnp.full((17, 41), 0.5)
    assert np.abs(estimate(flat, flat)).max() == 0
