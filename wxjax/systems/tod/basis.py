"""A day as a few pictures times a few curves: I(x, t) = sum over r of a_r(t) B_r(x).

What is baked of any trained view, and what opponents of equal bytes are made of. B is stored in
2 to 8 bits a value, one scale a component and channel; a is then fitted to the stored B, so that
quantisation costs little. Hours go round; between two stored ones a is linear.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int8, UInt8

from wxjax import errors, files


@dataclasses.dataclass(frozen=True)
class Basis:
    """A baked day.

    Attributes:
      hours: `[k]`, rising; coefficients: `[k r]` at them.
      codes: `[r h w 3]` int8; scales: `[r 3]`, what a code of 1 is worth.
      bits: `[r]`, of a code as it is stored.
      period: after which the hours start again.
    """

    hours: np.ndarray
    coefficients: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    bits: np.ndarray
    period: float

    @property
    def bytes(self) -> int:
        """As stored: the bits of the codes, 4 bytes a coefficient, an hour and a scale."""
        floats = self.coefficients.size + self.hours.size + self.scales.size
        values = self.codes[0].size
        return sum(-(-int(b) * values // 8) for b in self.bits) + 4 * floats

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


def program(basis: Basis) -> Callable[[float], UInt8[np.ndarray, "h w 3"]]:
    """`hour -> picture` in 8 bits, compiled for the device at hand; codes stay there."""
    codes = jax.device_put(basis.codes)

    @jax.jit
    def paint(codes, weights):
        total = jnp.zeros(codes.shape[1:], jnp.float32)
        for code, weight in zip(codes, weights, strict=True):  # fused: one pass over the codes
            total += code.astype(jnp.float32) * weight
        return jnp.clip(total * 255 + 0.5, 0, 255).astype(jnp.uint8)

    def show(hour: float):
        return np.asarray(paint(codes, basis.curve(hour)[:, None] * basis.scales))

    return show


def quantize(
    basis: Float[np.ndarray, "r h w 3"], bits: np.ndarray | int = 8
) -> tuple[Int8[np.ndarray, "r h w 3"], Float[np.ndarray, "r 3"]]:
    """Codes of so many bits and their scales, each component and channel by its own.

    The scale is the one of five (the largest value over the largest code, and less) that errs
    least: with few bits it pays to clip what is rare.
    """
    bits = np.broadcast_to(bits, len(basis)).astype(np.float32)
    top = (2.0 ** (bits - 1) - 1).astype(np.float32)[:, None]
    largest = np.maximum(np.abs(basis).max((1, 2)), 1e-12) / top
    best = np.full((len(basis), 3), np.inf)
    codes, scales = np.zeros(basis.shape, np.int8), np.zeros((len(basis), 3), np.float32)
    limit = top[:, None, None]
    for share in (1.0, 0.75, 0.55, 0.4, 0.3):
        scale = (share * largest).astype(np.float32)
        tried = np.clip(np.rint(basis / scale[:, None, None]), -limit, limit).astype(np.int8)
        error = np.square(tried * scale[:, None, None] - basis).sum((1, 2))
        better = error < best
        best = np.where(better, error, best)
        scales = np.where(better, scale, scales)
        codes = np.where(better[:, None, None], tried, codes)
    return codes, scales


def components(
    frames: Float[np.ndarray, "k h w 3"], rank: int
) -> tuple[Float[np.ndarray, "k r"], Float[np.ndarray, "r h w 3"]]:
    """Curves (orthonormal) and pictures of the closest sum of `rank` products."""
    flat = frames.reshape(len(frames), -1)
    _, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
    curves = np.ascontiguousarray(vectors[:, ::-1][:, :rank], np.float32)
    return curves, (curves.T @ flat).reshape(-1, *frames.shape[1:])


def fit(
    frames: Float[np.ndarray, "k h w 3"],
    hours: np.ndarray,
    rank: int,
    period: float,
    bits: np.ndarray | int = 8,
) -> Basis:
    """The closest basis of `rank` to the frames, in codes of `bits`: a number, or one each.

    Raises:
      InputError: for a rank that is not 1 to the number of frames.
    """
    count = len(frames)
    if not 1 <= rank <= count:
        raise errors.bad("rank", rank, f"expected 1 to {count}, the number of frames")
    _, pictures = components(frames, rank)
    codes, scales = quantize(pictures, bits)
    # In whole codes the components are no longer orthogonal: least squares on what is stored.
    stored = (codes * scales[:, None, None]).reshape(rank, -1)
    gram = (stored @ stored.T).astype(np.float64) + 1e-9 * np.eye(rank)
    flat = frames.reshape(count, -1)
    coefficients = np.linalg.solve(gram, (stored @ flat.T).astype(np.float64)).T
    order = np.argsort(hours)
    return Basis(
        np.asarray(hours, np.float32)[order],
        coefficients.astype(np.float32)[order],
        codes,
        scales,
        np.broadcast_to(np.asarray(bits, np.int8), rank).copy(),
        float(period),
    )


def allocate(frames: Float[np.ndarray, "k h w 3"], total: int) -> np.ndarray:
    """Bits of each component, `total` of them at most: 2 to 8, the strongest first.

    Greedy: the next bits go where they save most squared error each; the curves being
    orthonormal, the errors of the pictures add up.
    """
    _, pictures = components(frames, max(1, min(len(frames), total // 3)))
    error = np.zeros((len(pictures), 9))
    error[:, :2] = np.square(pictures).sum((1, 2, 3))[:, None]
    for bits in range(2, 9):
        codes, scales = quantize(pictures, bits)
        gap = codes * scales[:, None, None] - pictures
        error[:, bits] = np.minimum(error[:, bits - 1], np.square(gap).sum((1, 2, 3)))
    given, left = np.zeros(len(pictures), int), total
    while left:
        gains = [
            ((error[r, given[r]] - error[r, b]) / (b - given[r]), r, b)
            for r in range(len(pictures))
            for b in range(max(2, given[r] + 1), min(8, given[r] + left) + 1)
        ]
        gain, r, b = max(gains, default=(0.0, 0, 0))
        if gain <= 0:
            break
        left -= b - given[r]
        given[r] = b
    return given[: int(np.max(np.nonzero(given)[0], initial=-1)) + 1]


def fit_bytes(
    frames: Float[np.ndarray, "k h w 3"], hours: np.ndarray, total: int, period: float
) -> Basis:
    """A basis of `total` bits a value, shared out by `allocate`: more pictures, fewer bits each.

    Raises:
      InputError: for fewer bits than one picture takes.
    """
    if total < 4:
        raise errors.bad("bits", total, "expected at least 4, of one picture")
    bits = allocate(frames, total)
    return fit(frames, hours, len(bits), period, np.maximum(bits, 2))


def moments(hours: np.ndarray, lights, period: float, steps: int = 96) -> np.ndarray:
    """Hours to bake: an even grid, the given ones, and both sides of every switch."""
    sides = [edge + side for on, off in lights for edge in (on, off) for side in (-0.02, 0, 0.02)]
    every = [*(np.arange(steps) * (period / steps)), *hours, *(np.array(sides) % period)]
    return np.unique(np.round(np.array(every, np.float64), 4))


def save(path: os.PathLike | str, basis: Basis) -> None:
    """An npz; codes below 8 bits are packed."""
    fields = {field.name: getattr(basis, field.name) for field in dataclasses.fields(basis)}
    fields["shape"] = np.array(basis.codes.shape)
    packed = [pack(codes, int(b)) for codes, b in zip(basis.codes, basis.bits, strict=True)]
    fields["codes"] = np.concatenate(packed)
    with files.atomic(path) as file:
        np.savez(file, **fields)


def pack(codes: Int8[np.ndarray, "*n"], bits: int) -> np.ndarray:
    """The low `bits` of every code, one after the other, as bytes."""
    digits = np.unpackbits(np.ascontiguousarray(codes).reshape(-1, 1).view(np.uint8), axis=1)
    return np.packbits(digits[:, 8 - bits :])


def unpack(data: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The inverse of `pack`: the highest bit is the sign."""
    digits = np.unpackbits(data, count=bits * count).reshape(count, bits)
    sign = np.repeat(digits[:, :1], 8 - bits, 1)
    return np.packbits(np.concatenate([sign, digits], 1), axis=1).view(np.int8)[:, 0]


def load(path: os.PathLike | str) -> Basis:
    """Raises InputError where the file is missing or is none of `save`'s."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts: Mapping = {field.name: stored[field.name] for field in dataclasses.fields(Basis)}
            rank, *size = (int(n) for n in stored["shape"])
        count, start, codes = int(np.prod(size)), 0, []
        for bits in parts["bits"]:
            length = -(-int(bits) * count // 8)
            codes.append(unpack(parts["codes"][start : start + length], int(bits), count))
            start += length
        codes = np.stack(codes).reshape(rank, *size)
    except (OSError, ValueError, KeyError) as error:
        raise errors.bad("basis", str(path), f"expected a file that bake wrote ({error})") from None
    return Basis(**{**parts, "codes": codes, "period": float(parts["period"])})
