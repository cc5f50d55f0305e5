"""MoFME on video: one frame in, one out, the restored frame before as a second input.

The state is the last output, the luma of the last input, by which the output follows the
scene's motion (`reference.py`), and what the cut detector has seen: its size does not grow.

Axes: h w height width of a frame, l blocks, e experts.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.nn import routing
from wxjax.ops import color
from wxjax.ops import tile as tiles_
from wxjax.systems.mofme.network import NO_REFERENCE, Network, normalise
from wxjax.systems.mofme.reference import Align, carry, course

THUMBNAIL = (36, 64)  # what the cut detector looks at
BINS = 32
MEMORY = 0.9  # of the running level of change, a frame


class Cuts(NamedTuple):
    """When a frame begins another scene.

    Attributes:
      detect: whether a cut resets the reference.
      difference: least mean absolute change of the thumbnail's luma, in [0, 1].
      ratio: least multiple of the running level of change.
      histogram: least distance of the luma's histograms, in [0, 1].
      every: resets the reference every so many frames; 0 never.
    """

    detect: bool = True
    difference: float = 0.09
    ratio: float = 2.0
    histogram: float = 0.15
    every: int = 0


def init_state(height: int, width: int) -> dict[str, Array]:
    """The state before the first frame of `height` x `width`; plain arrays, to be saved."""
    return {
        "reference": jnp.full((height, width, 3), NO_REFERENCE, jnp.float32),
        "before": jnp.zeros((height, width), jnp.float32),
        "luma": jnp.zeros(THUMBNAIL, jnp.float32),
        "level": jnp.float32(0),
        "number": jnp.int32(0),  # of the next frame
        "since": jnp.int32(0),  # frames since the reference was empty
    }


def reset(state: Mapping[str, Array]) -> dict[str, Array]:
    """The state with no reference: what the next frame sees is what a first one sees."""
    empty = jnp.full_like(state["reference"], NO_REFERENCE)
    return {**state, "reference": empty, "since": jnp.int32(0)}


def step(
    net: Network,
    tiles: Any,
    cuts: Cuts,
    align: Align,
    variables: Mapping,
    state: Mapping[str, Array],
    frame: Array,
    remember: Any = True,
) -> tuple[dict[str, Array], Float[Array, "h w 3"], dict[str, Array]]:
    """Restores one frame.

    Args:
      tiles: `config.tiles`; the same tiles for every frame, the reference cut as the frame.
      frame: `[h w 3]`, uint8, or float in [0, 1].
      remember: false leaves the next frame without a reference.

    Returns:
      The next state; the frame, unclipped; and `cut`, `change` (mean absolute difference of
      luma to the frame before), `referenced`, `covered` (share of pixels with a reference), and
      the gate's `count [l]`, `histogram [l s]`,
      `usage [l e]`, `entropy [l]`.
    """
    image = frame.astype(jnp.float32)
    image = image / 255 if jnp.issubdtype(frame.dtype, jnp.integer) else image
    now = color.luma(image)[..., 0]
    luma = thumbnail(now)
    change = jnp.abs(luma - state["luma"]).mean()
    cut = is_cut(luma, state, change, cuts)
    due = (state["since"] >= cuts.every) if cuts.every else jnp.bool_(False)
    empty = (cut & cuts.detect) | due
    since = jnp.where(empty, 0, state["since"])
    reference = jax.lax.cond(
        since > 0,
        lambda: carry(
            align, state["reference"], course(align, state["before"], now), normalise(image)
        ),
        lambda: jnp.full_like(state["reference"], NO_REFERENCE),
    )
    restored, said = through(net, tiles, variables, image, reference)
    kept = jnp.where(remember, normalise(jnp.clip(restored, 0, 1)), NO_REFERENCE)
    level = jnp.where(state["number"] == 1, change, state["level"])
    level = jnp.where(cut, level, MEMORY * level + (1 - MEMORY) * change)
    after = {
        "reference": kept,
        "before": now,
        "luma": luma,
        "level": jnp.where(state["number"] == 0, 0.0, level),  # nothing before it to differ from
        "number": state["number"] + 1,
        "since": jnp.where(remember, since + 1, 0),
    }
    seen = (reference[..., 0] != NO_REFERENCE).mean(dtype=jnp.float32)
    told = {"cut": cut, "change": change, "referenced": since > 0, "covered": seen}
    return after, restored, {**told, **said}


def thumbnail(luma: Float[Array, "h w"]) -> Float[Array, "y x"]:
    """The frame at the detector's size, averaged."""
    return jax.image.resize(luma, THUMBNAIL, "linear", antialias=True)


def histogram(luma: Float[Array, "y x"]) -> Float[Array, "n"]:
    """Shares of `BINS` even bins; a value is shared by the two nearest, so noise counts little."""
    place = jnp.clip(luma, 0, 1).reshape(-1, 1) * (BINS - 1)
    return jnp.clip(1 - jnp.abs(place - jnp.arange(BINS)), 0, 1).mean(0)


def is_cut(luma: Array, state: Mapping[str, Array], change: Array, cuts: Cuts) -> Array:
    """Whether a frame begins a scene: it differs much, by more than usual, and in its tones.

    What is usual is known from the third frame on.
    """
    tones = 0.5 * jnp.abs(histogram(luma) - histogram(state["luma"])).sum()
    much = (change > cuts.difference) & (change > cuts.ratio * state["level"])
    return (state["number"] > 1) & much & (tones > cuts.histogram)


def through(net: Network, tiles: Any, variables: Mapping, image: Array, reference: Array):
    """A frame and its reference through the network, whole or tile by tile; gates averaged."""
    both = jnp.concatenate([normalise(image), reference], -1)
    h, w = image.shape[:2]

    def run(batch):
        restored, gate = net.apply(variables, batch)
        said = {} if gate is None else routing.statistics(gate.weights, net.gating.top_k)
        return restored.astype(jnp.float32), said

    if max(h, w) <= tiles.tile:
        restored, said = run(both[None])
        return restored[0], jax.tree.map(lambda x: x[0], said)
    corner, (height, width) = corners(h, w, tiles.tile, tiles.overlap)
    padded = jnp.pad(both, ((0, height - h), (0, width - w), (0, 0)), mode="reflect")
    parts = jnp.stack([padded[y : y + tiles.tile, x : x + tiles.tile] for y, x in corner])
    restored, said = tiles_.map_tiles(run, parts, len(corner), batch_size=tiles.batch_size)
    whole = tiles_.assemble_on_device(restored, corner, overlap=tiles.overlap, blend=tiles.blend)
    return whole[:h, :w], jax.tree.map(lambda x: x.mean(0), said)


def corners(height: int, width: int, tile: int, overlap: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Tiles that cover a frame, as `ops/tile.py: cut` lays them, and the size they cover."""
    stride = tile - overlap
    rows, columns = (tiles_.count_along(side, tile, overlap) for side in (height, width))
    place = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1)
    size = (rows - 1) * stride + tile, (columns - 1) * stride + tile
    return place.reshape(-1, 2) * stride, size


def settings(config: Any) -> Cuts:
    """`config.video.cuts`, checked."""
    cuts = Cuts(**config.to_dict())
    for name in ("difference", "ratio", "histogram", "every"):
        if getattr(cuts, name) < 0:
            raise errors.bad(f"config.video.cuts.{name}", getattr(cuts, name), "expected 0 or more")
    return cuts
