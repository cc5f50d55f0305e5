"""Closed forms between given frames: interpolation, sun regression, and their blend.

All are exact at given hours but the regression, and all are functions of one pixel's values over
time `[g n t 3]`, so that a picture, a patch and a table of coefficients go the same way.
Axes: g hours asked for, n pixels, t frames.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wxjax import errors
from wxjax.ops import color
from wxjax.systems.tod import codes, sun, timeline

TRANSFERS = ("srgb", "linear", "log1p", "mu")
ANCHORS = ("pchip", "linear", "none")
MU = 5000.0  # Kalantari and Ramamoorthi 2017


def to_value(light: Array, transfer: str) -> Array:
    """Stored samples (sRGB in [0, 1]; linear light where the transfer is log1p or mu) to values."""
    if transfer == "srgb":
        return light
    if transfer == "linear":
        return color.srgb_to_linear(light)
    if transfer == "log1p":
        return jnp.log1p(8 * light)
    if transfer == "mu":
        return jnp.log1p(MU * light) / jnp.log1p(MU)
    raise errors.unknown("model.transfer", transfer, TRANSFERS)


def from_value(value: Array, transfer: str) -> Array:
    """The inverse of `to_value`."""
    if transfer == "srgb":
        return value
    if transfer == "linear":
        return color.linear_to_srgb(value)
    if transfer == "log1p":
        return jnp.expm1(value) / 8
    return jnp.expm1(value * jnp.log1p(MU)) / MU


def light(value: Array, transfer: str) -> Array:
    """Linear light of values."""
    return color.srgb_to_linear(value) if transfer == "srgb" else value if (
        transfer == "linear") else from_value(value, transfer)  # fmt: skip


def unlight(linear: Array, transfer: str) -> Array:
    """The inverse of `light`; light below 0 is 0."""
    linear = jnp.maximum(linear, 0)
    if transfer == "srgb":
        return color.linear_to_srgb(linear)
    return linear if transfer == "linear" else to_value(linear, transfer)


class Found(NamedTuple):
    """Values `[g n 3]` of each closed form, the bracket `[g]`, and the hours' codes `[g k]`."""

    anchor: Any
    regression: Any
    corrected: Any
    blend: Any
    at: timeline.Bracket


def basis_functions(model: Any, place: Mapping, hour: Float[Array, "*b"]) -> Float[Array, "*b k"]:
    """What the regression is linear in: 1 and the time code."""
    code = codes.time(model, place, hour)
    return jnp.concatenate([jnp.ones_like(code[..., :1]), code], -1)


def shares(
    model: Any,
    place: Mapping,
    hours: Float[Array, "t"],
    keep: Bool[Array, "g t"],
    hour: Float[Array, "g q"],
) -> Float[Array, "g q t"]:
    """How much each kept frame counts in a ridge regression read at `hour`: it is linear."""
    design = basis_functions(model, place, hours) * keep[..., None]
    wanted = basis_functions(model, place, hour)
    gram = jnp.einsum("gtk,gtl->gkl", design, design) + model.ridge * jnp.eye(design.shape[-1])
    solved = jnp.linalg.solve(gram, wanted.swapaxes(1, 2))
    return jnp.einsum("gkq,gtk->gqt", solved, design)


def closed_forms(
    model: Any,
    place: Mapping,
    scene: Mapping[str, Array],
    values: Float[Array, "g n t c"],
    lamps: Float[Array, "g n c"] | None,
    keep: Bool[Array, "g t"],
    hour: Float[Array, "g"],
) -> Found:
    """Every closed form at each group's hour, from the frames it keeps.

    Args:
      scene: `hours, segments [t]`, `share, trust [t]` (of the blend, by the frame on the left).
      lamps: linear light of the lamps, taken out before interpolating and put back.
    """
    hours = scene["hours"]
    at = timeline.bracket(hours, keep, hour, model.period)
    anchor = interpolate(model, scene, values, lamps, at, hour)
    ends = hours[at.index[1:3]].T
    weight = shares(model, place, hours, keep, jnp.concatenate([hour[:, None], ends], 1))
    regression, at_left, at_right = jnp.einsum("gntc,gqt->qgnc", values, weight)
    u = at.u[:, None, None]
    off_left = timeline.take(values, at.index[1]) - at_left
    off_right = timeline.take(values, at.index[2]) - at_right
    trust = scene["trust"][at.index[1]][:, None, None]
    # At a given hour the correction is whole, whatever the trust: the blend stays exact there.
    trust = 1 - (1 - trust) * 4 * u * (1 - u)
    corrected = regression + trust * ((1 - u) * off_left + u * off_right)
    share = scene["share"][at.index[1]][:, None, None]
    return Found(anchor, regression, corrected, anchor + share * (corrected - anchor), at)


def interpolate(model, scene, values, lamps, at, hour) -> Float[Array, "g n c"]:
    """PCHIP or linear between frames whose lamps are out; lamps are lit again at the hour."""
    between = timeline.linear if model.anchor == "linear" else timeline.cubic
    lit = codes.lights(model)
    if lamps is None or not lit:
        return between(at, values)
    burning = sun.lamp(scene["hours"], lit, model.period)

    def lighted(value, on):
        return unlight(light(value, model.transfer) + on * lamps, model.transfer)

    four = [timeline.take(values, index) for index in at.index]
    dark = [
        unlight(
            light(value, model.transfer) - burning[index][:, None, None] * lamps, model.transfer
        )
        for value, index in zip(four, at.index, strict=True)
    ]
    own = timeline.Bracket(jnp.broadcast_to(jnp.arange(4)[:, None], at.index.shape), at.u, at.spans)
    result = lighted(
        between(own, jnp.stack(dark, 2)), sun.lamp(hour, lit, model.period)[:, None, None]
    )
    # What clipping at black lost at the two ends comes back, so that given hours stay exact.
    lost = [four[i] - lighted(dark[i], burning[at.index[i]][:, None, None]) for i in (1, 2)]
    u = at.u[:, None, None]
    return result + (1 - u) * lost[0] + u * lost[1]


def estimate_lamps(model: Any, hours: Array, values: Float[Array, "n t c"]) -> Array:
    """Linear light of the lamps `[n c]`: the least light of a pixel while they burn.

    That is the lamps' own where a night is among the frames, and never more than was seen.
    """
    burning = sun.lamp(hours, codes.lights(model), model.period) > 0.5
    seen = jnp.where(burning[:, None], light(values, model.transfer), jnp.inf).min(1)
    return jnp.where(jnp.isfinite(seen), seen, 0)


def leave_out(count: int, index: Array, width: Array | int = 1) -> Bool[Array, "g t"]:
    """Frames to keep `[g t]` when those nearer than `width` places to `index [g]` are hidden."""
    apart = jnp.abs(jnp.arange(count) - index[:, None])
    return jnp.minimum(apart, count - apart) >= jnp.reshape(width, (-1, 1))


def fit_blend(
    model: Any, place: Mapping, scene: Mapping, values: Float[Array, "n t c"], lamps: Any
) -> dict[str, Array]:
    """`share` and `trust [t]` of every interval, by hiding its two ends in turn.

    With e the anchor's error on a hidden frame, r regression less anchor and c the correction,
    what is left is e - share r - share trust c: least squares in `share` for five trusts. A
    hidden frame is found over twice the span, where interpolation is at its worst: below 1/12
    of the period (two hours) the share fades, and at 1/24 the anchor is alone.
    """
    count = scene["hours"].shape[0]
    if count < 5:
        return {"share": jnp.zeros(count), "trust": jnp.ones(count)}
    index = jnp.arange(count)
    day = dict(scene, trust=jnp.ones(count), share=jnp.zeros(count))

    def moments(i):
        """Products `[3 3]` of (e, r, c) where frame i is hidden."""
        found = closed_forms(
            model, place, day, values[None], lamps[None], leave_out(count, i[None]),
            scene["hours"][i][None],
        )  # fmt: skip
        truth = jax.lax.dynamic_index_in_dim(values, i, 1, keepdims=False)
        correction = found.corrected - found.regression
        parts = (truth - found.anchor[0], (found.regression - found.anchor)[0], correction[0])
        stacked = jnp.stack(parts).reshape(3, -1)
        return stacked @ stacked.T / stacked.shape[1]

    m = jax.lax.map(moments, index)
    m = m + jnp.roll(m, -1, 0)  # of both ends of the interval that starts at each frame
    trusts = jnp.linspace(0, 1, 5)[:, None]
    moved = m[:, 0, 1] + trusts * m[:, 0, 2]
    size = m[:, 1, 1] + 2 * trusts * m[:, 1, 2] + trusts**2 * m[:, 2, 2]
    share = jnp.clip(moved / (size + 1e-9), 0, 1)
    best = jnp.argmin(share**2 * size - 2 * share * moved, 0)
    span = (jnp.roll(scene["hours"], -1) - scene["hours"]) % model.period
    fade = jnp.clip(24 * span / model.period - 1, 0, 1)
    return {"share": fade * share[best, index], "trust": trusts[best, 0]}
