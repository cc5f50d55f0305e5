"""Frames on a circle of hours: the neighbours of an hour, and interpolation between them.

Axes: g hours asked for, t frames given, n pixels. A frame can be left out (`keep` false).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Bracket(NamedTuple):
    """For each hour `[g]`: frames around it, and where between them it lies.

    Attributes:
      index: `[4 g]`, frames before, left, right, after; left is at or before the hour.
      u: place from left to right in [0, 1).
      spans: `[3 g]`, hours from each of the four frames to the next.
    """

    index: Any
    u: Any
    spans: Any


def bracket(
    hours: Float[Array, "t"], keep: Bool[Array, "g t"], hour: Float[Array, "g"], period: float
) -> Bracket:
    """The two kept frames before and the two after; with few frames some are the same."""

    def step(start, sign, least):
        apart = (sign * (hours - start[:, None])) % period
        apart = jnp.where(apart < least, period, apart)
        return jnp.argmin(jnp.where(keep, apart, jnp.inf), 1)

    tiny = 1e-5  # of an hour asked for: a frame's own hour, in float32, has it on its left
    left = step(hour + tiny, -1, 0.0)
    right = step(hours[left], 1, tiny)
    before, after = step(hours[left], -1, tiny), step(hours[right], 1, tiny)
    index = jnp.stack([before, left, right, after])
    spans = (hours[index[1:]] - hours[index[:-1]]) % period
    spans = jnp.where(spans < tiny, period, spans)  # the only frame is its own neighbour
    u = ((hour + tiny - hours[left]) % period - tiny) / spans[1]
    return Bracket(index, jnp.clip(u, 0, 1), spans)


def take(values: Float[Array, "g n t c"], index: Int[Array, "g"]) -> Float[Array, "g n c"]:
    """Each group's own frame."""
    return jnp.take_along_axis(values, index[:, None, None, None], 2)[:, :, 0]


def linear(at: Bracket, values: Float[Array, "g n t c"]) -> Float[Array, "g n c"]:
    """Straight from the left frame to the right."""
    u = at.u[:, None, None]
    return (1 - u) * take(values, at.index[1]) + u * take(values, at.index[2])


def cubic(at: Bracket, values: Float[Array, "g n t c"]) -> Float[Array, "g n c"]:
    """Monotone cubic through the frames: exact at each, no overshoot between two.

    Fritsch and Carlson (SIAM J. Numer. Anal. 1980) with the slopes of SciPy's
    PchipInterpolator, on a circle.
    """
    before, left, right, after = (take(values, index) for index in at.index)
    h0, h, h1 = (span[:, None, None] for span in at.spans)
    u = at.u[:, None, None]
    middle = (right - left) / h
    start = _slope((left - before) / h0, middle, h0, h)
    end = _slope(middle, (after - right) / h1, h, h1)
    bend = h * u * (1 - u) * (start * (1 - u) - end * u)
    return left + (right - left) * u**2 * (3 - 2 * u) + bend


def _slope(before, after, h0, h1):
    """Slope at a node from its two secants: their weighted harmonic mean, 0 at an extremum."""
    monotone = before * after > 0
    w0, w1 = 2 * h1 + h0, h1 + 2 * h0
    first, second = jnp.where(monotone, before, 1), jnp.where(monotone, after, 1)
    return jnp.where(monotone, (w0 + w1) / (w0 / first + w1 / second), 0)
