"""Large images as overlapping tiles: cut on the host, map on the device, blend.

A tile batch is the form in which an image of any size meets a compiled program:

  tiles   [n t t c]  uint8 or float32, the first `count` of them real
  corner  [n 2]      row and column of each tile's first pixel
  count   []         how many tiles are real; the rest pads to a bucket
  grid    [2]        rows and columns of the padded image, in pixels

`n` grows in steps (`bucket`), so a folder of many sizes needs a handful of programs.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors

WINDOWS = ("hann", "uniform", "crop")


def window(kind: str, tile: int, overlap: int) -> np.ndarray:
    """Blending weights of one tile, `[t]` float32, strictly positive.

    'hann': flat inside, a half-sample raised cosine over the overlap, so that two
    neighbours sum to 1 and no pixel divides by zero; 'uniform': plain averaging; 'crop':
    each tile alone within half the overlap of its border, which is what convolutions ask
    for: a tile is exact but for a rim that its neighbour has further inside.
    """
    if kind not in WINDOWS:
        raise errors.unknown("tiles.blend", kind, WINDOWS)
    if not 0 <= overlap <= tile // 2:
        raise errors.bad("tiles.overlap", overlap, f"expected 0 to half of tiles.tile={tile}")
    weights = np.ones(tile, np.float32)
    if kind == "hann" and overlap:
        ramp = np.sin(0.5 * np.pi * (np.arange(overlap) + 0.5) / overlap) ** 2
        weights[:overlap], weights[tile - overlap :] = ramp, ramp[::-1]
    if kind == "crop" and overlap:
        rim = overlap // 2
        weights[:rim] = weights[tile - rim :] = 1e-6  # an image's border has no other tile
    return weights


def count_along(length: int, tile: int, overlap: int) -> int:
    """How many tiles cover `length` pixels."""
    return max(1, math.ceil((length - overlap) / (tile - overlap)))


def fitted(length: int, *, most: int, overlap: int, step: int) -> int:
    """The side of as few equal tiles as cover `length`, of at most `most` pixels each.

    A multiple of `step`, and at least twice the overlap.
    """
    count = count_along(length, most, overlap)
    side = math.ceil((length + (count - 1) * overlap) / count)
    return max(-(-side // step) * step, -(-2 * overlap // step) * step)


def bucket(count: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: at most half as many again."""
    size = 1 << max(0, math.ceil(math.log2(max(1, count))))
    three_quarters = size * 3 // 4
    return three_quarters if count <= three_quarters and size >= 4 else size


def cut(
    image: np.ndarray, *, tile: int, overlap: int, pad_to_bucket: bool = True
) -> dict[str, np.ndarray]:
    """The tile batch of an image `[h w c]`, on the host.

    The image is extended at the bottom and the right by reflection until tiles at a
    stride of `tile - overlap` cover it.
    """
    h, w, channels = image.shape
    stride = tile - overlap
    rows, columns = count_along(h, tile, overlap), count_along(w, tile, overlap)
    height, width = (rows - 1) * stride + tile, (columns - 1) * stride + tile
    padded = np.pad(image, ((0, height - h), (0, width - w), (0, 0)), mode="reflect")
    count = rows * columns
    size = bucket(count) if pad_to_bucket else count
    tiles = np.zeros((size, tile, tile, channels), image.dtype)
    corner = np.zeros((size, 2), np.int32)
    for i in range(count):
        y, x = (i // columns) * stride, (i % columns) * stride
        tiles[i] = padded[y : y + tile, x : x + tile]
        corner[i] = y, x
    return {
        "tiles": tiles,
        "corner": corner,
        "count": np.int32(count),
        "grid": np.array([height, width], np.int32),
    }


def assemble(
    tiles: np.ndarray,
    corner: np.ndarray,
    *,
    size: tuple[int, int],
    overlap: int,
    blend: str = "hann",
) -> np.ndarray:
    """Real tiles `[n t t c]` blended into an image `[h w c]` float32, on the host."""
    tile, channels = tiles.shape[1], tiles.shape[-1]
    ramp = window(blend, tile, overlap)
    weight = (ramp[:, None] * ramp)[..., None]
    height, width = (np.max(corner, 0) + tile).tolist()
    sums = np.zeros((height, width, channels), np.float32)
    total = np.zeros((height, width, 1), np.float32)
    for (y, x), output in zip(corner, tiles, strict=True):
        place = np.s_[y : y + tile, x : x + tile]
        sums[place] += output * weight
        total[place] += weight
    return (sums / total)[: size[0], : size[1]]


def assemble_on_device(
    tiles: Float[Array, "n t t c"], corner: np.ndarray, *, overlap: int, blend: str = "hann"
) -> Float[Array, "h w c"]:
    """The same under jit, for corners known when tracing; the padded image."""
    tile = tiles.shape[1]
    ramp = jnp.asarray(window(blend, tile, overlap))
    weight = (ramp[:, None] * ramp)[..., None]
    height, width = (np.max(corner, 0) + tile).tolist()
    total = np.zeros((height, width, 1), np.float32)
    for y, x in corner:
        total[y : y + tile, x : x + tile] += (
            np.asarray(window(blend, tile, overlap))[:, None, None]
            * np.asarray(window(blend, tile, overlap))[None, :, None]
        )

    def paste(sums, item):
        (y, x), output = item
        old = jax.lax.dynamic_slice(sums, (y, x, 0), output.shape)
        return jax.lax.dynamic_update_slice(sums, old + output * weight, (y, x, 0)), None

    empty = jnp.zeros((height, width, tiles.shape[-1]), tiles.dtype)
    sums, _ = jax.lax.scan(paste, empty, (jnp.asarray(corner), tiles))
    return sums / total


def map_tiles(fn: Callable[[Any], Any], tiles: Any, count: Any, *, batch_size: int) -> Any:
    """`fn` over the leading axis by `jax.lax.map`, `batch_size` at a time.

    Batches that hold no real tile (index >= `count`) are skipped at run time and
    read as zeros, so padding to a bucket costs memory but no time.

    Args:
      fn: from leaves `[batch_size ...]` to leaves `[batch_size ...]`.
      tiles: a tree whose leaves share the leading axis n.
      count: number of real tiles; may be traced.
    """
    n = jax.tree.leaves(tiles)[0].shape[0]
    batch_size = min(batch_size, n)
    steps = math.ceil(n / batch_size)
    spare = steps * batch_size - n

    def fold(x):
        x = jnp.pad(x, ((0, spare),) + ((0, 0),) * (x.ndim - 1)) if spare else x
        return x.reshape(steps, batch_size, *x.shape[1:])

    folded = jax.tree.map(fold, tiles)
    shapes = jax.eval_shape(fn, jax.tree.map(lambda x: x[0], folded))

    def step(item):
        i, batch = item
        nothing = lambda _: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.cond(i * batch_size < count, fn, nothing, batch)

    outputs = jax.lax.map(step, (jnp.arange(steps), folded))
    return jax.tree.map(lambda y: y.reshape(steps * batch_size, *y.shape[2:])[:n], outputs)


def through(
    predict: Callable[[dict], dict],
    image: np.ndarray,
    *,
    tile: int,
    overlap: int,
    blend: str,
    scale: int = 1,
    **extra: Any,
) -> tuple[np.ndarray, dict]:
    """A host image `[h w c]` through a program that takes tile batches.

    Returns the assembled image, float32, `scale` times as large, and what else the program said.
    """
    batch = cut(image, tile=tile, overlap=overlap)
    outputs = dict(predict({**batch, **extra}))
    count = int(batch["count"])
    tiles = np.asarray(outputs.pop("tiles"))[:count]
    size = (scale * image.shape[0], scale * image.shape[1])
    corner = scale * batch["corner"][:count]
    whole = assemble(tiles, corner, size=size, overlap=scale * overlap, blend=blend)
    return whole, outputs
