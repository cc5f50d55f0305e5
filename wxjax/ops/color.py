"""Colour: sRGB and linear light, luma, and the rounding that files get.

Device functions in JAX; `round_to_uint8` is the host side, in NumPy. Values are in [0, 1].
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

LUMA_601 = (0.299, 0.587, 0.114)
"""Red, green, blue weights of BT.601 full-range luma."""

STUDIO_601 = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""The same weights scaled by 219/255, as printed by MATLAB's rgb2ycbcr."""


def srgb_to_linear(image: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
    """sRGB code values to linear light (IEC 61966-2-1); both in [0, 1].

    Values outside [0, 1] follow the same curve, negative ones its straight part.
    """
    # The power runs on a safe value where it is not used: 0 ** 1.4 has no finite gradient chain.
    curved = ((jnp.maximum(image, 0.04045) + 0.055) / 1.055) ** 2.4
    return jnp.where(image <= 0.04045, image / 12.92, curved)


def linear_to_srgb(image: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
    """Linear light to sRGB code values; the inverse of `srgb_to_linear`."""
    curved = 1.055 * jnp.maximum(image, 0.0031308) ** (1 / 2.4) - 0.055
    return jnp.where(image <= 0.0031308, image * 12.92, curved)


def luma(image: Float[Array, "*b 3"]) -> Float[Array, "*b 1"]:
    """BT.601 full-range luma: 0 is black, 1 white. The channel axis stays, with size 1."""
    return (image * jnp.asarray(LUMA_601, image.dtype)).sum(-1, keepdims=True)


def round_to_8bit(image: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """What `image` is after a trip through an 8-bit file, still as numbers in [0, 1].

    clip, then floor(255 x + 0.5) / 255: halves go up, as MATLAB's uint8() does and as
    `wxjax.data.images` writes. The gradient is zero; use it before a metric, not in a loss.
    """
    return jnp.floor(jnp.clip(image, 0, 1) * 255 + 0.5) / 255


def round_to_uint8(image: Float[np.ndarray, "*b"]) -> UInt8[np.ndarray, "*b"]:
    """Numbers in [0, 1] to the bytes of a file: clip, then floor(255 x + 0.5), on the host.

    NaN becomes 0 rather than whatever the machine's cast gives.
    """
    scaled = np.nan_to_num(np.clip(image, 0, 1), nan=0.0) * np.asarray(255, image.dtype)
    return np.floor(scaled + np.asarray(0.5, image.dtype)).astype(np.uint8)
