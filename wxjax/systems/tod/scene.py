"""The given frames as arrays that travel with the weights: `variables["scene"]`.

Frames lie pixel by pixel, `[h w t 3]`, so that one pixel's whole day is one read.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wxjax import errors
from wxjax.systems.tod import anchors, codes

LARGE = 2**16  # pixels above which the blend and the sun's path are fitted on fewer


def make(model: Any, frames: np.ndarray, hours: np.ndarray) -> dict[str, Any]:
    """Everything that is computed once from `frames [t h w 3]` at sorted `hours [t]`.

    Args:
      frames: uint8 sRGB, or float32 (linear light where `model.transfer` is log1p or mu).

    Returns:
      `frames [h w t 3]`, `hours, odds, share, trust [t]`, `lamps [h w 3]` (linear light, float16),
      `place` (latitude, declination, shift), all fitted where the config says so.
    """
    check(frames, hours, model.period)
    codes.check(model, len(hours))
    values = decode(model, jnp.asarray(few(frames)))
    count, height, width, _ = frames.shape
    pixels = values.reshape(count, -1, 3).swapaxes(0, 1)
    moments = jnp.asarray(hours, jnp.float32)
    place = codes.sun_start(model)
    if model.learn_sun and model.time_code != "harmonic":
        place = fit_sun(model, place, moments, pixels)
    lamps = np.zeros((height, width, 3), np.float16)
    if codes.lights(model):
        rows = range(0, height, 64)
        parts = [estimate_rows(model, moments, frames[:, y : y + 64]) for y in rows]
        lamps = np.concatenate(parts).astype(np.float16)
    small = jnp.asarray(few(lamps[None].astype(np.float32))[0]).reshape(-1, 3)
    blend = jax.jit(anchors.fit_blend, static_argnums=0)(
        model, place, {"hours": moments}, pixels, small
    )
    more = {}
    if model.field == "basis":
        more["projection"] = projection(np.asarray(values), model.rank)
    return {
        **more,
        "frames": np.ascontiguousarray(np.moveaxis(frames, 0, 2)),
        "hours": np.asarray(hours, np.float32),
        "odds": odds(np.asarray(values), np.asarray(hours), model.period),
        "lamps": lamps,
        "place": {name: np.float32(value) for name, value in place.items()},
        **{name: np.asarray(value, np.float32) for name, value in blend.items()},
    }


def projection(values: np.ndarray, rank: int) -> np.ndarray:
    """`[t t]` of rank `rank`: what a truncated SVD over time keeps of a pixel's day.

    Raises:
      InputError: for a rank that is not 1 to the number of frames.
    """
    if not 1 <= rank <= len(values):
        raise errors.bad("model.rank", rank, f"expected 1 to {len(values)}, the number of frames")
    flat = values.reshape(len(values), -1).astype(np.float64)
    _, vectors = np.linalg.eigh(flat @ flat.T)
    kept = vectors[:, ::-1][:, :rank]
    return (kept @ kept.T).astype(np.float32)


def check(frames: np.ndarray, hours: np.ndarray, period: float) -> None:
    """Raises InputError where hours are too few, not sorted, not distinct, or out of range."""
    if frames.ndim != 4 or len(frames) != len(hours):
        raise errors.bad("frames", frames.shape, f"expected [{len(hours)} h w 3], one an hour")
    if len(hours) < 3:
        raise errors.bad("frames", len(hours), "expected at least 3 hours of one view")
    if (np.diff(hours) <= 0).any() or hours[0] < 0 or hours[-1] >= period:
        raise errors.bad("hours", list(hours), f"expected rising hours from 0 to below {period}")


def decode(model: Any, frames: Any) -> Any:
    """Values that fields and closed forms work on."""
    stored = frames / jnp.float32(255) if frames.dtype == jnp.uint8 else frames
    return anchors.to_value(stored.astype(jnp.float32), model.transfer)


def few(frames: np.ndarray) -> np.ndarray:
    """Every n-th row and column, so that about `LARGE` pixels are left."""
    step = max(1, int(np.ceil(np.sqrt(frames.shape[1] * frames.shape[2] / LARGE))))
    return frames[:, ::step, ::step]


def estimate_rows(model: Any, hours: Any, frames: np.ndarray) -> np.ndarray:
    count, rows, width, _ = frames.shape
    values = decode(model, jnp.asarray(frames)).reshape(count, -1, 3).swapaxes(0, 1)
    return np.asarray(anchors.estimate_lamps(model, hours, values)).reshape(rows, width, 3)


def odds(values: np.ndarray, hours: np.ndarray, period: float) -> np.ndarray:
    """How often training looks at each hour: by its change to its neighbours, 1 / (4 t) at least.

    Nights that do not change would otherwise take half of the looks.
    """
    following = np.abs(np.roll(values, -1, 0) - values).mean((1, 2, 3))
    change = (following + np.roll(following, 1)) / 2
    share = change / max(change.sum(), 1e-9)
    share = np.maximum(share, 1 / (4 * len(hours)))
    return (share / share.sum()).astype(np.float32)


def fit_sun(model: Any, place: Mapping, hours: Any, pixels: Any) -> dict[str, Any]:
    """Latitude, declination and shift under which the regression predicts hidden frames best.

    Leave-one-out error of a ridge regression in closed form, (1 - diag S)^-1 (I - S) F, from the
    frames' Gram matrix alone: milliseconds whatever the picture's size.
    """
    from scipy import optimize

    flat = pixels.swapaxes(0, 1).reshape(len(hours), -1)
    gram = np.asarray(flat @ flat.T, np.float64) / flat.shape[1]
    count = len(hours)

    every = jnp.ones((1, count), bool)

    @jax.jit
    def smoother(numbers):
        where = dict(zip(("latitude", "declination", "shift"), numbers, strict=True))
        return anchors.shares(model, where, hours, every, hours[None])[0]

    def error(numbers):
        s = np.asarray(smoother(jnp.asarray(numbers, jnp.float32)), np.float64)
        hidden = (np.eye(count) - s) / (1 - np.diag(s))[:, None]
        each = np.einsum("ij,jk,ik->i", hidden, gram, hidden)
        # The logarithm: two frames at a lamp's switch would otherwise rule all others. Away
        # from what is configured only for a reason: 0.02 for 10 degrees.
        away = np.sum(((numbers - start) / (10, 10, 0.5)) ** 2)
        return float(np.log(each + 3e-4).mean() + 0.02 * away)

    start = np.array([float(place[name]) for name in ("latitude", "declination", "shift")])
    simplex = start + np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0], [0, 0, 0.25]])
    found = optimize.minimize(
        error, start, method="Nelder-Mead", options={"maxiter": 120, "initial_simplex": simplex}
    ).x
    return {
        "latitude": jnp.float32(np.clip(found[0], -89, 89)),
        "declination": jnp.float32(np.clip(found[1], -23.5, 23.5)),
        "shift": jnp.float32(found[2]),
    }
