"""Haze: I = J t + A (1 - t), t = exp(-beta d), in linear light (Koschmieder; McCartney 1976)."""

import numpy as np
from jaxtyping import Float

BETA = (0.10, 1.4)  # scattering at strength 0 and 1, for depth scaled to at most 1


def airlight(rng: np.random.Generator, low: float, high: float) -> Float[np.ndarray, "3"]:
    """A light of luminance in [low, high], warm or bluish by a few per cent."""
    warmth = rng.uniform(-0.05, 0.05)
    color = rng.uniform(low, high) * np.array([1 + warmth, 1.0, 1 - warmth])
    return np.minimum(color, 1.0).astype(np.float32)


def scatter(
    light: Float[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"],
    beta: float,
    air: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "h w 3"]:
    """The scattering equation."""
    transmission = np.exp(np.float32(-beta) * depth)[..., None]
    return air + (light - air) * transmission


def apply(
    light: Float[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"],
    rng: np.random.Generator,
    strength: float,
) -> tuple[Float[np.ndarray, "h w 3"], dict]:
    """Haze of a strength in [0, 1] over linear light; the parameters drawn come along."""
    beta = (BETA[0] + (BETA[1] - BETA[0]) * strength) * rng.uniform(0.92, 1.08)
    air = airlight(rng, 0.55, 0.92)
    parameters = {"beta": float(beta), "airlight": [float(value) for value in air]}
    return scatter(light, depth, float(beta), air), parameters
