"""A day as a few pictures times a few curves: I(x, t) = sum over r of a_r(t) B_r(x).

What is baked of any trained view, and what opponents of equal bytes are made of. B is stored in
8 bits a value, one scale a component and channel; a is then fitted to the stored B, so that
quantisation costs little. Hours go round; between two stored ones a is linear.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int8

from wxjax import errors, files

BITS = {"none": 32, "fp16": 16, "int8": 8}


@dataclasses.dataclass(frozen=True)
class Basis:
    """A baked day.

    Attributes:
      hours: `[k]`, rising; coefficients: `[k r]` at them.
      codes: `[r h w 3]` int8; scales: `[r 3]`, what a code of 1 is worth.
      period: after which the hours start again.
    """

    hours: np.ndarray
    coefficients: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    period: float

    @property
    def bytes(self) -> int:
        """As stored: 1 a code, 4 a coefficient, an hour and a scale."""
        floats = self.coefficients.size + self.hours.size + self.scales.size
        return self.codes.size + 4 * floats

    def curve(self, hour: float) -> Float[np.ndarray, "r"]:
        """a at an hour."""
        hour = hour % self.period
        around = [self.hours[-1] - self.period, *self.hours, self.hours[0] + self.period]
        rows = self.coefficients[[-1, *range(len(self.hours)), 0]]
        return np.array([np.interp(hour, around, column) for column in rows.T], np.float32)

    def __call__(self, hour: float) -> Float[np.ndarray, "h w 3"]:
        """The picture at an hour, unclipped: 2 r operations a value."""
        weights = self.curve(hour)[:, None] * self.scales
        out = np.zeros(self.codes.shape[1:], np.float32)
        for code, weight in zip(self.codes, weights, strict=True):
            out += code * weight.astype(np.float32)
        return out

    def pixels(self, hour: float, coords: np.ndarray) -> Float[np.ndarray, "n 3"]:
        """Of the pixels (y, x) `[n 2]` alone."""
        weights = self.curve(hour)[:, None] * self.scales
        chosen = self.codes[:, coords[:, 0], coords[:, 1]]
        return np.einsum("rnc,rc->nc", chosen, weights, dtype=np.float32)


def quantize(
    basis: Float[np.ndarray, "r h w 3"],
) -> tuple[Int8[np.ndarray, "r h w 3"], Float[np.ndarray, "r 3"]]:
    """8-bit codes and scales: each component and channel by its own largest value."""
    scales = np.maximum(np.abs(basis).max((1, 2)), 1e-12) / 127
    return np.rint(basis / scales[:, None, None]).astype(np.int8), scales.astype(np.float32)


def fit(frames: Float[np.ndarray, "k h w 3"], hours: np.ndarray, rank: int, period: float) -> Basis:
    """The closest basis of `rank` to the frames, in 8 bits.

    Raises:
      InputError: for a rank that is not 1 to the number of frames.
    """
    count = len(frames)
    if not 1 <= rank <= count:
        raise errors.bad("rank", rank, f"expected 1 to {count}, the number of frames")
    flat = frames.reshape(count, -1)
    _, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
    vectors = np.ascontiguousarray(vectors[:, ::-1][:, :rank].T, np.float32)
    codes, scales = quantize((vectors @ flat).reshape(rank, *frames.shape[1:]))
    # In whole codes the components are no longer orthogonal: least squares on what is stored.
    stored = (codes * scales[:, None, None]).reshape(rank, -1)
    gram = (stored @ stored.T).astype(np.float64) + 1e-9 * np.eye(rank)
    coefficients = np.linalg.solve(gram, (stored @ flat.T).astype(np.float64)).T
    order = np.argsort(hours)
    return Basis(
        np.asarray(hours, np.float32)[order], coefficients.astype(np.float32)[order],
        codes, scales, float(period),
    )  # fmt: skip


def moments(hours: np.ndarray, lights, period: float, steps: int = 96) -> np.ndarray:
    """Hours to bake: an even grid, the given ones, and both sides of every switch."""
    sides = [edge + side for on, off in lights for edge in (on, off) for side in (-0.02, 0, 0.02)]
    every = [*(np.arange(steps) * (period / steps)), *hours, *(np.array(sides) % period)]
    return np.unique(np.round(np.array(every, np.float64), 4))


def bake(render: Callable, hours: np.ndarray, rank: int, period: float, track=iter) -> Basis:
    """`fit` to what `render(hour) -> [h w 3]` shows at `hours`; `track` may show progress."""
    frames = np.stack([np.clip(render(float(hour)), 0, None) for hour in track(hours)])
    return fit(frames.astype(np.float32), hours, rank, period)


def save(path: os.PathLike | str, basis: Basis) -> None:
    """An npz of the five fields."""
    fields = {field.name: getattr(basis, field.name) for field in dataclasses.fields(basis)}
    with files.atomic(path) as file:
        np.savez(file, **fields)


def load(path: os.PathLike | str) -> Basis:
    """Raises InputError where the file is missing or is none of `save`'s."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts: Mapping = {field.name: stored[field.name] for field in dataclasses.fields(Basis)}
    except (OSError, ValueError, KeyError) as error:
        raise errors.bad("basis", str(path), f"expected a file that bake wrote ({error})") from None
    return Basis(**{**parts, "period": float(parts["period"])})
