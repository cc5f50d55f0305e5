"""Pixel losses worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.losses import pixel

ZERO = jnp.zeros((2, 8, 6, 3))
OFFSET = ZERO + jnp.array([0.1, -0.3]).reshape(2, 1, 1, 1)


@pytest.mark.parametrize(
    "loss, expected",
    [
        (pixel.l1, [0.1, 0.3]),
        (pixel.mse, [0.01, 0.09]),
        (pixel.charbonnier, np.sqrt([0.01 + 1e-6, 0.09 + 1e-6])),
    ],
)
def test_a_constant_error_by_hand(loss, expected):
    np.testing.assert_allclose(loss(OFFSET, ZERO), expected, rtol=1e-5)


def test_charbonnier_at_equality_is_eps():
    np.testing.assert_allclose(pixel.charbonnier(ZERO, ZERO), 1e-3, rtol=1e-5)
    np.testing.assert_allclose(pixel.charbonnier(ZERO, ZERO, eps=0.5), 0.5, rtol=1e-5)


def test_a_constant_error_has_one_fourier_coefficient():
    # e h w at frequency 0 over 2 h w numbers, real and imaginary: e / 2 unnormalised.
    np.testing.assert_allclose(pixel.fft_l1(OFFSET, ZERO, scale="official"), [0.05, 0.15], 1e-5)
    expected = np.array([0.05, 0.15]) / np.sqrt(48)
    np.testing.assert_allclose(pixel.fft_l1(OFFSET, ZERO), expected, 1e-5)


def test_the_official_scale_is_root_h_w_times_the_orthonormal():
    x = jax.random.uniform(jax.random.key(0), (1, 32, 16, 3))
    ratio = pixel.fft_l1(x, 1 - x, scale="official") / pixel.fft_l1(x, 1 - x)
    np.testing.assert_allclose(ratio, np.sqrt(32 * 16), rtol=1e-5)


def test_a_white_error_counts_alike_in_both_domains_at_any_size():
    for size in (16, 64):
        error = jax.random.normal(jax.random.key(0), (1, size, size, 3))
        # |N(0, 1)| against |N(0, 1/2)|, the real part of an orthonormal coefficient.
        ratio = pixel.fft_l1(error, 0 * error)[0] / pixel.l1(error, 0 * error)[0]
        assert float(ratio) == pytest.approx(np.sqrt(0.5), rel=0.08)


def test_an_unknown_scale_is_named():
    with pytest.raises(errors.InputError, match="scale='ortho': expected one of official, orthono"):
        pixel.fft_l1(ZERO, ZERO, scale="ortho")


def test_smooth_l1_is_a_parabola_below_one_and_a_line_above():
    zero = jnp.zeros((3, 2, 2, 1))
    output = zero.at[0].set(0.5).at[1].set(1.0).at[2].set(-3.0)
    np.testing.assert_allclose(pixel.smooth_l1(output, zero), [0.125, 0.5, 2.5])
