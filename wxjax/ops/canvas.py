"""Tiles of an image too large to be held twice: cut one by one, blended row by row.

The counterpart of `ops/tile.py` on the host, for the same tiles and the same weights:
pixels stay as they are stored, and floats exist for as many rows as one tile has.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wxjax.ops import tile as tiles


class Cover(NamedTuple):
    """The tiles that cover an image of `height` by `width` pixels, in rows, numbered from 0."""

    height: int
    width: int
    tile: int
    overlap: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        along = lambda length: tiles.count_along(length, self.tile, self.overlap)
        return along(self.height), along(self.width)

    @property
    def count(self) -> int:
        rows, columns = self.shape
        return rows * columns

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width that the tiles reach over; the image is reflected into the rest."""
        stride = self.tile - self.overlap
        rows, columns = self.shape
        return (rows - 1) * stride + self.tile, (columns - 1) * stride + self.tile

    def corner(self, i: int) -> tuple[int, int]:
        """Row and column of tile i's first pixel."""
        row, column = divmod(i, self.shape[1])
        return row * (self.tile - self.overlap), column * (self.tile - self.overlap)

    def scaled(self, step: int) -> "Cover":
        """The same tiles on a grid of cells of `step` pixels, whole tiles."""
        height, width = self.extent
        return Cover(height // step, width // step, self.tile // step, self.overlap // step)

    def take(self, image: np.ndarray, numbers: Sequence[int], size: int) -> np.ndarray:
        """Tiles `[size t t c]` of `image [h w c]`; what `numbers` leave is zero."""
        out = np.zeros((size, self.tile, self.tile, image.shape[-1]), image.dtype)
        height, width = self.extent
        if (height, width) == image.shape[:2]:
            for i, number in enumerate(numbers):
                y, x = self.corner(number)
                out[i] = image[y : y + self.tile, x : x + self.tile]
            return out
        rows = np.pad(np.arange(self.height), (0, height - self.height), mode="reflect")
        columns = np.pad(np.arange(self.width), (0, width - self.width), mode="reflect")
        for i, number in enumerate(numbers):
            y, x = self.corner(number)
            row = rows[y : y + self.tile, None]
            out[i] = image[row, columns[x : x + self.tile]]
        return out


class Canvas:
    """Blends the tiles of a `Cover`, given in order, into `out [height width c]`.

    Only the rows that a later tile may still touch are kept as sums.
    """

    def __init__(
        self,
        cover: Cover,
        out: np.ndarray,
        blend: str = "hann",
        finish: Callable[[np.ndarray], Any] = lambda rows: rows,
    ):
        """`finish` turns blended float32 rows into what `out` holds, for example 8 bits."""
        self._cover, self._out, self._finish = cover, out, finish
        self._ramp = tiles.window(blend, cover.tile, cover.overlap)
        self._sums = np.zeros((cover.tile, cover.extent[1], out.shape[-1]), np.float32)
        self._first = 0  # the image's row that the sums begin with
        self._next = 0
        self._weights = [self._total(n) for n in cover.shape]

    def _total(self, count: int) -> np.ndarray:
        """Sum of the ramps of `count` tiles in a line."""
        stride = self._cover.tile - self._cover.overlap
        total = np.zeros((count - 1) * stride + self._cover.tile, np.float32)
        for i in range(count):
            total[i * stride : i * stride + self._cover.tile] += self._ramp
        return total

    def add(self, values: np.ndarray) -> None:
        """The next tile `[t t c]`."""
        y, x = self._cover.corner(self._next)
        self._flush(y)
        weight = (self._ramp[:, None] * self._ramp)[..., None]
        self._sums[:, x : x + self._cover.tile] += values * weight
        self._next += 1

    def close(self) -> np.ndarray:
        """Writes the last rows; returns `out`."""
        self._flush(self._cover.extent[0])
        return self._out

    def _flush(self, row: int) -> None:
        """Writes the rows before `row`."""
        ready = row - self._first
        if not ready:
            return
        height, width = self._out.shape[:2]
        first, last = self._first, min(row, height)
        if last > first:
            rows, columns = self._weights[0][first:last], self._weights[1][:width]
            blended = self._sums[: last - first, :width] / (rows[:, None] * columns)[..., None]
            self._out[first:last] = self._finish(blended)
        kept = len(self._sums) - ready
        self._sums[: max(0, kept)] = self._sums[ready:].copy()
        self._sums[max(0, kept) :] = 0
        self._first = row
