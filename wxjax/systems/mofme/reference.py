"""The frame restored before, carried to where the scene is now, and dropped where it went astray.

A reference that stands still while the scene moves is worse than none: the network keeps
what it shows, frame after frame (experiments/mofme_video). So it follows the motion between
the two frames as the camera saw them, whose weather is alike, and where even then the two
differ in the mean of a few pixels - something came out from behind, or the search failed -
there is no reference. Nor does it say how bright the scene is: its tones are exchanged for the
present frame's, since what a network got wrong in them once it would see and add to for ever.

Axes: h w height width of a frame.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wxjax import errors
from wxjax.ops import filters
from wxjax.systems.mofme import motion
from wxjax.systems.mofme.network import NO_REFERENCE

CELL = 4  # pixels along a cell that is kept or dropped whole


class Align(NamedTuple):
    """How a reference is brought to the frame.

    Attributes:
      follow: whether it follows the motion; else it stays where it was.
      doubt: greatest difference of the two frames' luma, averaged over some 10 pixels, at
        which it is kept, in [0, 1].
      tone: blur in pixels (a Gaussian's sigma) of what counts as tone, and comes from the
        frame as it came in; 0 leaves the reference its own.
    """

    follow: bool = True
    doubt: float = 0.04
    tone: float = 0.0


class Course(NamedTuple):
    """Where the present frame lies in the one before, and where that can be believed."""

    way: Float[Array, "h w 2"]
    sure: Bool[Array, "h w"]


def course(align: Align, before: Float[Array, "h w"], now: Float[Array, "h w"]) -> Course | None:
    """The motion between two frames as they came in, from their luma; None where none is asked."""
    if not align.follow:
        return None
    way = motion.estimate(now, before)
    gap = motion.pooled(now - motion.warp(before[..., None], way)[..., 0], CELL)
    sure = jnp.abs(filters.blur(gap[..., None], 1.0)[..., 0]) <= align.doubt
    h, w = now.shape
    sure = jnp.repeat(jnp.repeat(sure, CELL, 0), CELL, 1)[:h, :w] & motion.inside(way)
    return Course(way, sure)


def carry(
    align: Align,
    reference: Float[Array, "h w 3"],
    along: Course | None,
    image: Float[Array, "h w 3"],
) -> Float[Array, "h w 3"]:
    """The restored frame before as the frame `image` needs it, both in [-1, 1].

    `NO_REFERENCE` where it has none; without a course it stays where it is.
    """
    if along is not None:
        carried = motion.warp(reference, along.way)
        reference = jnp.where(along.sure[..., None], carried, NO_REFERENCE)
    return toned(reference, image, align.tone) if align.tone else reference


def toned(
    reference: Float[Array, "h w 3"], image: Float[Array, "h w 3"], sigma: float
) -> Float[Array, "h w 3"]:
    """`reference` with the mean around each pixel that `image` has, where there is any."""
    h, w, _ = image.shape
    there = (reference != NO_REFERENCE).any(-1, keepdims=True)

    def low(x):
        cells = motion.pooled(jnp.moveaxis(x * there, -1, 0), CELL)
        return filters.blur(jnp.moveaxis(cells, 0, -1), sigma / CELL)

    gap = low(image - reference) / jnp.maximum(low(jnp.ones_like(image)), 1e-3)
    rows, columns, _ = gap.shape
    gap = jax.image.resize(gap, (rows * CELL, columns * CELL, 3), "linear", antialias=False)
    return jnp.where(there, reference + gap[:h, :w], NO_REFERENCE)


def settings(config: Any) -> Align:
    """`config.video.align`, checked; runs from before there was one did not follow.

    Raises:
      InputError: for a bound out of range.
    """
    if "align" not in config:
        return Align(follow=False)
    align = Align(**config.align.to_dict())
    if not 0 <= align.doubt <= 1:
        raise errors.bad("config.video.align.doubt", align.doubt, "expected 0 to 1")
    if align.tone and align.tone < CELL:
        rule = f"expected 0 (off), or {CELL} pixels and more"
        raise errors.bad("config.video.align.tone", align.tone, rule)
    return align
