"""Resizing: the bicubics of three libraries as matrix products, and pixel (un)shuffling."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors


class Convention(NamedTuple):
    """How a library resizes: its kernel's a, what lies beyond the border, and whether it
    stretches the kernel when shrinking."""

    a: float
    border: str
    antialias: bool


CONVENTIONS = {
    "matlab": Convention(-0.5, "mirror", True),
    "pillow": Convention(-0.5, "drop", True),
    "torch": Convention(-0.75, "repeat", False),  # and OpenCV's INTER_CUBIC
}


def cubic(x: Float[np.ndarray, "*n"], a: float = -0.5) -> Float[np.ndarray, "*n"]:
    """Keys' cubic convolution kernel (IEEE TASSP 1981, eq. 4, 15); support 4."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@functools.lru_cache(maxsize=256)
def bicubic_weights(
    before: int, after: int, antialias: bool = True, like: str = "matlab"
) -> np.ndarray:
    """The matrix `[after before]` of a bicubic resize along one axis, in float64.

    Sample i of the result lies at (i + 0.5) before / after - 0.5. When shrinking, the
    kernel is stretched by before / after (`antialias`, and not for 'torch'). Taps beyond
    the border fall, like 'matlab', on the image mirrored with its edge pixel doubled;
    like 'pillow' they are dropped; like 'torch' they fall on the edge pixel. Rows sum to 1.

    Raises:
      InputError: if a size is below 1, or for another `like`.
    """
    for name, size in (("before", before), ("after", after)):
        if size < 1:
            raise errors.bad(name, size, "expected at least one pixel")
    if like not in CONVENTIONS:
        raise errors.unknown("bicubic like", like, CONVENTIONS)
    a, border, stretches = CONVENTIONS[like]
    stretch = max(before / after, 1.0) if antialias and stretches else 1.0
    centre = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(centre - 2 * stretch).astype(int)
    taps = first[:, None] + np.arange(math.ceil(4 * stretch) + 2)
    weights = cubic((centre[:, None] - taps) / stretch, a)
    if border == "mirror":
        inside = taps % (2 * before)
        inside = np.where(inside < before, inside, 2 * before - 1 - inside)
    else:
        inside = np.clip(taps, 0, before - 1)
    if border == "drop":
        weights = np.where(inside == taps, weights, 0.0)
    weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((after, before))
    np.add.at(matrix, (np.arange(after)[:, None], inside), weights)
    matrix.flags.writeable = False  # the cache hands the same array to everybody
    return matrix


def bicubic(
    x: Float[Array | np.ndarray, "*b h w c"],
    size: tuple[int, int],
    *,
    antialias: bool = True,
    like: str = "matlab",
) -> Float[Array, "*b H W c"]:
    """Resizes to `size` = (height, width), by default as MATLAB's imresize(..., 'bicubic').

    Not clipped: cubic weights overshoot at edges by up to about 0.1 of the step.
    Pillow's differs from MATLAB's at the border only; PyTorch's has a sharper kernel and
    does not blur before shrinking. Same size in and out is the identity.

    Raises:
      InputError: if a size is below 1, or for a `like` that is not in `CONVENTIONS`.
    """
    rows = bicubic_weights(x.shape[-3], size[0], antialias, like)
    columns = bicubic_weights(x.shape[-2], size[1], antialias, like)
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
