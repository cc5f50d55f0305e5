"""Feature grids over a picture: dense levels and multiresolution hash tables.

Places are x, y in [-1, 1] over the whole picture, float32 always; cells are sampled at their
centres (align_corners=False), and the border's cell goes on beyond its centre.
"""

import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

PRIMES = (1, 2654435761, 805459861)  # Mueller et al. 2022, eq. 4


def bilinear(grid: Float[Array, "h w c"], xy: Float[Array, "n 2"]) -> Float[Array, "n c"]:
    """Values of `grid` at places, as torch's grid_sample(align_corners=False, border)."""
    h, w, _ = grid.shape
    x = jnp.clip((xy[:, 0] + 1) * (w / 2) - 0.5, 0, w - 1)
    y = jnp.clip((xy[:, 1] + 1) * (h / 2) - 0.5, 0, h - 1)
    left, top = jnp.floor(x).astype(jnp.int32), jnp.floor(y).astype(jnp.int32)
    right, low = jnp.minimum(left + 1, w - 1), jnp.minimum(top + 1, h - 1)
    a, b = (y - top)[:, None], (x - left)[:, None]
    upper = grid[top, left] * (1 - b) + grid[top, right] * b
    lower = grid[low, left] * (1 - b) + grid[low, right] * b
    return upper * (1 - a) + lower * a


def enlarge(grid: Float[Array, "h w c"], height: int, width: int) -> Float[Array, "H W c"]:
    """`bilinear` at every pixel centre of a picture, as two matrix products."""

    def matrix(cells: int, pixels: int) -> Array:
        place = jnp.clip((jnp.arange(pixels) + 0.5) * (cells / pixels) - 0.5, 0, cells - 1)
        return jnp.maximum(0, 1 - jnp.abs(place[:, None] - jnp.arange(cells)))

    rows = jnp.einsum("Hh,hwc->Hwc", matrix(grid.shape[0], height), grid)
    return jnp.einsum("Ww,Hwc->HWc", matrix(grid.shape[1], width), rows)


def dense_shapes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sides of the levels, coarse to fine: the picture's over 2^(levels - 1), ..., over 1."""
    return [(max(1, height >> k), max(1, width >> k)) for k in range(levels - 1, -1, -1)]


class Dense(nn.Module):
    """Dense levels, from the picture's size down by halves; starts at almost 0.

    The output is `gain` times what is stored, so that Adam's steps of 1e-2 move it.
    """

    height: int
    width: int
    levels: int = 5
    channels: int = 4
    gain: float = 10.0

    def setup(self):
        start = lambda key, shape: jax.random.uniform(key, shape, minval=-1e-3, maxval=1e-3)
        self.tables = [
            self.param(f"level_{i}", start, (h, w, self.channels))
            for i, (h, w) in enumerate(dense_shapes(self.height, self.width, self.levels))
        ]

    def __call__(self, xy: Float[Array, "n 2"]) -> Float[Array, "n f"]:
        return self.gain * jnp.concatenate([bilinear(t, xy) for t in self.tables], -1)

    def whole(self, height: int, width: int) -> Float[Array, "h w f"]:
        """Of every pixel of a picture of any size."""
        return self.gain * jnp.concatenate([enlarge(t, height, width) for t in self.tables], -1)


def hash_index(
    corner: Int[Array, "n d"], sizes: tuple[int, ...], log2_size: int
) -> Int[Array, "n"]:
    """Row of a table of 2^log2_size for integer grid corners; as instant-ngp.

    Where a level's (size + 1) ... corners fit, they are numbered densely, x fastest.
    """
    if math.prod(sizes) <= 2**log2_size:
        index, stride = jnp.zeros(corner.shape[0], jnp.uint32), 1
        for axis, size in enumerate(sizes):
            index = index + corner[:, axis].astype(jnp.uint32) * jnp.uint32(stride)
            stride *= size
        return index.astype(jnp.int32)
    index = jnp.zeros(corner.shape[0], jnp.uint32)
    for axis in range(len(sizes)):
        index = index ^ (corner[:, axis].astype(jnp.uint32) * jnp.uint32(PRIMES[axis]))
    return (index & jnp.uint32(2**log2_size - 1)).astype(jnp.int32)


class Hash(nn.Module):
    """Multiresolution hash table (Mueller et al., SIGGRAPH 2022) over x, y and, if any, time.

    Attributes:
      finest: cells along the longer side at the last level.
      times: cells around the clock at the last level; 0: no time. Coarser levels have fewer,
        and the last cell's neighbour is the first.
    """

    finest: int
    levels: int = 12
    features: int = 2
    log2_size: int = 15
    coarsest: int = 16
    times: int = 0

    def sizes(self) -> list[tuple[int, int]]:
        """(cells along x and y, cells of time) a level."""
        steps = max(1, self.levels - 1)
        growth = math.exp(math.log(max(1, self.finest / self.coarsest)) / steps)
        found = []
        for level in range(self.levels):
            times = max(1, round(self.times * (level + 1) / self.levels)) if self.times else 0
            found.append((math.floor(self.coarsest * growth**level + 1e-6), times))
        return found

    @nn.compact
    def __call__(
        self, xy: Float[Array, "n 2"], phase: Float[Array, "n"] | None = None
    ) -> Float[Array, "n f"]:
        """`phase`: time in [0, 1), where the table has one."""
        start = lambda key, shape: jax.random.uniform(key, shape, minval=-1e-4, maxval=1e-4)
        out = []
        for level, (cells, times) in enumerate(self.sizes()):
            sizes = (cells + 1, cells + 1) + ((times,) if times else ())
            rows = min(math.prod(sizes), 2**self.log2_size)
            table = self.param(f"level_{level}", start, (rows, self.features))
            place = (xy + 1) * (cells / 2)
            if times:
                place = jnp.concatenate([place, (phase * times)[:, None]], -1)
            first = jnp.floor(place)
            part = place - first
            total = jnp.zeros((len(xy), self.features))
            for corner in itertools.product((0, 1), repeat=len(sizes)):
                at = first.astype(jnp.int32) + jnp.array(corner)
                limit = jnp.array(sizes) - 1
                inside = jnp.clip(at, 0, limit)
                if times:
                    inside = inside.at[:, 2].set(at[:, 2] % times)
                weight = jnp.where(jnp.array(corner), part, 1 - part).prod(-1)
                total += weight[:, None] * table[hash_index(inside, sizes, self.log2_size)]
            out.append(total)
        return 100 * jnp.concatenate(out, -1)
