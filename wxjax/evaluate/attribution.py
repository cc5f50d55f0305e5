"""Dehazing Attribution Map: which pixels of the input a restored window depends on.

Integrated gradients of the window's brightness along the straight path from a clear
picture to the degraded one (DehazeXL, CVPR 2025, section on attribution). The published
code multiplies by 2 I - I' instead of I - I', so its sums do not add up; these do.

Symbols: I the degraded picture, I' the clear one (the baseline), F the restoring
program, D(F(x)) the sum of the output over the window, all channels.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from wxjax import errors


class Window(NamedTuple):
    """A square of the restored picture: its first row and column, and its side, in pixels."""

    y: int
    x: int
    size: int


class Attribution(NamedTuple):
    """What `attribute` found.

    Attributes:
      map: contribution of each input value, in the unit of `difference`.
      difference: D(F(I)) - D(F(I')), which the map should sum to.
      clear, degraded: D(F(I')) and D(F(I)).
    """

    map: Float[np.ndarray, "h w 3"]
    difference: float
    clear: float
    degraded: float

    @property
    def residual(self) -> float:
        """|sum of the map - difference| / |difference|: 0 is complete, the steps too few at 0.1."""
        return float(abs(self.map.sum() - self.difference) / max(abs(self.difference), 1e-12))


def parse(text: str) -> Window:
    """The window that 'y,x,size' names.

    Raises:
      InputError: for anything but three integers, the last one positive.
    """
    try:
        window = Window(*(int(part) for part in text.split(",")))
    except (TypeError, ValueError):
        window = None
    if window is None or min(window) < 0 or window.size < 1:
        rule = "expected y,x,size: first row, first column and side in pixels"
        raise errors.bad("--window", text, rule, "For example --window=164,132,32.")
    return window


def field(shape: Sequence[int], window: Window, limit: int) -> tuple[slice, slice]:
    """Rows and columns of at most `limit` pixels a side around the window, within the picture.

    Raises:
      InputError: for a window that the picture or the limit does not hold.
    """
    h, w = shape[:2]
    if window.y + window.size > h or window.x + window.size > w:
        rule = f"expected a square within the picture of {h} rows and {w} columns"
        raise errors.bad("--window", ",".join(map(str, window)), rule)
    if window.size > limit:
        raise errors.bad("--window", window.size, f"expected a side of at most {limit} pixels")

    def along(first: int, length: int) -> slice:
        start = min(max(0, first + window.size // 2 - limit // 2), max(0, length - limit))
        return slice(start, min(start + limit, length))

    return along(window.y, h), along(window.x, w)


def attribute(
    restore: Callable[[Float[Array, "h w 3"]], Float[Array, "h w 3"]],
    degraded: Float[np.ndarray, "h w 3"],
    clear: Float[np.ndarray, "h w 3"],
    window: Window,
    *,
    steps: int = 50,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Attribution:
    """DAM_i = (I_i - I'_i) mean over alpha of dD(F(I' + alpha (I - I')))/dx_i.

    The integral is taken by the midpoint rule: its error falls with the square of
    `steps`, where the published right-hand sums fall with `steps`.

    Args:
      restore: F, differentiable; the same for every point of the path, so with the expert
        fixed that was chosen for I. Weights that a `jax.tree_util.Partial` binds are arguments
        of the program, others constants that XLA folds while it compiles.
      steps: gradients taken; each costs about three forward passes.
      track: wraps the loop, to show how far it is.
    """
    rows, columns = (slice(start, start + window.size) for start in window[:2])
    change = degraded - clear

    def detect(restore, x):
        return restore(jnp.asarray(x))[rows, columns].sum()

    def along(alpha):
        return clear + alpha * change

    # One program for values and slopes: compiling it costs more than the two slopes not used.
    slope = jax.value_and_grad(detect, argnums=1)
    program = jax.jit(lambda restore, alpha: slope(restore, along(alpha)))
    if not isinstance(restore, jax.tree_util.Partial):
        restore = jax.tree_util.Partial(restore)
    program = functools.partial(program, restore)
    total = np.zeros(degraded.shape)
    for k in track(range(steps)):
        total += np.asarray(program(jnp.float32((k + 0.5) / steps))[1], np.float64)
    ends = [float(program(jnp.float32(alpha))[0]) for alpha in (0, 1)]
    return Attribution(total / steps * change, ends[1] - ends[0], *ends)


def reach(found: Attribution, window: Window) -> dict[str, float]:
    """Share of the map's magnitude outside the window, and the distance that holds 90 % of it.

    Distances are in pixels from the window's border (0 inside it), along the axis that is
    farther away.
    """
    size = np.abs(found.map.sum(-1))
    away = [
        np.maximum(np.maximum(start - at, at - (start + window.size - 1)), 0)
        for start, at in zip(window[:2], map(np.arange, size.shape), strict=True)
    ]
    distance = np.maximum(away[0][:, None], away[1])
    total = max(size.sum(), 1e-30)
    held = np.cumsum(np.bincount(distance.ravel(), size.ravel())) / total
    return {
        "outside": float(size[distance > 0].sum() / total),
        "radius90": int(np.searchsorted(held, 0.9)),
    }


def overlay(
    picture: Float[np.ndarray, "h w 3"], found: Attribution, window: Window
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture in grey with the map as warm light on it, and the window framed.

    The light is the fourth root of the magnitude, as in the published pictures: linear
    light would show the window alone. As many pixels as an eighth of the window holds are
    brightest on average; more light does not show.
    """
    import matplotlib

    size = np.abs(found.map.sum(-1))
    bright = max(np.sort(size.ravel())[-max(1, window.size**2 // 8) :].mean(), 1e-30)
    light = np.minimum(size / bright, 1) ** 0.25
    warm = matplotlib.colormaps["inferno"](light)[..., :3]
    grey = 0.6 * np.clip(picture, 0, 1).mean(-1, keepdims=True)
    shown = grey * (1 - light[..., None]) + light[..., None] * warm
    shown = np.round(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    top, left = max(window.y - 1, 0), max(window.x - 1, 0)
    bottom, right = window.y + window.size, window.x + window.size
    framed = shown.copy()
    framed[top : bottom + 1, left : right + 1] = (0, 255, 255)
    framed[window.y : bottom, window.x : right] = shown[window.y : bottom, window.x : right]
    return framed
