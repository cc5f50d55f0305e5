"""Clean scenes without end from few photographs: other colours, other compositions.

Three photographs are soon learnt by heart, and a network that knows the scene need not
look at the weather. Leaves of one picture laid over another (the dead-leaves model of
natural images: Lee, Mumford and Huang, 2001, with photographs for colours) keep edges
and textures real while every composition is new.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8

LEAVES = 6
PLAIN = 0.3  # share of scenes without leaves
SKY = 0.35  # share of scenes with a smooth upper part, and of leaves that are smooth


def compose(
    pixels: UInt8[np.ndarray, "h w 3"],
    patch: Callable[[np.random.Generator], np.ndarray],
    rng: np.random.Generator,
    open: float = 0.0,
) -> UInt8[np.ndarray, "h w 3"]:
    """A scene of the same size: recoloured, most often with leaves of other pictures on it.

    Args:
      patch: draws another picture of the same size.
      open: share of scenes that are a third to nine tenths sky, and nothing else on it.
    """
    wide = open > 0 and rng.random() < open
    out = recolour(turn(pixels, rng), rng)
    if wide:
        horizon = int(out.shape[0] * rng.uniform(0.3, 0.9))
        out[:horizon] = sky(out.shape[:2], rng)[:horizon]
        return out
    if rng.random() < SKY:
        horizon = int(out.shape[0] * rng.uniform(0.2, 0.7))
        out[:horizon] = sky(out.shape[:2], rng)[:horizon]
    if rng.random() < PLAIN:
        return out
    for _ in range(int(rng.integers(1, LEAVES + 1))):
        mask = leaf(out.shape[:2], rng)[..., None]
        smooth = rng.random() < SKY
        other = sky(out.shape[:2], rng) if smooth else recolour(turn(patch(rng), rng), rng)
        out = np.rint(out + (other.astype(np.float32) - out) * mask).astype(np.uint8)
    return out


def leaf(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Cover in [0, 1] of a random ellipse or polygon, its edge sharp or a little soft."""
    h, w = shape
    mask = np.zeros((h, w), np.float32)
    centre = np.array([rng.uniform(0, w), rng.uniform(0, h)])
    radius = min(h, w) * float(rng.uniform(0.08, 0.5))
    if rng.random() < 0.5:
        axes = (int(radius) + 1, int(radius * rng.uniform(0.2, 1)) + 1)
        middle = (int(centre[0]), int(centre[1]))
        cv2.ellipse(mask, middle, axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
        reach = radius * rng.uniform(0.4, 1.3, len(angles))
        corners = centre + np.stack([np.cos(angles), np.sin(angles)], -1) * reach[:, None]
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0, cv2.LINE_AA)
    soft = float(rng.uniform(0, 1.5))
    return cv2.GaussianBlur(mask, (0, 0), soft) if soft > 0.3 else mask


def sky(shape: tuple[int, ...], rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    """A smooth gradient between two colours, most often bright and pale.

    Without such scenes a clear sky reads as haze, and is darkened.
    """
    h, w = shape
    base = rng.uniform(0.45, 1.0) if rng.random() < 0.75 else rng.uniform(0.0, 0.45)
    ends = np.clip(base + rng.normal(0, 0.10, (2, 1)) + rng.normal(0, 0.06, (2, 3)), 0, 1)
    angle = rng.normal(0, 0.5)
    down, across = np.mgrid[:h, :w] / max(h, w)
    share = np.clip(down * np.cos(angle) + across * np.sin(angle), 0, 1)[..., None]
    light = ends[0] + (ends[1] - ends[0]) * share
    return np.rint(np.clip(light + rng.normal(0, 0.004, (h, w, 1)), 0, 1) * 255).astype(np.uint8)


def turn(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the eight symmetries of the square."""
    out = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    return np.ascontiguousarray(np.rot90(out, int(rng.integers(4))))


def recolour(
    pixels: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Another camera, light and subject.

    Channels in another order (half of the time), an exponent and a gain a channel, and a
    saturation from grey to 1.3 times.
    """
    x = pixels.astype(np.float32) / 255
    if rng.random() < 0.5:
        x = x[..., rng.permutation(3)]
    exponent = rng.uniform(0.6, 1.6) * rng.uniform(0.85, 1.15, 3)
    x = x ** exponent.astype(np.float32) * rng.uniform(0.75, 1.0, 3).astype(np.float32)
    grey = x.mean(-1, keepdims=True)
    x = grey + np.float32(rng.uniform(0.2, 1.3)) * (x - grey)
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
