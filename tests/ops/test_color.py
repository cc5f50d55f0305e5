"""Colour conversions against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.ops import color

LEVELS = jnp.linspace(0, 1, 256).reshape(1, 16, 16, 1)


def test_linear_light_and_back_is_the_identity():
    back = color.linear_to_srgb(color.srgb_to_linear(LEVELS))
    np.testing.assert_allclose(back, LEVELS, atol=1e-6)


def test_middle_grey_is_the_published_value():
    assert color.srgb_to_linear(jnp.array([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)


@pytest.mark.parametrize("convert", [color.srgb_to_linear, color.linear_to_srgb])
def test_the_two_pieces_of_the_curve_meet_and_its_gradient_is_finite_at_black(convert):
    x = jnp.linspace(0, 0.1, 2001)
    assert jnp.abs(jnp.diff(convert(x))).max() < 0.001
    slope = jax.grad(lambda v: convert(v).sum())(x)
    assert jnp.isfinite(slope).all() and (slope > 0).all()


def test_luma_of_white_is_one_and_of_green_its_weight():
    white_green = jnp.array([[1.0, 1, 1], [0, 1, 0]])
    np.testing.assert_allclose(color.luma(white_green)[:, 0], [1, 0.587], atol=1e-6)


def test_halves_round_up_and_the_range_is_kept():
    x = np.array([-1, 0.4999 / 255, 0.5 / 255, 1.5 / 255, 2.5 / 255, 254.5 / 255, 2, np.nan])
    np.testing.assert_array_equal(color.round_to_uint8(x), [0, 0, 1, 2, 3, 255, 255, 0])


def test_every_byte_survives_both_roundings():
    levels = np.arange(256, dtype=np.uint8)
    image = levels.astype(np.float32) / 255
    np.testing.assert_array_equal(color.round_to_uint8(image), levels)
    device = np.asarray(color.round_to_8bit(jnp.asarray(image)))
    np.testing.assert_array_equal(color.round_to_uint8(device), levels)


def test_device_and_host_round_alike():
    x = np.random.default_rng(0).uniform(-0.1, 1.1, 10_000).astype(np.float32)
    device = np.asarray(color.round_to_8bit(jnp.asarray(x))) * 255
    np.testing.assert_allclose(device, color.round_to_uint8(x), atol=1e-4)
