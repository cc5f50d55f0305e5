"""The height field of the drawn valley: hills, a road, houses and lamps, by seed.

Lengths in metres, x east, y north, z up.
"""

import dataclasses
import functools

import cv2
import numpy as np

SIDE, CELLS = 400.0, 512  # metres and cells along the world
CELL = SIDE / CELLS


@dataclasses.dataclass(frozen=True)
class World:
    """Maps `[512 512 ...]`: height, albedo, window light; lamps `[n 3]`."""

    height: np.ndarray
    albedo: np.ndarray
    windows: np.ndarray
    lamps: np.ndarray


def noise(rng: np.random.Generator, octaves: int, falloff: float) -> np.ndarray:
    """Value noise in [0, 1] `[512 512]`: each octave of `falloff` the amplitude of the last."""
    total, amplitude = np.zeros((CELLS, CELLS)), 1.0
    for octave in range(1, octaves + 1):
        knots = rng.standard_normal((2**octave + 1, 2**octave + 1))
        place = np.linspace(0, 2**octave, CELLS, endpoint=False)
        first = place.astype(int)
        part = place - first
        mix = part * part * (3 - 2 * part)
        rows = knots[first] + mix[:, None] * (knots[first + 1] - knots[first])
        total += amplitude * (rows[:, first] + mix * (rows[:, first + 1] - rows[:, first]))
        amplitude *= falloff
    return (total - total.min()) / np.ptp(total)


@functools.lru_cache(maxsize=4)
def world(seed: int) -> World:
    """Hills either side of a winding road with 46 houses and a row of lamps."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:CELLS, :CELLS] / CELLS
    winding = 0.5 + 0.08 * np.sin(6 * y)
    hills, ground = noise(rng, 6, 0.55), noise(rng, 7, 0.7)
    slope = np.clip(np.abs(x - winding) * 2.2 - 0.25, 0, None)
    height = 6 * hills + 70 * slope * (0.4 + 0.6 * hills) + 220 * hills * np.clip(y - 0.75, 0, None)
    steep = np.clip(1.3 * np.hypot(*np.gradient(height, CELL)) - 0.2, 0, 1)[..., None]
    grass, soil, rock = np.array([[0.13, 0.22, 0.07], [0.32, 0.25, 0.17], [0.36, 0.34, 0.32]])
    albedo = grass * (0.6 + 0.8 * ground[..., None]) * (1 - steep) + rock * steep
    albedo = np.where(ground[..., None] > 0.62, soil * (0.7 + 0.6 * ground[..., None]), albedo)
    road = np.abs(x - winding) < 0.012
    albedo[road], windows = (0.09, 0.09, 0.095), np.zeros((CELLS, CELLS))
    walls = np.array([[0.62, 0.56, 0.48], [0.55, 0.3, 0.22], [0.7, 0.7, 0.68], [0.42, 0.44, 0.5]])
    houses = 0
    while houses < 46:
        (cx, cy), (half, deep) = rng.uniform((0.28, 0.05), 0.72), rng.uniform(0.012, 0.035, 2)
        if abs(cx - 0.5 - 0.08 * np.sin(6 * cy)) < half + 0.02:
            continue
        inside = (np.abs(x - cx) < half) & (np.abs(y - cy) < deep)
        height[inside] = np.median(height[inside]) + rng.uniform(5, 22)
        albedo[inside] = walls[rng.integers(4)] * rng.uniform(0.7, 1.1)
        rows, columns = np.nonzero(inside)
        lit = ((rows + columns) % 3 == 0) & (rng.random(len(rows)) < 0.35)
        windows[rows[lit], columns[lit]] = rng.uniform(0.3, 1)
        houses += 1
    along = np.arange(0.06, 0.8, 0.07)
    beside = 0.518 + 0.08 * np.sin(6 * along)
    top = height[(along * CELLS).astype(int), (beside * CELLS).astype(int)] + 6
    maps = (np.float32(m) for m in (height, albedo, windows))
    return World(*maps, np.stack([beside * SIDE, along * SIDE, top], -1))


def look(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear values of a world's map at places `[n]`; beyond the border those of its edge."""
    width = 1024  # remap takes pictures, not long rows
    spare = -len(x) % width or width * (not len(x))
    where = [
        np.pad(v / CELL - 0.5, (0, spare)).astype(np.float32).reshape(-1, width) for v in (x, y)
    ]
    found = cv2.remap(
        np.asarray(grid, np.float32), *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return found.reshape(-1, *grid.shape[2:])[: len(x)]
