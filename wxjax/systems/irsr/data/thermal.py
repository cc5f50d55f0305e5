"""Thermal scenes out of nothing, and what an infrared camera makes of a scene.

Radiance is smooth inside surfaces and steps between them; warm bodies, glowing engines and
lit windows stand before a cold sky. The camera blurs (long waves, small detectors), samples,
adds noise and a fixed pattern, enhances edges, and shows the frame larger than it sampled.
All is drawn from the generator given; nothing is read from a file.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

FINE = 2  # scenes are drawn at so many times their side


def scene(shape: tuple[int, int], rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """Radiance in [0, 1]: sky, hills, ground, buildings, trees, wires, and warm bodies."""
    h, w = (FINE * side for side in shape)
    horizon = int(h * rng.uniform(0.15, 0.85))
    x = backdrop((h, w), horizon, rng)
    if rng.random() < 0.4:
        hill(x, horizon, rng)
    for paint, most in ((building, 4), (tree, 4), (line, 6), (warm, 6), (shape_of, 4)):
        for _ in range(int(rng.integers(0, most + 1))):
            paint(x, rng)
    x = cv2.resize(np.clip(x, 0, 1), shape[::-1], interpolation=cv2.INTER_AREA)
    return x.astype(np.float32)


def camera(
    radiance: Float32[np.ndarray, "h w"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w"]:
    """An 8-bit frame of a radiance in [0, 1], of the same size."""
    h, w = radiance.shape
    x = cv2.GaussianBlur(radiance, (0, 0), float(rng.uniform(0.4, 1.1)))
    ratio = float(rng.uniform(1.0, 1.8))  # shown larger than sampled
    sampled = (max(8, int(w / ratio)), max(8, int(h / ratio)))
    x = cv2.resize(x, sampled, interpolation=cv2.INTER_AREA)
    tone = rng.uniform(0.7, 1.5)
    x = rng.uniform(0.0, 0.1) + rng.uniform(0.5, 1.0) * x**tone
    x = x + rng.normal(0, rng.uniform(0.0, 1.6) / 255, x.shape)
    x = x + rng.normal(0, rng.uniform(0.0, 0.5) / 255, (1, x.shape[1]))  # columns share a reader
    x = x.astype(np.float32)
    amount = float(max(0.0, rng.uniform(-0.4, 0.9)))
    if amount:
        x = x + amount * (x - cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.8, 2.5))))
    how = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_CUBIC)[rng.integers(3)]
    x = cv2.resize(x, (w, h), interpolation=how)
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)


def clouds(
    shape: tuple[int, int], rng: np.random.Generator, *, coarsest: int = 2, fall: float = 0.55
) -> Float32[np.ndarray, "h w"]:
    """Fractal noise: octaves from `coarsest` cells on, each `fall` times the one before."""
    total, size, cells = np.zeros(shape, np.float32), 1.0, coarsest
    while cells < max(shape):
        grid = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
        total += np.float32(size) * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
        size, cells = size * fall, 2 * cells
    return total


def backdrop(shape: tuple[int, int], horizon: int, rng: np.random.Generator) -> np.ndarray:
    """A cold sky over warmer ground."""
    h, w = shape
    sky, ground = rng.uniform(0.02, 0.35), rng.uniform(0.15, 0.65)
    down = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    x = (sky + rng.uniform(0, 0.15) * down).repeat(w, 1).astype(np.float32)
    x += np.float32(rng.uniform(0, 0.03)) * clouds(shape, rng)
    rough = rng.uniform(0.0, 0.06)
    land = ground + rng.uniform(-0.15, 0.15) * down
    land = land + np.float32(rough) * clouds(shape, rng, coarsest=4, fall=rng.uniform(0.5, 0.95))
    x[horizon:] = land[horizon:]
    return x


def hill(x: np.ndarray, horizon: int, rng: np.random.Generator) -> None:
    h, w = x.shape
    steps = clouds((1, w), rng, coarsest=2, fall=0.4)[0]
    ridge = np.clip(horizon - h * (0.12 + 0.06 * steps), 0, h).astype(int)
    mask = np.arange(h)[:, None] >= ridge
    mask[horizon:] = False
    texture = clouds(x.shape, rng, coarsest=8, fall=rng.uniform(0.6, 0.95))
    x[mask] = (rng.uniform(0.15, 0.5) + np.float32(rng.uniform(0.01, 0.06)) * texture)[mask]


def building(x: np.ndarray, rng: np.random.Generator) -> None:
    """A wall in perspective with rows of windows, drawn flat and warped."""
    side = 128
    wall, contrast = rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.5) * rng.choice((-1, 1))
    flat = np.full((side, side), wall, np.float32)
    rows, columns = rng.integers(2, 16, 2)
    tall, wide = side / rows, side / columns
    fill = rng.uniform(0.3, 0.9, 2)
    for i in range(rows):
        for j in range(columns):
            top, left = int((i + 0.5 - fill[0] / 2) * tall), int((j + 0.5 - fill[1] / 2) * wide)
            bottom, right = int(top + fill[0] * tall), int(left + fill[1] * wide)
            flat[top : bottom + 1, left : right + 1] = wall + contrast * rng.uniform(0.6, 1.0)
    h, w = x.shape
    centre = rng.uniform([0, 0], [w, h])
    half = np.array([w, h]) * rng.uniform(0.08, 0.45, 2)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = np.deg2rad(rng.normal(0, 6))
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = centre + square @ spin.T + rng.normal(0, 0.12, (4, 2)) * half
    there = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    warp = cv2.getPerspectiveTransform(there, corners.astype(np.float32))
    drawn = cv2.warpPerspective(flat, warp, (w, h), flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(np.ones_like(flat), warp, (w, h), flags=cv2.INTER_LINEAR)
    x += cover * (drawn - x)


def tree(x: np.ndarray, rng: np.random.Generator) -> None:
    """A crown of leaves, or bare branches."""
    h, w = x.shape
    place, reach = rng.uniform([0, 0], [w, h]), rng.uniform(0.08, 0.4) * h
    value = rng.uniform(0.1, 0.8)
    if rng.random() < 0.5:
        fall = rng.uniform(0.6, 0.95)
        field = clouds(x.shape, rng, coarsest=6, fall=fall)
        yy, xx = np.mgrid[:h, :w].astype(np.float32)
        away = np.hypot(xx - place[0], 0.8 * (yy - place[1])) / reach
        cover = np.clip((1 - away + 0.15 * field) * 20, 0, 1)
        x += cover * (value + np.float32(rng.uniform(0.02, 0.08)) * field - x)
        return
    ends = [(place, -np.pi / 2 + rng.normal(0, 0.1), reach * 0.5, 5.0)]
    while ends:
        start, angle, length, thick = ends.pop()
        stop = start + length * np.array([np.cos(angle), np.sin(angle)])
        _segment(x, start, stop, value, max(1, int(thick)))
        if thick > 1.2 and length > 3:
            for _ in range(int(rng.integers(2, 4))):
                bend = angle + rng.normal(0, 0.5)
                ends.append((stop, bend, length * rng.uniform(0.5, 0.9), thick * 0.65))


def line(x: np.ndarray, rng: np.random.Generator) -> None:
    """Poles, wires, kerbs: straight and thin."""
    h, w = x.shape
    start, stop = rng.uniform([-w / 4, -h / 4], [1.25 * w, 1.25 * h], (2, 2))
    if rng.random() < 0.4:
        stop[0] = start[0] + rng.normal(0, 2)
    _segment(x, start, stop, rng.uniform(0, 1), int(rng.integers(1, 9)))


def warm(x: np.ndarray, rng: np.random.Generator) -> None:
    """A person, a car or a glow."""
    h, w = x.shape
    place, tall = rng.uniform([0, 0], [w, h]), h * rng.uniform(0.03, 0.3)
    heat, kind = rng.uniform(0.6, 1.0), rng.integers(3)
    mask = np.zeros_like(x)
    if kind == 0:
        _blob(mask, place - [0, 0.42 * tall], (0.09 * tall, 0.11 * tall), rng)
        _blob(mask, place, (rng.uniform(0.12, 0.2) * tall, 0.3 * tall), rng)
        for side in (-1, 1):
            foot = place + [side * rng.uniform(0.02, 0.2) * tall, 0.6 * tall]
            _segment(mask, place + [0, 0.2 * tall], foot, 1.0, max(1, int(0.1 * tall)))
            hand = place + [side * rng.uniform(0.1, 0.35) * tall, rng.uniform(-0.3, 0.3) * tall]
            _segment(mask, place - [0, 0.2 * tall], hand, 1.0, max(1, int(0.07 * tall)))
    elif kind == 1:
        _blob(mask, place, (0.9 * tall, 0.3 * tall), rng)
        _blob(mask, place - [0, 0.3 * tall], (0.5 * tall, 0.3 * tall), rng)
        heat *= rng.uniform(0.5, 1.0)
        for side in (-1, 1):
            _blob(x, place + [side * 0.5 * tall, 0.3 * tall], (0.15 * tall, 0.15 * tall), rng, heat)
    else:
        _blob(mask, place, (rng.uniform(0.05, 0.2) * tall, rng.uniform(0.05, 0.2) * tall), rng)
        mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 0.2 * tall + 0.6)))
    inside = heat * (1 + np.float32(rng.uniform(0, 0.06)) * clouds(x.shape, rng, coarsest=8))
    x += mask * (inside - x)


def shape_of(x: np.ndarray, rng: np.random.Generator) -> None:
    """A plain surface: polygon or ellipse, flat or graded."""
    h, w = x.shape
    mask, place = np.zeros_like(x), rng.uniform([0, 0], [w, h])
    reach = min(h, w) * rng.uniform(0.04, 0.4)
    if rng.random() < 0.3:
        _blob(mask, place, reach * rng.uniform(0.3, 1, 2), rng)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
        ring = np.stack([np.cos(angles), np.sin(angles)], -1)
        corners = place + ring * reach * rng.uniform(0.4, 1.3, (len(angles), 1))
        cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    value = rng.uniform(0, 1) + np.linspace(0, rng.normal(0, 0.1), w, dtype=np.float32)
    x += mask * (value - x)


def _segment(x, start, stop, value: float, thick: int) -> None:
    ends = [tuple(int(v) for v in np.rint(np.clip(p, -9e3, 9e3) * 16)) for p in (start, stop)]
    cv2.line(x, ends[0], ends[1], float(value), thick, cv2.LINE_AA, 4)


def _blob(x, centre, radii, rng: np.random.Generator, value: float = 1.0) -> None:
    middle = tuple(int(v) for v in np.rint(np.asarray(centre) * 16))
    axes = tuple(max(16, int(16 * r)) for r in radii)
    cv2.ellipse(x, middle, axes, float(rng.normal(0, 8)), 0, 360, float(value), -1, cv2.LINE_AA, 4)
