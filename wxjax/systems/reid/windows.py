"""Windows of several sizes over a token grid, each size pooled to one vector.

A scale s looks at windows of s x s tokens, half overlapping. A window is averaged to 2 x 2
cells, which keeps where things are and gives every scale the same 4d inputs; one linear map,
LayerNorm and GELU; then windows are pooled, by attention unless told otherwise. Without the
non-linearity the mean over windows would be one linear map of the tokens (see `phases`).

Axes: b samples, h w grid, d features, n windows, i j cells.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wxjax import errors
from wxjax.ops.dense import gelu

MODES = ("grid2d", "seq1d")
POOLS = ("attn", "gem", "mean")


class Windows(NamedTuple):
    """How windows are cut and pooled.

    Attributes:
      mode: 'grid2d', or 'seq1d' for 1-D convolutions over the raster-ordered tokens and a
        mean: what the module this descends from does.
      pool: 'attn' (softmax of a linear score), 'gem' (generalised mean) or 'mean'.
      overlap: windows at half their size, else side by side.
    """

    mode: str = "grid2d"
    pool: str = "attn"
    overlap: bool = True


def check(windows: Windows, scales: Sequence[int], grid: tuple[int, int]) -> None:
    """Raises InputError where two scales are one on this grid, or a scale does not fit."""
    for name, value, known in (("mode", windows.mode, MODES), ("pool", windows.pool, POOLS)):
        if value not in known:
            raise errors.unknown(f"config.model.windows.{name}", value, known)
    if not scales or min(scales) < 2:
        raise errors.bad("config.model.scales", tuple(scales), "expected sides of 2 tokens or more")
    tokens = f"the grid of {grid[0]} x {grid[1]} tokens"
    if windows.mode == "seq1d":
        for s in scales:
            if s > grid[0] * grid[1]:
                raise errors.bad(
                    "config.model.scales", s, f"expected at most the tokens of {tokens}"
                )
        return
    seen: dict[tuple[int, int], int] = {}
    for s in scales:
        size = clip(s, grid)
        if size in seen:
            raise errors.bad(
                "config.model.scales",
                tuple(scales),
                f"scales {seen[size]} and {s} are both {size[0]} x {size[1]} on {tokens}",
                "Leave one out, or take a backbone with a finer grid (pyr4).",
            )
        seen[size] = s


def clip(scale: int, grid: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a scale's windows on a grid."""
    return min(scale, grid[0]), min(scale, grid[1])


def starts(scale: int, side: int, overlap: bool = True) -> list[int]:
    """Where the windows of a scale begin along one side of the grid."""
    size = min(scale, side)
    step = max(1, size // 2) if overlap else size
    return list(range(0, side - size + 1, step))


def count(scale: int, grid: tuple[int, int], overlap: bool = True) -> int:
    """Windows of a scale on a grid."""
    return len(starts(scale, grid[0], overlap)) * len(starts(scale, grid[1], overlap))


def averages(scale: int, side: int, overlap: bool) -> np.ndarray:
    """`[2n side]`: the means over the first and the second half of each window."""
    size = min(scale, side)
    rows = []
    for start in starts(scale, side, overlap):
        middle = start + max(1, size // 2)
        for a, b in ((start, middle), (min(middle, start + size - 1), start + size)):
            row = np.zeros(side, np.float32)
            row[a:b] = 1 / (b - a)
            rows.append(row)
    return np.stack(rows)


def cells(
    grid: Float[Array, "b h w d"], scale: int, overlap: bool = True
) -> Float[Array, "b n 4*d"]:
    """The 2 x 2 cell means of every window, row by row."""
    b, h, w, d = grid.shape
    down, across = (jnp.asarray(averages(scale, side, overlap)) for side in (h, w))
    x = jnp.einsum("ih,bhwd->biwd", down, grid)
    x = jnp.einsum("jw,biwd->bijd", across, x)
    n, m = down.shape[0] // 2, across.shape[0] // 2
    x = x.reshape(b, n, 2, m, 2, d).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, n * m, 4 * d)


def init(key: PRNGKeyArray, windows: Windows, scale: int, d: int) -> dict[str, Any]:
    """Parameters of one scale."""
    glorot = jax.nn.initializers.glorot_uniform()
    if windows.mode == "seq1d":
        he = jax.nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        return {"kernel": he(key, (scale, d, d)), "bias": jnp.zeros(d)}
    made = {"project": {"kernel": glorot(key, (4 * d, d)), "bias": jnp.zeros(d)}}
    made |= {"norm": {"scale": jnp.ones(d), "bias": jnp.zeros(d)}}
    if windows.pool == "attn":
        made |= {"score": {"kernel": jnp.zeros((d, 1)), "bias": jnp.zeros(1)}}
    if windows.pool == "gem":
        made |= {"p": jnp.float32(3.0)}
    return made


def apply(
    params: Mapping[str, Any], windows: Windows, scale: int, grid: Float[Array, "b h w d"]
) -> tuple[Float[Array, "b d"], Float[Array, "b n"]]:
    """One scale's vector, and how much each of its windows had to say (sums to 1)."""
    if windows.mode == "seq1d":
        found = phases(params, grid.reshape(grid.shape[0], -1, grid.shape[-1]))
        n = found.shape[1]
        return found.mean(1), jnp.full(found.shape[:2], 1 / n)
    x = cells(grid, scale, windows.overlap)
    x = x @ params["project"]["kernel"] + params["project"]["bias"]
    x = gelu(norm(x, **params["norm"]))
    return pool(params, windows.pool, x)


def pool(params: Mapping[str, Any], how: str, x: Float[Array, "b n d"]):
    """Windows to one vector, and their shares."""
    uniform = jnp.full(x.shape[:2], 1 / x.shape[1])
    if how == "attn":
        score = (x @ params["score"]["kernel"])[..., 0] + params["score"]["bias"]
        share = jax.nn.softmax(score)
        return jnp.einsum("bn,bnd->bd", share, x), share
    if how == "gem":
        p = jnp.maximum(params["p"], 1.0)
        return (jnp.maximum(x, 1e-6) ** p).mean(1) ** (1 / p), uniform
    return x.mean(1), uniform


def norm(
    x: Float[Array, "*b d"], scale: Float[Array, "*#b d"], bias: Float[Array, "*#b d"]
) -> Float[Array, "*b d"]:
    """LayerNorm over the last axis."""
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-6) * scale + bias


def phases(params: Mapping[str, Any], tokens: Float[Array, "b n d"]) -> Float[Array, "b m d"]:
    """A 1-D convolution over tokens, kernel = stride = s, as products of matrices.

    Its mean over windows is bias + sum_k W_k m_k with m_k the mean of the tokens of phase k:
    nothing local survives. Fewer than s tokens: their mean.
    """
    kernel, bias = params["kernel"], params["bias"]
    s, d = kernel.shape[0], tokens.shape[-1]
    if tokens.shape[1] < s:
        return tokens.mean(1, keepdims=True)
    m = tokens.shape[1] // s
    cut = tokens[:, : m * s].reshape(-1, m, s * d)
    return cut @ kernel.reshape(s * d, -1) + bias
