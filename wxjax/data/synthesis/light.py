"""8-bit sRGB to linear light and back, by tables."""

import numpy as np
from jaxtyping import Float, UInt8

_CODES = np.arange(256) / 255
_TO_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
_STEPS = 2**16  # at the dark end one step is 0.05 of an 8-bit code
_LINEAR = np.arange(_STEPS) / (_STEPS - 1)
_TO_SRGB = np.rint(
    255 * np.where(_LINEAR <= 0.0031308, 12.92 * _LINEAR, 1.055 * _LINEAR ** (1 / 2.4) - 0.055)
).astype(np.uint8)


def to_linear(image: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """IEC 61966-2-1, decoding: codes 0..255 to light in [0, 1]."""
    return _TO_LINEAR[image]


def to_srgb(light: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """IEC 61966-2-1, encoding: light, clipped to [0, 1], to codes rounded to the nearest."""
    steps = np.clip(light, 0, 1) * (_STEPS - 1) + 0.5
    return _TO_SRGB[steps.astype(np.uint16)]
