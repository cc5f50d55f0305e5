"""Full-reference image quality on the device: one number an example, jittable.

Float32 on `[b h w c]` pictures in [0, 1]. Tables for papers are made on the host, in
float64 and from the bytes of the files: `wxjax.metrics.protocols`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.ops import filters

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03  # Wang et al. 2004, section III-C


def mse(
    prediction: Float[Array, "b h w c"], target: Float[Array, "b h w c"], *, crop_border: int = 0
) -> Float[Array, "b"]:
    """Mean squared error over pixels and channels of each image, in squared value units.

    Raises:
      InputError: if the crop leaves no pixel.
    """
    prediction, target = _crop(prediction, target, crop_border)
    # Rows first, then the image: a single float32 sum over 25 million values drifts.
    return jnp.square(prediction - target).mean((2, 3)).mean(1)


def psnr(
    prediction: Float[Array, "b h w c"],
    target: Float[Array, "b h w c"],
    *,
    crop_border: int = 0,
    data_range: float = 1.0,
) -> Float[Array, "b"]:
    """Peak signal-to-noise ratio in decibels; higher is better.

    10 log10(data_range^2 / MSE), the mean over all pixels and channels of one image.
    Nothing is clipped or rounded here: apply `ops.color.round_to_8bit` first if the
    number is to hold for a saved file.

    Args:
      crop_border: pixels ignored on every side; 0 for restoration, the scale factor
        for super-resolution.
      data_range: largest minus smallest legal value.

    Returns:
      One value an image, +inf where prediction and target are equal.

    Raises:
      InputError: if the crop leaves no pixel.
    """
    return 10 * jnp.log10(data_range**2 / mse(prediction, target, crop_border=crop_border))


def ssim(
    prediction: Float[Array, "b h w c"],
    target: Float[Array, "b h w c"],
    *,
    crop_border: int = 0,
    data_range: float = 1.0,
) -> Float[Array, "b"]:
    """Structural similarity (Wang et al., IEEE TIP 2004, eq. 13); 1 is equal.

    Gaussian window of 11 x 11, sigma 1.5, where it fits whole ("valid"); K1 = 0.01,
    K2 = 0.03; population moments; mean over positions, then channels. This is
    scikit-image's structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False). On a side below 11 the window shrinks to the largest
    odd size that fits (1 on a one-pixel image, where only the luminance term is left).
    Differentiable, with finite gradients everywhere.

    Raises:
      InputError: if the crop leaves no pixel.
    """
    prediction, target = _crop(prediction, target, crop_border)
    kernel = filters.gaussian_kernel(SIGMA, window_size(target.shape[1:3]) // 2)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    # E[x^2] - E[x]^2 cancels in float32, and variances do not mind an offset: take the mean out.
    level_x, level_y = (
        jax.lax.stop_gradient(v.mean((1, 2), keepdims=True)) for v in (prediction, target)
    )
    x, y = prediction - level_x, target - level_y
    moments = jnp.concatenate([x, y, x * x + y * y, x * y], -1)
    moments = filters.correlate(moments, kernel, filters.ROWS)
    moments = filters.correlate(moments, kernel, filters.COLUMNS)
    mean_x, mean_y, squares, product = jnp.split(moments, 4, -1)
    variances = squares - mean_x**2 - mean_y**2
    covariance = product - mean_x * mean_y
    mean_x, mean_y = mean_x + level_x, mean_y + level_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return (luminance * structure).mean((2, 3)).mean(1)


def window_size(shape: tuple[int, ...]) -> int:
    """Side of the SSIM window for an image of `shape` (h, w): 11, or the odd size that fits."""
    side = min(WINDOW, *shape)
    return side - 1 + side % 2


def check_crop(crop_border: int, shape: tuple[int, ...]) -> None:
    """Raises InputError unless `crop_border` leaves a pixel of a picture of `shape` (h, w)."""
    h, w = shape
    if crop_border < 0 or 2 * crop_border >= min(h, w):
        rule = f"expected 0 to {(min(h, w) - 1) // 2} for a {h}x{w} image, so that a pixel is left"
        raise errors.bad("crop_border", crop_border, rule)


def _crop(prediction: Array, target: Array, border: int) -> tuple[Array, Array]:
    check_crop(border, target.shape[1:3])
    inside = np.s_[:, border : target.shape[1] - border, border : target.shape[2] - border]
    return prediction[inside], target[inside]
