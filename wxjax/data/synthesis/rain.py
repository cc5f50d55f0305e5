"""Rain: layers of motion-blurred streaks, near ones long and wide, and a veil behind them."""

import cv2
import numpy as np
from jaxtyping import Float

from wxjax.data.synthesis import haze


def streak(length: float, width: float, angle: float) -> Float[np.ndarray, "k k"]:
    """A streak's opacity, peak 1: Gaussian across, flat with soft ends along.

    `angle` is in radians from the vertical, positive to the right going down;
    `length` and `width` (the standard deviation across) are in pixels.
    """
    half = int(np.ceil(length / 2 + 2 * width))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    along = x * np.sin(angle) + y * np.cos(angle)
    across = x * np.cos(angle) - y * np.sin(angle)
    ends = np.clip((length / 2 - np.abs(along)) / (0.3 * length), 0, 1)
    kernel = np.exp(-0.5 * (across / width) ** 2) * ends
    return (kernel / kernel.max()).astype(np.float32)


def impulses(
    shape: tuple[int, int], count: int, margin: int, rng: np.random.Generator
) -> Float[np.ndarray, "H W"]:
    """`count` points of amplitude in [0.35, 1] on black, with room around for what crosses."""
    h, w = shape[0] + 2 * margin, shape[1] + 2 * margin
    field = np.zeros((h, w), np.float32)
    field[rng.integers(0, h, count), rng.integers(0, w, count)] = rng.uniform(0.35, 1, count)
    return field


def stamp(
    shape: tuple[int, int],
    kernel: Float[np.ndarray, "k k"],
    density: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, "h w"]:
    """The kernel at random places, `density` a pixel; overlaps add, clipped to [0, 1]."""
    margin = kernel.shape[0] // 2
    area = (shape[0] + 2 * margin) * (shape[1] + 2 * margin)
    field = impulses(shape, max(1, round(density * area)), margin, rng)
    layer = cv2.filter2D(field, cv2.CV_32F, kernel[::-1, ::-1], borderType=cv2.BORDER_CONSTANT)
    inside = layer[margin : margin + shape[0], margin : margin + shape[1]]
    return np.clip(inside, 0, 1)


def apply(
    light: Float[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"],
    rng: np.random.Generator,
    strength: float,
) -> tuple[Float[np.ndarray, "h w 3"], dict]:
    """Rain of a strength in [0, 1] over linear light; the parameters drawn come along.

    The layer at distance z in (0, 1] has streaks of length and width about 1/z,
    fewer and more see-through the nearer they are (Garg and Nayar, 2006). What
    a streak shows is the light around it, brightened: it refracts a wide view.
    """
    shape = light.shape[:2]
    scale = float(np.clip(min(shape) / 300, 0.7, 4))
    angle = rng.uniform(-0.55, 0.55)
    beta = rng.uniform(0.01, 0.08) + 0.3 * strength
    air = haze.airlight(rng, 0.4, 0.75)
    result = haze.scatter(light, depth, float(beta), air)

    surrounding = cv2.resize(
        cv2.resize(result, (8, 8), interpolation=cv2.INTER_AREA), shape[::-1]
    ).reshape(light.shape)
    glow = np.clip(0.3 * surrounding + 0.7 * air * rng.uniform(1.0, 1.3), 0, 1)
    clear = np.ones(shape, np.float32)
    layers = []
    for distance in np.linspace(1.0, 0.3, int(rng.integers(3, 5))):
        layer = {
            "distance": float(distance),
            "angle": float(angle + rng.normal(0, 0.04)),
            "length": float(scale * rng.uniform(9, 15) / distance),
            "width": float(max(0.45, scale * rng.uniform(0.42, 0.6) / distance**0.6)),
            "density": float(rng.uniform(0.004, 0.006) * distance**3 * (0.2 + 1.6 * strength)),
            "opacity": float(rng.uniform(0.6, 0.85) * distance**0.25 * (0.4 + 0.5 * strength)),
        }
        kernel = streak(layer["length"], layer["width"], layer["angle"])
        clear *= 1 - layer["opacity"] * stamp(shape, kernel, layer["density"] / scale**2, rng)
        layers.append(layer)
    result = glow + (result - glow) * clear[..., None]
    return result, {
        "beta": float(beta),
        "airlight": [float(value) for value in air],
        "layers": layers,
    }
