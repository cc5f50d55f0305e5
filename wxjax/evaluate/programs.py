"""A task's parts compiled for the tiles of an image: few programs for many sizes."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from wxjax import errors, mesh
from wxjax.evaluate.way import Way
from wxjax.ops import tile as tiles_
from wxjax.ops.canvas import Cover
from wxjax.task import Task

TOKENS = 1024  # token grids of everyday pictures are padded to as many, so that programs are few
FEW = 64  # smaller grids to a bucket of these: at 512x512 padding cost a fifth of the whole
MANY = 4  # blocks of TOKENS beyond which every block is a multiple of FEW: a program is compiled
# sooner than 576 tokens of padding are attended to (3840x2160: 8640 tokens, not 9216)


class Programs:
    """A task's parts as compiled programs, by the shapes that an image asks for.

    Attributes:
      way: how images are streamed.
      mesh: the devices that share the tiles of one image.
    """

    def __init__(self, task: Task, variables: Any, tiles: Any, way: Way | None = None):
        """`tiles` is `config.tiles`."""
        if task.parts is None:
            raise errors.InputError("this system cannot stream: expected a task with parts.")
        self.parts, self.settings = task.parts, tiles
        self.way = way or Way(tiles.batch_size, True)
        self.mesh = mesh.make(tiles.get("devices", 1))
        self.variables = jax.device_put(task.prepare(variables), mesh.replicated(self.mesh))
        self._programs: dict[tuple, Callable] = {}
        self._looked: dict[tuple[int, int], Any] = {}

    def cover(self, height: int, width: int) -> Cover:
        """The tiles of an image of this size, its margin included."""
        settings, margin = self.settings, 2 * self.settings.get("margin", 0)
        height, width = height + margin, width + margin
        if not settings.get("fit", False):
            return Cover(height, width, settings.tile, settings.overlap)
        form = dict(most=settings.tile, overlap=settings.overlap, step=2 * self.parts.step)
        tall, wide = (tiles_.fitted(side, **form) for side in (height, width))
        return Cover(height, width, tall, settings.overlap, wide)

    def tokens(self, cover: Cover) -> tuple[int, int]:
        """How many tokens an image has, and how many the bottleneck's program takes."""
        grid = cover.scaled(self.parts.step)
        each = grid.sides[0] * grid.sides[1]
        count = each * cover.count if self.parts.local else grid.height * grid.width
        if count <= TOKENS:
            return count, FEW * tiles_.bucket(-(-count // FEW))
        blocks = -(-count // TOKENS)
        if blocks <= MANY:
            return count, TOKENS * blocks
        return count, FEW * blocks * -(-count // (FEW * blocks))

    def size(self, cover: Cover) -> int:
        """Tiles a program takes at a time, on all devices together."""
        return self.mesh.size * min(self.way.batch, -(-cover.count // self.mesh.size))

    def compile(self, cover: Cover, dtype: Any) -> dict[str, Any]:
        """The compiled programs of an image, by part."""
        n = self.size(cover)
        grid = (side // self.parts.step for side in cover.sides)
        tiles = jax.ShapeDtypeStruct((n, *cover.sides, 3), dtype)
        tokens = jax.ShapeDtypeStruct((n, *grid, self.parts.features), np.float32)
        route = jax.ShapeDtypeStruct((), np.int32)
        maps = (self.looked(cover, n)["maps"],) if self.way.keep else ()
        return {
            "look": self._program("look", (route, tiles)),
            "mix": self.compile_mix(cover),
            "finish": self._program("finish", (route, tokens, tiles, *maps)),
        }

    def looked(self, cover: Cover, n: int) -> dict[str, Any]:
        """Shapes of what `look` leaves of `n` tiles; traced once, for that takes a second."""
        if cover.sides not in self._looked:
            tile = jax.ShapeDtypeStruct((1, *cover.sides, 3), np.float32)
            found = jax.eval_shape(self.parts.look, self.variables, np.int32(0), tile)
            self._looked[cover.sides] = found
        many = lambda x: jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype)
        return jax.tree.map(many, self._looked[cover.sides])

    def compile_mix(self, cover: Cover) -> Callable:
        """The bottleneck's program for an image."""
        return self._program("mix", self.abstract_mix(cover))

    def abstract_mix(self, cover: Cover) -> tuple:
        """Shapes of what the bottleneck reads."""
        route = jax.ShapeDtypeStruct((), np.int32)
        _, room = self.tokens(cover)
        n = tiles_.bucket(cover.count)
        struct = lambda shape, dtype=np.float32: jax.ShapeDtypeStruct(shape, dtype)
        seen = {
            "tokens": struct((room, self.parts.features)),
            "position": struct((room, 2), np.int32),
            "valid": struct((room,)),
            "extent": struct((2,), np.int32),
            "moments": [struct(x.shape) for x in self.looked(cover, n)["moments"]],
            "share": struct((n,)),
            "route": route,
        }
        return seen, route

    def _program(self, part: str, arguments: tuple) -> Callable:
        """A part compiled for arguments of these shapes."""
        key = part, self.way.keep, str(jax.tree.map(lambda x: (x.shape, str(x.dtype)), arguments))
        if key not in self._programs:
            fn = getattr(self.parts, part)
            if part == "look" and not self.way.keep:
                fn = without_maps(fn)
            if part != "mix" and self.mesh.size > 1:
                fn = over_devices(fn, self.mesh)
            self._programs[key] = jax.jit(fn).lower(self.variables, *arguments).compile()
        return self._programs[key]


def without_maps(look: Callable) -> Callable:
    """`look` for a pass that keeps no maps, so that they never leave the program."""

    def tokens_alone(*args):
        return {name: x for name, x in look(*args).items() if name != "maps"}

    return tokens_alone


def over_devices(fn: Callable, devices: jax.sharding.Mesh) -> Callable:
    """A part whose tiles are split over the devices; weights and route are on all of them."""
    split, same = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()

    def sharded(variables, route, *arrays):
        specs = (same, same, *(split for _ in arrays))
        mapped = jax.shard_map(fn, mesh=devices, in_specs=specs, out_specs=split, check_vma=False)
        return mapped(variables, route, *arrays)

    return sharded
