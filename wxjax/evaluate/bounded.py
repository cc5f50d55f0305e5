"""Pictures of any size through a network that sees tiles alone, within a budget of memory.

Infrared enlargement and other systems without `Task.parts` restore every tile by itself:
some at a time, blended row by row on the host, fewer where memory runs out.
"""

import time
from typing import Any, NamedTuple

import jax
import numpy as np

from wxjax import errors
from wxjax.evaluate import cost, plan, runner
from wxjax.evaluate.stream import finite
from wxjax.ops import tile as tiles_
from wxjax.ops.canvas import Canvas, Cover
from wxjax.task import Task

FEW = 8  # tiles that are not worth a plan


class Plan(NamedTuple):
    """What a picture takes: bytes held whatever is done, bytes a tile, and tiles at a time."""

    size: tuple[int, int]  # height, width
    tiles: int
    fixed: int
    each: int
    batch: int

    def lines(self, name: str) -> list[str]:
        """For people."""
        height, width = self.size
        total, fixed = ((self.fixed + n * self.each) / 2**30 for n in (self.batch, 0))
        return [
            f"{name}: {width}x{height}, {self.tiles} tiles",
            f"  memory {total:.2f} GiB: here and pixels {fixed:.2f}, {self.each / 2**20:.1f} MiB "
            "a tile",
            f"  way {self.batch} tiles at a time",
        ]


class Restorer(runner.Restorer):
    """As `runner.Restorer`, in pieces where the whole is too much."""

    def __init__(self, task: Task, variables: Any, tiles: Any, budget: int | None = None):
        """`tiles` is `config.tiles`; `budget` in bytes, None for what the machine has."""
        super().__init__(task, variables, tiles)
        self._budget, self._scale = budget, task.scale
        self._most: int | None = None  # tiles at a time that memory was enough for

    def __call__(self, image: np.ndarray, **extra: Any) -> tuple[np.ndarray, dict]:
        """Restored `[h w c]` float32, unclipped, and outputs with `latency_ms`, `ms_per_mp`.

        Raises:
          InputError: where one tile at a time does not fit, or the output is not finite.
        """
        cover = Cover(*image.shape[:2], self._tiles["tile"], self._tiles["overlap"])
        size = min(self._most or cover.count, cover.count)
        if self._budget or cover.count > FEW:
            size = min(size, self._fitting(cover, image, extra))
        while True:
            try:
                if size >= cover.count and not self._budget:
                    return super().__call__(image, **extra)
                return self._pieces(image, cover, size, extra)
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                size = self._fewer(size, error)

    def _fewer(self, size: int, error: Exception) -> int:
        text = str(error)
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in text:
            raise error
        if size <= 1:
            raise errors.InputError(
                "out of memory with one tile at a time "
                f"({text.splitlines()[0] if text else 'host'}). Close other programs, or take a "
                "smaller --config.tiles.tile."
            ) from error
        self._most = size // 2  # what did not fit once will not fit again
        self._programs.clear()
        return self._most

    def _batch(self, image: np.ndarray, cover: Cover, numbers: range, size: int) -> dict:
        corner = np.zeros((size, 2), np.int32)
        corner[: len(numbers)] = [cover.corner(i) for i in numbers]
        return {
            "tiles": cover.take(image, numbers, size),
            "corner": corner,
            "count": np.int32(len(numbers)),
            "grid": np.array(cover.extent, np.int32),
        }

    def _program(self, batch: dict) -> Any:
        shapes = {name: (np.shape(x), np.asarray(x).dtype) for name, x in batch.items()}
        key = tuple(sorted(shapes.items()))
        if key not in self._programs:
            self._programs[key] = self._predict.lower(self._variables, batch).compile()
        return self._programs[key]

    def plan(self, height: int, width: int, dtype: Any, channels: int = 3) -> Plan:
        """What a picture of this size will take; runs nothing."""
        cover = Cover(height, width, self._tiles["tile"], self._tiles["overlap"])
        image = np.broadcast_to(np.zeros((), np.float32), (height, width, channels))
        fixed, each = self._needs(cover, image, {})
        batch = min(cover.count, self._fitting(cover, image, {}))
        return Plan((height, width), cover.count, fixed, each, _bucket_within(batch))

    def fit(self, height: int, width: int, dtype: Any) -> None:
        """InputError before the first frame of a film where one tile at a time is too much."""
        cover = Cover(height, width, self._tiles["tile"], self._tiles["overlap"])
        if self._budget or cover.count > FEW:
            blank = np.broadcast_to(np.zeros((), np.float32), (height, width, 3))
            self._fitting(cover, blank, {})

    def _needs(self, cover: Cover, image: np.ndarray, extra: dict) -> tuple[int, int]:
        """Bytes besides the tiles, and bytes a tile, by what a program for one tile needs."""
        one = {**self._batch(image, cover, range(1), 1), **extra}
        each = max(1, plan.work(self._program(one), self._variables))
        s, channels = self._scale, image.shape[-1]
        band = 3 * s * s * cover.tile * cover.extent[1] * channels * 4
        fixed = plan.resident() + s * s * cover.height * cover.width * channels * 4 + band
        return fixed, each

    def _fitting(self, cover: Cover, image: np.ndarray, extra: dict) -> int:
        """Tiles at a time within the budget."""
        fixed, each = self._needs(cover, image, extra)
        room = (self._budget or plan.available()) - fixed
        if room < each:
            need, have = (fixed + each) / 2**30, (self._budget or plan.available()) / 2**30
            raise errors.InputError(
                f"memory={have:.2f}GiB: {cover.width}x{cover.height} takes {need:.2f} GiB with one "
                "tile at a time. Allow more with --memory, or take a smaller --config.tiles.tile."
            )
        return int(room // each)

    def _pieces(
        self, image: np.ndarray, cover: Cover, size: int, extra: dict
    ) -> tuple[np.ndarray, dict]:
        start, s = time.perf_counter(), self._scale
        size = _bucket_within(min(size, cover.count))
        large = Cover(s * cover.height, s * cover.width, s * cover.tile, s * cover.overlap)
        out = np.empty((large.height, large.width, image.shape[-1]), np.float32)
        canvas = Canvas(large, out, self._tiles["blend"], finite)
        said: list[tuple[int, dict]] = []
        for first in range(0, cover.count, size):
            numbers = range(first, min(first + size, cover.count))
            batch = {**self._batch(image, cover, numbers, size), **extra}
            found = dict(jax.device_get(self._program(batch)(self._variables, batch)))
            for values in found.pop("tiles")[: len(numbers)]:
                canvas.add(values)
            said.append((len(numbers), found))
        spent = (time.perf_counter() - start) * 1e3
        costs = {
            "latency_ms": spent,
            "ms_per_mp": spent / (image.shape[0] * image.shape[1] / 1e6),
            "mem_gb": cost.peak_memory_gb(),
            "batch": size,
        }
        return canvas.close(), {**_mean(said), **costs}


def _bucket_within(count: int) -> int:
    """The largest bucket of tiles (`tile.bucket`) that is not over `count`."""
    return max(n for n in range(1, count + 1) if tiles_.bucket(n) == n)


def _mean(said: list[tuple[int, dict]]) -> dict:
    """What the pieces said, each counted by its tiles."""
    total = sum(count for count, _ in said)
    names = said[0][1] if said else {}
    return {name: sum(count * np.asarray(found[name], np.float64) for count, found in said) / total
            for name in names}  # fmt: skip
