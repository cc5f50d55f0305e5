"""Layers of streaks, flakes and drops, made once on the host and held as bytes.

`systems/weather/degrade.py` crops, mirrors and blends them on the device. Lengths are in
pixels of a picture whose long side is about 480.
"""

import os
import pathlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int16, UInt8

from wxjax import files
from wxjax.data.synthesis import snow

SIDE = 320  # of a layer; crops of 256 still have room to move


class Pools(NamedTuple):
    """What `degrade` draws from.

    Attributes:
      streaks: brightness of rain, 255 is white; flakes: opacity of snow.
      drops: opacity of water on the pane, and the light behind it, 128 unchanged.
      shift: rows and columns from a pixel of a drop to what it shows.
    """

    streaks: UInt8[np.ndarray, "n s s"]
    flakes: UInt8[np.ndarray, "n s s"]
    drops: UInt8[np.ndarray, "n s s 2"]
    shift: Int16[np.ndarray, "n s s 2"]


def make(seed: int, *, streaks: int = 512, flakes: int = 384, drops: int = 96, side: int = SIDE):
    """The pools of a seed; a layer depends on the seed and its number alone."""

    def layers(draw: Callable, kind: int, count: int) -> list:
        one = lambda i: draw(np.random.default_rng([seed, kind, i]), side)
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(one, range(count)))

    water = layers(drop_layer, 2, drops)
    return Pools(
        streaks=np.stack(layers(streak_layer, 0, streaks)),
        flakes=np.stack(layers(flake_layer, 1, flakes)),
        drops=np.stack([layer for layer, _ in water]),
        shift=np.stack([shift for _, shift in water]),
    )


def log_uniform(rng: np.random.Generator, low: float | int, high: float | int) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def streak_layer(rng: np.random.Generator, side: int) -> UInt8[np.ndarray, "s s"]:
    """One to three populations of streaks that fall in one direction, within 3 degrees.

    Length log-uniform 6 to 80, width (a standard deviation) log-uniform 0.4 to 2.4 and at
    most a twelfth of the length, the share of the picture that they cover log-uniform 0.05
    to 1.2, brightness of each 0.4 to 1.6 of white, clipped.
    """
    angle = np.deg2rad(rng.uniform(-45, 45))
    populations = int(rng.integers(1, 4))
    cover = log_uniform(rng, 0.05, 1.2)
    layer = np.zeros((side, side), np.float32)
    for _ in range(populations):
        length = log_uniform(rng, 6, 80)
        width = log_uniform(rng, 0.4, max(0.41, min(2.4, length / 12)))
        for _ in range(4):  # kernels of slightly different length and direction
            near = length * rng.uniform(0.7, 1.3)
            kernel = tapered(near, width * rng.uniform(0.85, 1.15), angle + rng.uniform(-1, 1) / 38)
            density = cover / populations / 4 / float(kernel.sum())
            layer += scatter(side, kernel, density, (0.4, 1.6), rng)
    return to_bytes(layer)


def tapered(length: float | int, width: float, angle: float) -> Float[np.ndarray, "k k"]:
    """A streak of peak 1: Gaussian across, its ends fading over a quarter of the length."""
    half = int(np.ceil(length / 2 + 3 * width)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    along = x * np.sin(angle) + y * np.cos(angle)
    across = x * np.cos(angle) - y * np.sin(angle)
    ends = np.clip((length / 2 - np.abs(along)) / (0.25 * length), 0, 1)
    return (np.exp(-0.5 * (across / width) ** 2) * ends).astype(np.float32)


def scatter(
    side: int, kernel: np.ndarray, density: float, brightness: tuple, rng: np.random.Generator
) -> Float[np.ndarray, "s s"]:
    """The kernel at random places, `density` a pixel, each as bright as drawn; overlaps add."""
    margin = kernel.shape[0] // 2
    wide = side + 2 * margin
    count = rng.poisson(density * wide**2)
    field = np.zeros((wide, wide), np.float32)
    place = rng.integers(0, wide, count), rng.integers(0, wide, count)
    np.add.at(field, place, rng.uniform(*brightness, count).astype(np.float32))
    layer = cv2.filter2D(field, cv2.CV_32F, kernel[::-1, ::-1], borderType=cv2.BORDER_CONSTANT)
    return layer[margin : margin + side, margin : margin + side]


def flake_layer(rng: np.random.Generator, side: int) -> UInt8[np.ndarray, "s s"]:
    """Flakes of four sizes; one layer in two denser, one in three with large blurred ones."""
    scale = log_uniform(rng, 0.6, 1.8)
    density_factor = rng.uniform(0.3, 2) * (rng.uniform(2, 3) if rng.random() < 0.5 else 1)
    speed = rng.uniform(2, 12) if rng.random() < 0.2 else rng.uniform(0, 2)
    angle = rng.uniform(-0.9, 0.9)
    clear = np.ones((side, side), np.float32)
    for name, radii, density, _, defocus in snow.SIZES:
        if name == "lens" or rng.random() < 0.2:
            continue
        for _ in range(3):
            radius = scale * rng.uniform(*radii)
            motion = speed * radius * rng.uniform(0.5, 1.5)
            turn = angle + rng.normal(0, 0.15)
            kernel = snow.flake(radius, motion, turn, radius * rng.uniform(*defocus), rng)
            each = density * density_factor * rng.uniform(0.3, 0.7) / scale**2
            each /= max(1.0, motion / (2 * radius)) ** 0.5  # long ones cover more
            clear *= 1 - np.clip(scatter(side, kernel, each, (0.5, 1.0), rng), 0, 1)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 13))):
            radius = rng.uniform(8, 25)
            kernel = snow.flake(radius, 0.0, 0.0, radius * rng.uniform(0.3, 0.6), rng)
            large = scatter(side, kernel, 1.0 / side**2, (0.15, 0.5), rng)
            clear *= 1 - np.clip(large, 0, 1)
    return to_bytes(1 - clear)


def drop_layer(
    rng: np.random.Generator, side: int
) -> tuple[UInt8[np.ndarray, "s s 2"], Int16[np.ndarray, "s s 2"]]:
    """Drops on a pane: opacity and light, and where each pixel of a drop looks.

    The scene inside is upside down and three to eight times smaller; 15 to 150 drops of
    radius log-uniform 4 to 60, blobs of a few discs; one in five runs down.
    """
    opacity = np.zeros((side, side), np.float32)
    light = np.full((side, side), 128, np.float32)
    shift = np.zeros((side, side, 2), np.float32)
    most = log_uniform(rng, 8, 60)
    for _ in range(int(log_uniform(rng, 15, 150))):
        radius = log_uniform(rng, 4, most)
        cy, cx = rng.uniform(0, side, 2)
        reach = int(2.2 * radius + 8)
        tail = rng.uniform(2, 6) * radius if rng.random() < 0.2 else 0
        y0, y1 = int(max(0, cy - reach - tail)), int(min(side, cy + reach))
        x0, x1 = int(max(0, cx - reach)), int(min(side, cx + reach))
        if y1 <= y0 or x1 <= x0:
            continue
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        inside = blob(y - cy, x - cx, radius, tail, rng)  # pixels within the border
        soft = rng.uniform(1, 4)
        alpha = np.clip(inside / soft, 0, 1)
        rim = 1 - rng.uniform(0, 0.6) * np.exp(-np.maximum(inside, 0) / (0.15 * radius + 1))
        bright = rng.uniform(0.8, 1.15) * rim * (1 + rng.uniform(-0.2, 0.3) * (y - cy) / radius)
        place = np.s_[y0:y1, x0:x1]
        new = alpha > opacity[place]
        power = 1 + rng.uniform(3, 8)
        opacity[place] = np.maximum(opacity[place], alpha)
        light[place] = np.where(new, np.clip(128 * bright, 20, 255), light[place])
        for axis, offset in enumerate((y - cy, x - cx)):
            shift[place][..., axis] = np.where(new, -power * offset, shift[place][..., axis])
    layer = np.stack([to_bytes(opacity), np.rint(light).astype(np.uint8)], -1)
    return layer, np.clip(np.rint(shift), -2000, 2000).astype(np.int16)


def blob(y, x, radius: float, tail: float | int, rng: np.random.Generator) -> np.ndarray:
    """Distance within the border of a few discs run together, and a trail above them."""
    inside = np.full(y.shape, -1e9, np.float32)
    for i in range(int(rng.integers(1, 4))):
        dy, dx = rng.normal(0, 0.35 * radius, 2) * (i > 0)
        r = radius * rng.uniform(0.7, 1.0)
        squeeze = rng.uniform(0.85, 1.15)
        inside = np.maximum(inside, r - np.hypot((y - dy) * squeeze, (x - dx) / squeeze))
    if tail:
        above = np.clip(-y / tail, 0, 1)
        width = radius * (0.6 - 0.4 * above)
        inside = np.maximum(inside, np.where((y < 0) & (-y < tail), width - np.abs(x), -1e9))
    return inside


def to_bytes(layer: Float[np.ndarray, "s s"]) -> UInt8[np.ndarray, "s s"]:
    return np.rint(np.clip(layer, 0, 1) * 255).astype(np.uint8)


def kept(folder: os.PathLike | str, seed: int, **sizes: int) -> Pools:
    """The pools of `make`, kept in `folder` once made: drawing them takes a minute."""
    named = "-".join(f"{name}{count}" for name, count in sorted(sizes.items()))
    path = pathlib.Path(folder) / f"pools-{seed}-{named}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            return Pools(**{name: stored[name] for name in Pools._fields})
    pools = make(seed, **sizes)
    with files.atomic(path) as file:
        np.savez(file, **pools._asdict())
    return pools
