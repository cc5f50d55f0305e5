"""Device metrics against scikit-image in float64 and numbers worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wxjax import errors
from wxjax.metrics import image

# Compiled, as in use: uncompiled, every tap of the window is a program of its own.
psnr = jax.jit(image.psnr, static_argnames="crop_border")
ssim = jax.jit(image.ssim, static_argnames="crop_border")
SLOPE = jax.jit(jax.grad(lambda x, y: image.ssim(x, y).sum()))
RNG = np.random.default_rng(0)
PHOTO = data.astronaut()[:160, :200] / 255


def reference_ssim(x, y):
    _, full = structural_similarity(
        x,
        y,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=-1,
        full=True,
    )
    return full[5:-5, 5:-5].mean()


def on_device(x):
    return jnp.asarray(x, jnp.float32)[None]


NOISY = np.clip(PHOTO + RNG.normal(0, 0.05, PHOTO.shape), 0, 1)
PAIRS = {
    "noise": (NOISY, PHOTO),
    "haze": (0.7 * PHOTO + 0.25, PHOTO),
    "flat and bright": (np.full((40, 50, 3), 0.98), np.full((40, 50, 3), 1.0)),
    "faint texture on white": (1 - 0.002 * RNG.random((40, 50, 3)), np.ones((40, 50, 3))),
    "black": (0.004 * RNG.random((40, 50, 3)), np.zeros((40, 50, 3))),
    "unrelated": (RNG.random((64, 64, 3)), RNG.random((64, 64, 3))),
}


@pytest.mark.parametrize("x, y", PAIRS.values(), ids=PAIRS)
def test_ssim_is_scikit_images(x, y):
    assert float(ssim(on_device(x), on_device(y))[0]) == pytest.approx(
        reference_ssim(x, y), abs=1e-5
    )


@pytest.mark.parametrize("x, y", PAIRS.values(), ids=PAIRS)
def test_psnr_is_scikit_images_to_a_thousandth_of_a_decibel(x, y):
    assert float(psnr(on_device(x), on_device(y))[0]) == pytest.approx(
        peak_signal_noise_ratio(y, x, data_range=1), abs=1e-3
    )


def test_a_large_image_does_not_drift():
    big = jnp.full((1, 2160, 3840, 3), 0.3)
    assert float(image.mse(big + 0.1, big)[0]) == pytest.approx(0.01, rel=1e-4)


def test_psnr_by_hand():
    target = jnp.zeros((2, 8, 8, 3))
    offset = jnp.array([0.1, 1.0]).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(psnr(target + offset, target), [20, 0], atol=1e-4)
    assert psnr(target, target)[0] == jnp.inf


def test_ssim_of_two_flat_pictures_is_the_luminance_term():
    x, y = jnp.full((1, 16, 16, 1), 0.2), jnp.full((1, 16, 16, 1), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert float(ssim(x, y)[0]) == pytest.approx(expected, abs=1e-6)


def test_each_image_of_a_batch_is_scored_alone():
    x = jnp.stack([on_device(NOISY)[0], on_device(PHOTO)[0]])
    y = jnp.stack([on_device(PHOTO)[0]] * 2)
    batch = ssim(x, y)
    assert float(batch[0]) == pytest.approx(float(ssim(x[:1], y[:1])[0]), abs=1e-6)
    assert float(batch[1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 2), (10, 7), (11, 11)])
def test_an_image_smaller_than_the_window_has_a_value(shape):
    x = jax.random.uniform(jax.random.key(0), (1, *shape, 3))
    assert float(ssim(x, x)[0]) == pytest.approx(1, abs=1e-5)
    assert -1 <= float(ssim(x, 1 - x)[0]) < 1


@pytest.mark.parametrize(
    "shape, side", [((1, 9), 1), ((2, 9), 1), ((3, 9), 3), ((10, 30), 9), ((11, 11), 11)]
)
def test_the_window_is_the_largest_odd_size_that_fits(shape, side):
    assert image.window_size(shape) == side


def test_the_border_is_cut_before_anything_is_summed():
    x = on_device(PHOTO)
    spoilt = x.at[:, :4].set(0).at[:, :, -4:].set(1)
    assert psnr(spoilt, x, crop_border=4)[0] == jnp.inf
    assert psnr(spoilt, x, crop_border=3)[0] < 60
    assert float(ssim(spoilt, x, crop_border=4)[0]) == pytest.approx(1, abs=1e-6)


def test_a_crop_that_leaves_nothing_is_refused():
    x = jnp.zeros((1, 9, 20, 3))
    with pytest.raises(errors.InputError, match="crop_border=5: expected 0 to 4 for a 9x20 image"):
        ssim(x, x, crop_border=5)
    assert psnr(x + 1, x, crop_border=4)[0] == 0


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_ssim_has_finite_gradients_on_flat_pictures(level):
    x = jnp.full((1, 16, 16, 3), level)
    gradient = SLOPE(x, x)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_ssim_has_the_gradient_of_its_slope():
    x, y = on_device(NOISY[:32, :32]), on_device(PHOTO[:32, :32])
    gradient = SLOPE(x, y)
    step = 1e-4 * np.sign(gradient)
    rise = reference_ssim(*(np.asarray(v[0], np.float64) for v in (x + step, y))) - reference_ssim(
        *(np.asarray(v[0], np.float64) for v in (x - step, y))
    )
    assert rise / 2 == pytest.approx(float(jnp.abs(gradient).sum()) * 1e-4, rel=0.02)
