"""How small frames are made of large ones, each way by its name, which a checkpoint keeps.

A network trained on one way and used on another can be worse than bicubic: test and train
with the same (`identify` tells which it was, where the truth is at hand).
"""

from typing import Any

import numpy as np
from PIL import Image

from wxjax import errors
from wxjax.systems.irsr.data import realesrgan

NAMES = ("pillow-bicubic", "matlab-bicubic", "real-esrgan")


def check(name: str) -> None:
    """Raises InputError for an unknown degradation."""
    if name not in NAMES:
        raise errors.unknown("data.degradation", name, NAMES)


def degrade(
    name: str, large: np.ndarray, scale: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """The small frame of a large one.

    Args:
      name: 'pillow-bicubic', to the bit what Pillow makes of 8 bits, and DifIISR's test
        pairs are; 'matlab-bicubic', imresize: the border mirrored, one rounding;
        'real-esrgan', blur, noise and JPEG twice over (`realesrgan.py`).
      large: `[H W c]`, 8 or 16 bits; sides that do not divide lose their last pixels.
      rng: what 'real-esrgan' draws from; the others draw nothing.

    Returns:
      `[H // scale, W // scale, c]` of the same type.
    """
    check(name)
    if large.dtype not in (np.uint8, np.uint16) or large.ndim != 3:
        shown = f"{large.dtype} {large.shape}"
        raise errors.bad("frame", shown, "expected 8 or 16 bits, height x width x channels")
    h, w = (side // scale for side in large.shape[:2])
    if not h or not w:
        raise errors.bad("frame", f"{large.shape[1]}x{large.shape[0]}", f"too small for x{scale}")
    large = large[: h * scale, : w * scale]
    if name == "pillow-bicubic":
        return np.stack([_pillow(band, (h, w)) for band in np.moveaxis(large, -1, 0)], -1)
    if name == "matlab-bicubic":
        return _matlab(large, (h, w))
    if rng is None:
        raise errors.bad("rng", None, "real-esrgan draws at random")
    return realesrgan.degrade(large, (h, w), rng)


def _pillow(band: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Keys' cubic with a = -0.5 over four small pixels, taps beyond the border dropped.

    8 bits: 22-bit weights, rounded between the passes. 16 bits: floats, rounded once.
    """
    if band.dtype == np.uint8:
        small = Image.fromarray(band).resize(size[::-1], Image.Resampling.BICUBIC)
        return np.asarray(small)
    small = Image.fromarray(band.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
    return _rounded(np.asarray(small), band.dtype)


def _matlab(large: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from wxjax.systems.irsr.resize import bicubic_weights

    rows = bicubic_weights(large.shape[0], size[0])
    columns = bicubic_weights(large.shape[1], size[1])
    small = np.einsum("yh,hwc,xw->yxc", rows, large.astype(np.float64), columns, optimize=True)
    return _rounded(small, large.dtype)


def _rounded(values: np.ndarray, dtype: Any) -> np.ndarray:
    return np.floor(np.clip(values, 0, np.iinfo(dtype).max) + 0.5).astype(dtype)


def identify(large: np.ndarray, small: np.ndarray, scale: int) -> str | None:
    """Which way leads from one frame to the other: its name, None where no bicubic does.

    Pillow's are equal to the bit (16 bits: within one level), MATLAB's within one level.
    """
    if tuple(n // scale for n in large.shape[:2]) != small.shape[:2] or large.dtype != small.dtype:
        return None
    for name, most in (("pillow-bicubic", int(large.dtype != np.uint8)), ("matlab-bicubic", 1)):
        apart = degrade(name, large, scale).astype(np.int64) - small
        if np.abs(apart).max() <= most:
            return name
    return None
