"""Images cut into square regions, put together again, and run through a few at a time."""

from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float


def split(x: Float[Array, "b h w c"], side: int) -> Float[Array, "r s s c"]:
    """Regions of `side`, row by row, image by image."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // side, side, w // side, side, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, side, side, c)


def join(x: Float[Array, "r s s c"], rows: int, columns: int) -> Float[Array, "b h w c"]:
    """Inverse of `split`."""
    s, c = x.shape[1], x.shape[-1]
    x = x.reshape(-1, rows, columns, s, s, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, rows * s, columns * s, c)


def by_regions(module: nn.Module, images: int, fn, *arrays) -> Any:
    """`fn(module, *arrays)` of regions, a few at a time in a loop where that saves memory.

    For training with rematerialised blocks: the loop's steps keep the blocks' inputs, and
    the backward pass computes the rest of a step again when it comes to it. Without the
    loop, XLA on a CPU merges what is computed again with what was thrown away.

    Args:
      images: how many images the regions `[images * r ...]` belong to; every step takes
        some of each, so that a batch split over devices stays split. As many as there are
        regions: no loop.
    """
    n = jax.tree.leaves(arrays)[0].shape[0]
    regions = n // images
    each = max(
        k for k in range(1, regions + 1) if regions % k == 0 and k * images <= max(4, images)
    )
    steps = regions // each
    if steps == 1:
        return fn(module, *arrays)

    def fold(x):
        x = x.reshape(images, steps, each, *x.shape[1:]).swapaxes(0, 1)
        return x.reshape(steps, images * each, *x.shape[3:])

    def unfold(y):
        y = y.reshape(steps, images, each, *y.shape[2:]).swapaxes(0, 1)
        return y.reshape(n, *y.shape[3:])

    step = lambda module, carry, parts: (carry, fn(module, *parts))
    loop = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
    return jax.tree.map(unfold, loop(module, None, jax.tree.map(fold, arrays))[1])


def one_by_one(module: nn.Module, fn, *arrays) -> Any:
    """`fn(module, *arrays)` of regions `[n ...]`, one at a time on a CPU.

    There a region's larger maps stay in the cache and fill the matrix products alone;
    on an accelerator all regions go at once.
    """
    n = jax.tree.leaves(arrays)[0].shape[0]
    if n == 1 or jax.default_backend() != "cpu":
        return fn(module, *arrays)
    step = lambda module, carry, parts: (carry, fn(module, *parts))
    shared = ("params", "tables")
    loop = nn.scan(step, variable_broadcast=shared, split_rngs={"params": False})
    found = loop(module, None, jax.tree.map(lambda x: x[:, None], arrays))[1]
    return jax.tree.map(lambda y: y[:, 0], found)
