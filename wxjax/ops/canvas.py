"""Tiles of an image too large to be held twice: cut one by one, blended row by row.

The counterpart of `ops/tile.py` on the host, for the same tiles and the same weights:
pixels stay as they are stored, and floats exist for as many rows as one tile has.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wxjax.ops import tile as tiles


class Cover(NamedTuple):
    """The tiles that cover an image of `height` by `width` pixels, in rows, numbered from 0.

    A tile is `tile` pixels high, and as wide, or `wide` where that is given.
    """

    height: int
    width: int
    tile: int
    overlap: int
    wide: int = 0

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of a tile."""
        return self.tile, self.wide or self.tile

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        along = lambda length, side: tiles.count_along(length, side, self.overlap)
        return along(self.height, self.sides[0]), along(self.width, self.sides[1])

    @property
    def count(self) -> int:
        rows, columns = self.shape
        return rows * columns

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width that the tiles reach over; the image is reflected into the rest."""
        down, across = (
            (n - 1) * (s - self.overlap) + s for n, s in zip(self.shape, self.sides, strict=True)
        )
        return down, across

    def corner(self, i: int) -> tuple[int, int]:
        """Row and column of tile i's first pixel."""
        row, column = divmod(i, self.shape[1])
        tall, wide = self.sides
        return row * (tall - self.overlap), column * (wide - self.overlap)

    def scaled(self, step: int) -> "Cover":
        """The same tiles on a grid of cells of `step` pixels, whole tiles."""
        height, width = self.extent
        sizes = (height, width, self.tile, self.overlap, self.wide)
        return Cover(*(size // step for size in sizes))

    def take(self, image: np.ndarray, numbers: Sequence[int], size: int) -> np.ndarray:
        """Tiles `[size t t c]` of `image [h w c]`; what `numbers` leave is zero."""
        tall, wide = self.sides
        out = np.zeros((size, tall, wide, image.shape[-1]), image.dtype)
        height, width = self.extent
        if (height, width) == image.shape[:2]:
            for i, number in enumerate(numbers):
                y, x = self.corner(number)
                out[i] = image[y : y + tall, x : x + wide]
            return out
        rows = np.pad(np.arange(self.height), (0, height - self.height), mode="reflect")
        columns = np.pad(np.arange(self.width), (0, width - self.width), mode="reflect")
        for i, number in enumerate(numbers):
            y, x = self.corner(number)
            row = rows[y : y + tall, None]
            out[i] = image[row, columns[x : x + wide]]
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
        self._ramps = [tiles.window(blend, side, cover.overlap) for side in cover.sides]
        self._sums = np.zeros((cover.tile, cover.extent[1], out.shape[-1]), np.float32)
        self._first = 0  # the image's row that the sums begin with
        self._next = 0
        self._weights = [self._total(*each) for each in zip(cover.shape, self._ramps, strict=True)]

    def _total(self, count: int, ramp: np.ndarray) -> np.ndarray:
        """Sum of the ramps of `count` tiles in a line."""
        stride = len(ramp) - self._cover.overlap
        total = np.zeros((count - 1) * stride + len(ramp), np.float32)
        for i in range(count):
            total[i * stride : i * stride + len(ramp)] += ramp
        return total

    def add(self, values: np.ndarray) -> None:
        """The next tile `[t t c]`."""
        y, x = self._cover.corner(self._next)
        self._flush(y)
        down, across = self._ramps
        weight = (down[:, None] * across)[..., None]
        self._sums[:, x : x + len(across)] += values * weight
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
