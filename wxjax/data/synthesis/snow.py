"""Snow: flakes of several sizes, blurred by motion and defocus, see-through, and a veil."""

import cv2
import numpy as np
from jaxtyping import Float

from wxjax.data.synthesis import haze, rain


def flake(
    radius: float, motion: float, angle: float, defocus: float, rng: np.random.Generator
) -> Float[np.ndarray, "k k"]:
    """A flake's opacity, peak 1: an uneven disc, moved over `motion` pixels, then defocused.

    `radius`, `motion` and `defocus` (a standard deviation) are in pixels, `angle` in
    radians from the vertical.
    """
    half = int(np.ceil(1.35 * radius + motion / 2 + 2.5 * defocus)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    turn = np.arctan2(y, x)
    edge = np.ones_like(turn)
    for order in (2, 3, 5):
        edge += rng.uniform(0, 0.28 / order**0.5) * np.cos(order * turn + rng.uniform(0, 6.3))
    disc = np.clip(radius * edge - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)
    if motion > 1:
        line = rain.streak(motion, 0.5, angle)
        disc = cv2.filter2D(disc, cv2.CV_32F, line, borderType=cv2.BORDER_CONSTANT)
    disc = cv2.GaussianBlur(disc, (0, 0), max(defocus, 0.3), borderType=cv2.BORDER_CONSTANT)
    return disc / disc.max()


SIZES = (  # name, radius, flakes a pixel at strength 1, opacity, defocus over radius
    ("far", (0.45, 0.9), 0.0110, (0.5, 0.8), (0.3, 0.6)),
    ("middle", (1.0, 2.0), 0.0030, (0.65, 0.95), (0.2, 0.5)),
    ("near", (2.2, 3.8), 0.0006, (0.6, 0.95), (0.2, 0.7)),
    ("lens", (5.0, 9.0), 0.00006, (0.25, 0.5), (0.35, 0.7)),
)


def apply(
    light: Float[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"],
    rng: np.random.Generator,
    strength: float,
) -> tuple[Float[np.ndarray, "h w 3"], dict]:
    """Snow of a strength in [0, 1] over linear light; the parameters drawn come along."""
    shape = light.shape[:2]
    scale = float(np.clip(min(shape) / 300, 0.7, 4))
    angle = rng.uniform(-0.7, 0.7)
    speed = rng.uniform(0.3, 1.6)
    beta = rng.uniform(0.01, 0.06) + 0.2 * strength
    air = haze.airlight(rng, 0.65, 0.9)
    white = haze.airlight(rng, 0.85, 1.0)
    result = haze.scatter(light, depth, float(beta), air)
    clear = np.ones(shape, np.float32)
    layers = []
    for name, radii, density, opacity, defocus in SIZES:
        for _ in range(1 if name == "lens" else 2):
            radius = scale * rng.uniform(*radii)
            layer = {
                "size": name,
                "radius": float(radius),
                "angle": float(angle + rng.normal(0, 0.15)),
                "motion": float(speed * radius * rng.uniform(0.5, 1.5)),
                "defocus": float(radius * rng.uniform(*defocus)),
                "density": float(density * rng.uniform(0.45, 0.7) * (0.15 + 0.85 * strength)),
                "opacity": float(rng.uniform(*opacity) * (0.7 + 0.3 * strength)),
            }
            shape_ = flake(radius, layer["motion"], layer["angle"], layer["defocus"], rng)
            spread = rain.stamp(shape, shape_, layer["density"] / scale**2, rng)
            clear *= 1 - layer["opacity"] * spread
            layers.append(layer)
    result = white + (result - white) * clear[..., None]
    return result, {
        "beta": float(beta),
        "airlight": [float(value) for value in air],
        "white": [float(value) for value in white],
        "layers": layers,
    }
