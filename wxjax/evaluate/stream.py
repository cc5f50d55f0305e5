"""Images of any size through a bounded memory: regions stream, pixels stay on the host.

Two passes over the tiles. The first looks: each batch leaves its tokens, and where there
is room the maps that the second will need. Between them the bottleneck sees all tokens.
The second finishes: each batch becomes pixels, blended row by row into the output. Where
there is no room for the maps, the second pass looks again.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from wxjax import errors
from wxjax.evaluate import cost
from wxjax.evaluate.programs import Programs
from wxjax.evaluate.way import Crowded, Way, fewer
from wxjax.ops import tile as tiles_
from wxjax.ops.canvas import Canvas, Cover

__all__ = ["Streamer", "Way", "fewer"]


class Streamer(Programs):
    """A task's compiled parts, and the loop over an image's tiles.

    A batch that runs out of memory is halved for good.
    """

    def __call__(self, image: np.ndarray, force: Any = -1) -> tuple[np.ndarray, dict]:
        """Restores `[h w 3]`: uint8 to uint8, float32 to float32 unclipped.

        Returns also what the task says besides tiles, with `latency_ms`, `ms_per_mp` (of a
        compiled program: compilation is not counted) and `mem_gb`.

        Raises:
          InputError: where the output is not finite.
        """
        h, w, _ = image.shape
        cover, margin = self.cover(h, w), self.settings.get("margin", 0)
        self.compile(cover, image.dtype)
        start = time.perf_counter()
        padded = image
        if margin:
            padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), "reflect")
        try:
            restored, found = self._restore(padded, cover, force)
        except Crowded:
            self.way = self.way._replace(keep=False)
            restored, found = self._restore(padded, cover, force)
        restored = restored[margin : margin + h, margin : margin + w]
        spent = (time.perf_counter() - start) * 1e3
        costs = {
            "latency_ms": spent,
            "ms_per_mp": spent / (h * w / 1e6),
            "mem_gb": cost.peak_memory_gb(),
            "batch": self.way.batch,
            "kept": self.way.keep,
        }
        return restored, {**jax.device_get(found), **costs}

    def _restore(self, image: np.ndarray, cover: Cover, force: Any) -> tuple[np.ndarray, dict]:
        route, found = np.int32(0), None
        for _ in range(self.parts.passes):
            looked = self.look(image, cover, route)
            mixed = self._mix(looked, cover, route, force)
            route, found = np.int32(mixed["route"]), found or mixed["said"]
        if int(route) == self.parts.leave:
            return image.copy(), found
        return self.finish(image, cover, route, mixed["tokens"], looked["maps"]), found

    def look(self, image: np.ndarray, cover: Cover, route: Any) -> dict[str, Any]:
        """The first pass: `tokens [room d]`, `moments` and, where kept, `maps` of each tile."""
        grid = cover.scaled(self.parts.step)
        d = self.parts.features
        _, room = self.tokens(cover)
        flat = np.zeros((room, d), np.float32)
        canvas = None
        if not self.parts.local:
            whole = flat[: grid.height * grid.width].reshape(grid.height, grid.width, d)
            canvas = Canvas(grid, whole, self.settings.blend)
        maps, moments = Maps(on_device=jax.default_backend() != "cpu"), []

        def store(numbers, said):
            tokens = np.asarray(said["tokens"])
            for number, values in zip(numbers, tokens[: len(numbers)], strict=True):
                if canvas is None:
                    each = grid.sides[0] * grid.sides[1]
                    flat[number * each : (number + 1) * each] = values.reshape(each, d)
                else:
                    canvas.add(values)
            moments.append([np.asarray(x)[: len(numbers)] for x in said["moments"]])
            if self.way.keep:
                maps.put(numbers, said["maps"])

        self._each(cover, "look", lambda tiles, _: (route, tiles), store, image)
        if canvas is not None:
            canvas.close()
        gathered = [np.concatenate(parts) for parts in zip(*moments, strict=True)]
        return {"tokens": flat, "moments": gathered, "maps": maps if self.way.keep else None}

    def _mix(self, looked: dict, cover: Cover, route: Any, force: Any) -> dict[str, Any]:
        seen = self.seen(cover, looked["tokens"], looked["moments"])
        looked["tokens"] = looked["moments"] = None
        program = self.compile_mix(cover)
        mixed = program(self.variables, {**seen, "route": route}, np.int32(force))
        return {**mixed, "tokens": np.asarray(mixed["tokens"])}

    def seen(self, cover: Cover, tokens: np.ndarray, moments: list) -> dict[str, Any]:
        """What `mix` reads, padded to a bucket."""
        count, room = self.tokens(cover)
        grid = cover.scaled(self.parts.step)
        if self.parts.local:
            tall, wide = grid.sides
            place = np.stack(np.mgrid[:tall, :wide], -1).reshape(-1, 2)
            corners = np.array([grid.corner(i) for i in range(cover.count)])
            place = (corners[:, None] + place).reshape(-1, 2)
        else:
            place = np.stack(np.divmod(np.arange(count), grid.width), -1)
        position = np.zeros((room, 2), np.int32)
        position[:count] = place
        n = tiles_.bucket(cover.count)
        share = np.zeros(n, np.float32)
        share[: cover.count] = 1 / cover.count
        pad = lambda x: np.pad(x, ((0, n - len(x)), (0, 0), (0, 0)))
        return {
            "tokens": tokens,
            "position": position,
            "valid": (np.arange(room) < count).astype(np.float32),
            "extent": np.array([grid.height, grid.width], np.int32),
            "moments": [pad(x) for x in moments],
            "share": share,
        }

    def finish(self, image, cover, route, mixed, maps) -> np.ndarray:
        """The second pass, of `mixed` tokens `[room d]`: the restored image."""
        grid = cover.scaled(self.parts.step)
        eight = image.dtype == np.uint8
        out = np.empty(image.shape, np.uint8 if eight else np.float32)
        canvas = Canvas(cover, out, self.settings.blend, to_uint8 if eight else finite)
        (tall, wide), d = grid.sides, self.parts.features
        each = tall * wide

        def arguments(tiles, numbers):
            tokens = np.zeros((len(tiles), tall, wide, d), np.float32)
            for i, number in enumerate(numbers):
                if self.parts.local:
                    own = mixed[number * each : (number + 1) * each]
                    tokens[i] = own.reshape(tall, wide, d)
                else:
                    y, x = grid.corner(number)
                    rows = mixed[: grid.height * grid.width].reshape(grid.height, grid.width, d)
                    tokens[i] = rows[y : y + tall, x : x + wide]
            if maps is None:
                return route, tokens, tiles
            return route, tokens, tiles, maps.get(numbers, len(tiles))

        def store(numbers, said):
            for values in np.asarray(said)[: len(numbers)]:
                canvas.add(values)
            if maps is not None:
                maps.drop(numbers)  # a skip is needed once

        self._each(cover, "finish", arguments, store, image)
        return canvas.close()

    def _each(self, cover, part, arguments, store, image) -> None:
        """Runs a part over all tiles in order, with fewer at a time where memory runs out."""
        done = 0
        while done < cover.count:
            size = self.size(cover)
            numbers = range(done, min(done + size, cover.count))
            try:
                given = arguments(cover.take(image, numbers, size), numbers)
                program = self._program(part, jax.tree.map(abstract, given))
                store(numbers, jax.block_until_ready(program(self.variables, *given)))
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                self.way = fewer(self.way, error)
                continue
            done += size


class Maps:
    """The encoder's maps of an image's tiles, kept in the batches that they came in.

    On an accelerator they stay on the device: at 3840x2160 the host's part, with their way
    there and back, took five times as long as the network (experiments/bench/dehazexl_gpu.md).
    """

    def __init__(self, on_device: bool):
        self._on_device = on_device
        self._held: dict[int, tuple[list, int]] = {}  # tile -> its batch, its row there

    def put(self, numbers: Iterable[int], batch: Iterable[Any]) -> None:
        """Maps `[b ...]` of the tiles `numbers`, and of padding after them."""
        batch = [x if self._on_device else np.asarray(x) for x in batch]
        self._held |= {number: (batch, row) for row, number in enumerate(numbers)}

    def get(self, numbers: Sequence[int], size: int) -> list[Any]:
        """Maps `[size ...]` of these tiles: their batch as it came, where they are one."""
        chosen = [self._held[number] for number in numbers]
        batch = chosen[0][0]
        rows = [row for held, row in chosen if held is batch]
        if not batch or (rows == list(range(len(numbers))) and len(batch[0]) == size):
            return batch
        return [stack([held[i][row] for held, row in chosen], size) for i in range(len(batch))]

    def drop(self, numbers: Iterable[int]) -> None:
        """Their memory returns with the last tile of a batch."""
        for number in numbers:
            self._held.pop(number)


def abstract(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(x), getattr(x, "dtype", None) or np.asarray(x).dtype)


def stack(parts: Any, size: int) -> np.ndarray:
    """Arrays of one shape as one, zeros after the last."""
    out = np.zeros((size, *parts[0].shape), parts[0].dtype)
    for i, part in enumerate(parts):
        out[i] = part
    return out


def finite(rows: np.ndarray) -> np.ndarray:
    """Rows as they are; NotFinite where they hold NaN or Inf."""
    if not np.isfinite(rows).all():
        raise errors.NotFinite(
            "the model's output is not finite. Its weights are damaged or overflowed: "
            "run with --config.model.dtype=float32, or from an earlier checkpoint."
        )
    return rows


def to_uint8(rows: np.ndarray) -> np.ndarray:
    """Clipped and rounded half up, as pictures are written."""
    return np.floor(np.clip(finite(rows), 0, 1) * np.float32(255) + np.float32(0.5))
