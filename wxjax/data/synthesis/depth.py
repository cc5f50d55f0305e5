"""A pseudo-depth for photographs that come without one."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def smooth_noise(
    shape: tuple[int, int], cells: int, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Values in about [0, 1] that vary over `1/cells` of the longer side."""
    h, w = shape
    rows, columns = (max(2, round(cells * side / max(h, w))) + 1 for side in (h, w))
    grid = rng.random((rows, columns), dtype=np.float32)
    return cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)


def follow(
    depth: Float[np.ndarray, "h w"], guide: Float[np.ndarray, "h w"], radius: int
) -> Float[np.ndarray, "h w"]:
    """Moves the depth's borders onto the picture's (guided filter, He et al. 2010, eq. 5-8)."""
    box = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean_depth = cv2.blur(guide, box), cv2.blur(depth, box)
    covariance = cv2.blur(guide * depth, box) - mean_guide * mean_depth
    variance = cv2.blur(guide * guide, box) - mean_guide**2
    slope = covariance / (variance + 1e-3)
    return cv2.blur(slope, box) * guide + cv2.blur(mean_depth - slope * mean_guide, box)


def pseudo(
    image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "h w"], dict]:
    """Distance in [0.05, 1]: a ramp (far on top), smooth noise, and steps between regions.

    Returns:
      The map and the parameters drawn: shares of the three parts, the ramp's tilt
      in radians, the number of regions.
    """
    h, w = image.shape[:2]
    shares = rng.dirichlet((6.0, 2.0, 2.5))
    tilt = rng.uniform(-0.4, 0.4)
    regions = int(rng.integers(2, 5))
    y = np.linspace(1, 0, h, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, w, dtype=np.float32)[None, :]
    ramp = y * np.float32(np.cos(tilt)) + x * np.float32(np.sin(tilt))
    steps = np.floor(np.clip(smooth_noise((h, w), 4, rng), 0, 0.999) * regions) / (regions - 1)
    noise = smooth_noise((h, w), 3, rng)
    depth = shares[0] * ramp + shares[1] * noise + shares[2] * steps
    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    depth = follow(depth.astype(np.float32), guide, max(2, min(h, w) // 20))
    return normalize(depth), {
        "depth": "pseudo",
        "depth_ramp": float(shares[0]),
        "depth_noise": float(shares[1]),
        "depth_steps": float(shares[2]),
        "depth_tilt": float(tilt),
        "depth_regions": regions,
    }


def normalize(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """To [0.05, 1] over the picture; a constant map becomes 0.5."""
    low, high = float(depth.min()), float(depth.max())
    if high - low < 1e-6:
        return np.full(depth.shape, 0.5, np.float32)
    return (0.05 + 0.95 * (depth - low) / (high - low)).astype(np.float32)
