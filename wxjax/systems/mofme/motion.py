"""Motion between two frames, and a frame carried along it.

A coarse search by block matching and then Lucas and Kanade's step (IJCAI 1981) from coarse
to fine, with weights that let go of what moves by itself: falling snow is in both frames,
and the scene behind it is what is followed. All in one compiled program, for a stream.

Axes: h w height width, y x a grid of blocks, n offsets along an axis. Motion is (down,
right) in pixels: where what a pixel shows lies in the other frame.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax.ops import filters

BLOCK = 2  # pixels along a cell of the motion's grid, at every level
COARSEST = 96  # levels are halved until the shorter side is below this
LEAST_LEVELS = 2
REACH = 8  # pixels of the coarsest level that the search looks in each direction
TRUNCATED = 0.15  # of a difference of luma: more says no more
STILL = 0.001  # of luma, the price of a pixel of motion where nothing tells
OUTLIER = 0.06  # of luma: where a difference has a quarter of its weight
STEPS = 2  # at each level
RIDGE = 1e-4  # of squared slopes: flat ground does not move


def estimate(now: Float[Array, "h w"], before: Float[Array, "h w"]) -> Float[Array, "h w 2"]:
    """Where each pixel of `now` lies in `before`, both luma in [0, 1].

    Reaches a third of the shorter side, whatever the size. No gradient is meant to flow.
    """
    h, w = now.shape
    levels = LEAST_LEVELS
    while min(h, w) >> levels >= COARSEST:
        levels += 1
    side = BLOCK << levels
    whole = lambda x: jnp.pad(x, ((0, -h % side), (0, -w % side)), mode="edge")
    pyramid = [(whole(now), whole(before))]
    for _ in range(levels):
        pyramid.append(tuple(pooled(x, 2) for x in pyramid[-1]))
    way = _search(*pyramid[-1])
    for level in reversed(range(levels + 1)):
        first, second = pyramid[level]
        if level < levels:
            way = 2 * _spread(way, tuple(side // BLOCK for side in first.shape))
        way = _follow(first, second, way)
    return _spread(way, pyramid[0][0].shape)[:h, :w]


def warp(image: Float[Array, "h w c"], way: Float[Array, "h w 2"]) -> Float[Array, "h w c"]:
    """`image` read at x + way(x), between pixels by straight lines; its border repeats."""
    h, w = image.shape[:2]
    down = jnp.clip(jnp.arange(h)[:, None] + way[..., 0], 0, h - 1)
    right = jnp.clip(jnp.arange(w) + way[..., 1], 0, w - 1)
    y, x = (jnp.floor(place).astype(jnp.int32) for place in (down, right))
    below, beside = jnp.minimum(y + 1, h - 1), jnp.minimum(x + 1, w - 1)
    v, u = (down - y)[..., None], (right - x)[..., None]
    upper = (1 - u) * image[y, x] + u * image[y, beside]
    lower = (1 - u) * image[below, x] + u * image[below, beside]
    return (1 - v) * upper + v * lower


def inside(way: Float[Array, "h w 2"]) -> Array:
    """Whether the other frame shows the place, `[h w]`."""
    h, w = way.shape[:2]
    down, right = jnp.arange(h)[:, None] + way[..., 0], jnp.arange(w) + way[..., 1]
    return (down >= 0) & (down <= h - 1) & (right >= 0) & (right <= w - 1)


def pooled(x: Float[Array, "*n h w"], by: int) -> Float[Array, "*n y x"]:
    """Means of `by` x `by` pixels; an odd side's last row counts twice."""
    *n, h, w = x.shape
    x = jnp.pad(x, [(0, 0)] * len(n) + [(0, -h % by), (0, -w % by)], mode="edge")
    return x.reshape(*n, x.shape[-2] // by, by, x.shape[-1] // by, by).mean((-3, -1))


def _spread(way: Float[Array, "y x 2"], shape: tuple[int, int]) -> Float[Array, "h w 2"]:
    """The grid's motion at the pixels between, by straight lines."""
    return jax.image.resize(way, (*shape, 2), "linear", antialias=False)


def _smooth(x: Float[Array, "*n y x"]) -> Float[Array, "*n y x"]:
    return filters.blur(x[..., None], 1.0)[..., 0]


def _search(now: Float[Array, "h w"], before: Float[Array, "h w"]) -> Float[Array, "y x 2"]:
    """The offset within `REACH` of least truncated difference, a block."""
    h, w = now.shape
    n = 2 * REACH + 1
    wide = jnp.pad(before, REACH, mode="edge")

    def row(down):
        place = lambda right: jax.lax.dynamic_slice(wide, (down, right), (h, w))
        moved = jax.vmap(place)(jnp.arange(n))
        return _smooth(pooled(jnp.minimum(jnp.abs(moved - now), TRUNCATED), BLOCK))

    cost = jax.lax.map(row, jnp.arange(n))
    offset = jnp.arange(n) - REACH
    length = jnp.hypot(offset[:, None].astype(jnp.float32), offset)
    cost = (cost + STILL * length[..., None, None]).reshape(n * n, *cost.shape[2:])
    best = jnp.argmin(cost, 0)
    return jnp.stack([offset[best // n], offset[best % n]], -1).astype(jnp.float32)


def _follow(
    now: Float[Array, "h w"], before: Float[Array, "h w"], way: Float[Array, "y x 2"]
) -> Float[Array, "y x 2"]:
    """Least squares of the difference, linear in the motion, over each block's surroundings."""
    down, right = (slope[..., 0] for slope in filters.sobel(now[..., None]))

    def step(_, way):
        gap = warp(before[..., None], _spread(way, now.shape))[..., 0] - now
        weight = 1 / (1 + (gap / OUTLIER) ** 2)
        products = (down * down, down * right, right * right, down * gap, right * gap)
        sums = _smooth(pooled(weight * jnp.stack(products), BLOCK))
        a, b, c, p, q = sums + jnp.array([RIDGE, 0, RIDGE, 0, 0])[:, None, None]
        move = jnp.stack([b * q - c * p, b * p - a * q], -1) / (a * c - b * b)[..., None]
        return way + jnp.clip(move, -1, 1)

    return jax.lax.fori_loop(0, STEPS, step, way)
