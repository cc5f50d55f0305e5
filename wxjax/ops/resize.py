"""Resizing: MATLAB's bicubic as two matrix products, and pixel (un)shuffling."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors


def cubic(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Keys' cubic convolution kernel with a = -0.5 (IEEE TASSP 1981, eq. 15); support 4."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@functools.lru_cache(maxsize=256)
def bicubic_weights(before: int, after: int, antialias: bool = True) -> np.ndarray:
    """The matrix `[after before]` of MATLAB's imresize along one axis, in float64.

    Sample i of the result lies at (i + 0.5) before / after - 0.5. When shrinking, the
    kernel is stretched by before / after (`antialias`). Taps beyond the border fall on
    the image mirrored with its edge pixel doubled. Rows sum to 1.

    Raises:
      InputError: if a size is below 1.
    """
    for name, size in (("before", before), ("after", after)):
        if size < 1:
            raise errors.bad(name, size, "expected at least one pixel")
    stretch = max(before / after, 1.0) if antialias else 1.0
    centre = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(centre - 2 * stretch).astype(int)
    taps = first[:, None] + np.arange(math.ceil(4 * stretch) + 2)
    weights = cubic((centre[:, None] - taps) / stretch)
    weights /= weights.sum(1, keepdims=True)
    mirrored = taps % (2 * before)
    mirrored = np.where(mirrored < before, mirrored, 2 * before - 1 - mirrored)
    matrix = np.zeros((after, before))
    np.add.at(matrix, (np.arange(after)[:, None], mirrored), weights)
    matrix.flags.writeable = False  # the cache hands the same array to everybody
    return matrix


def bicubic(
    x: Float[Array, "*b h w c"], size: tuple[int, int], *, antialias: bool = True
) -> Float[Array, "*b H W c"]:
    """Resizes to `size` = (height, width) as MATLAB's imresize(x, size, 'bicubic') does.

    Not clipped: cubic weights overshoot at edges by up to about 0.1 of the step.
    Equal to Pillow's bicubic away from the border; Pillow drops the taps outside
    where MATLAB mirrors. Same size in and out is the identity.

    Raises:
      InputError: if a size is below 1.
    """
    rows = bicubic_weights(x.shape[-3], size[0], antialias)
    columns = bicubic_weights(x.shape[-2], size[1], antialias)
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    x = product("Hh,...hwc->...Hwc", jnp.asarray(rows, x.dtype), x)
    return product("Ww,...hwc->...hWc", jnp.asarray(columns, x.dtype), x)


def pixel_shuffle(x: Float[Array, "*b h w c"], factor: int) -> Float[Array, "*b H W d"]:
    """Channels to space: `[h w c]` to `[h f, w f, c / f^2]` (Shi et al., CVPR 2016, eq. 4).

    Channel d f^2 + i f + j goes to channel d at row offset i, column offset j: the
    order of PyTorch's PixelShuffle, so that its weights fit.

    Raises:
      InputError: if c is no multiple of factor^2.
    """
    *b, h, w, c = x.shape
    f = factor
    if f < 1 or c % f**2:
        raise errors.bad("channels", c, f"expected a multiple of factor^2 = {f**2}")
    x = x.reshape(*b, h, w, c // f**2, f, f)
    x = jnp.moveaxis(x, (-2, -1), (-4, -2))  # [h w d i j] to [h i w j d]
    return x.reshape(*b, h * f, w * f, c // f**2)


def pixel_unshuffle(x: Float[Array, "*b H W d"], factor: int) -> Float[Array, "*b h w c"]:
    """Space to channels, the inverse of `pixel_shuffle`.

    Raises:
      InputError: if a side is no multiple of the factor.
    """
    *b, h, w, d = x.shape
    f = factor
    if f < 1 or h % f or w % f:
        raise errors.bad("image", f"{h}x{w}", f"expected sides that are multiples of factor={f}")
    x = x.reshape(*b, h // f, f, w // f, f, d)
    x = jnp.moveaxis(x, (-4, -2), (-2, -1))  # [h i w j d] to [h w d i j]
    return x.reshape(*b, h // f, w // f, d * f**2)
