"""Residual coordinates: what is missing from the enlarged input, each band at unit size.

The chain of `diffusion.py` commutes with shifts and scales, so run on u = (z_x - z_y) / s
from 0 it is ResShift's own with kappa s in band b; but the noise is then as large as what
it hides, and a network that answers 0 gives the enlarged input.
Axes: b images, y x of the latent, k bands.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors

WEIGHTS = ("pixel", "white", "sqrt")


class Statistics(NamedTuple):
    """Of a training set, `[k]` each.

    Attributes:
      residual: root mean square of z_x - z_y.
      mean, spread: mean and standard deviation of z_y.
    """

    residual: Array
    mean: Array
    spread: Array


# Haar, 2 levels, grey in [-1, 1], Pillow's bicubic: the ten public test pairs of DifIISR.
_RESIDUAL = (
    *(0.0458, 0.0581, 0.0665, 0.0237),
    *(0.0224, 0.0225, 0.0187, 0.0187),
    *(0.0206, 0.0327, 0.0207, 0.0327),
    *(0.0054, 0.0054, 0.0054, 0.0054),
)
_SPREAD = (1.42, 0.095, 0.102, 0.027, *(0.030,) * 4, *(0.035,) * 4, *(0.0058,) * 4)


def typical(image: int = 1) -> Statistics:
    """Of infrared frames in packed Haar bands of 2 levels, before any are measured."""
    repeat = lambda values: np.concatenate(
        [np.repeat(values[:4], image), *(np.tile(values[i : i + 4], image) for i in (4, 8, 12))]
    ).astype(np.float32)
    mean = np.zeros(16)
    mean[0] = -1.36
    return Statistics(repeat(np.array(_RESIDUAL)), repeat(mean), repeat(np.array(_SPREAD)))


def identity(bands: int) -> Statistics:
    """Coordinates that leave a latent's size as it is."""
    ones = np.ones(bands, np.float32)
    return Statistics(ones, np.zeros(bands, np.float32), ones)


def measure(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Statistics:
    """One pass over latents (z_x, z_y) `[..., k]`, sums in float64.

    By root mean square, not by extremes: residuals are heavy-tailed (kurtosis 12 to 800).

    Raises:
      InputError: without any pair, and for a band that is always 0.
    """
    count, square, total, power = 0, 0.0, 0.0, 0.0
    for zx, zy in pairs:
        zx, zy = (np.asarray(z, np.float64).reshape(-1, z.shape[-1]) for z in (zx, zy))
        count += len(zy)
        square = square + np.square(zx - zy).sum(0)
        total, power = total + zy.sum(0), power + np.square(zy).sum(0)
    if not count:
        raise errors.InputError("no pairs to measure the sub-bands of: the training set is empty.")
    mean = total / count
    spread = np.sqrt(np.maximum(power / count - mean**2, 0))
    residual = np.sqrt(square / count)
    for name, values in (("residual", residual), ("spread", spread)):
        if (values < 1e-7).any():
            band, cure = int(values.argmin()), "Are input and truth the same, or flat?"
            raise errors.bad(f"sub-band {band}", float(values.min()), f"its {name} is 0", cure)
    return Statistics(*(x.astype(np.float32) for x in (residual, mean, spread)))


def residual(
    stats: Statistics, zx: Float[Array, "b y x k"], zy: Float[Array, "b y x k"]
) -> Float[Array, "b y x k"]:
    """u: what is missing from z_y, at unit size."""
    return (zx - zy) / stats.residual


def restore(
    stats: Statistics, u: Float[Array, "b y x k"], zy: Float[Array, "b y x k"]
) -> Float[Array, "b y x k"]:
    """z_y with what was missing: the inverse of `residual`, z_y itself for u = 0."""
    return zy + stats.residual * u


def condition(stats: Statistics, zy: Float[Array, "b y x k"]) -> Float[Array, "b y x k"]:
    """z_y at zero mean and unit size, as the network is shown it."""
    return (zy - stats.mean) / stats.spread


def band_weights(stats: Statistics, kind: str = "sqrt") -> Float[Array, "k"]:
    """What the squared error of each whitened band counts; 1 on the mean.

    Args:
      kind: 'pixel', s^2: the mean squared error of pixels, for an orthonormal wavelet;
        'white', 1; 'sqrt', s: between the two.

    Raises:
      InputError: for another kind.
    """
    if kind not in WEIGHTS:
        raise errors.unknown("losses.bands", kind, WEIGHTS)
    size = jnp.asarray(stats.residual)
    weight = {"pixel": size**2, "white": jnp.ones_like(size), "sqrt": size}[kind]
    return weight / weight.mean()
