"""Forward and inverse 2-D discrete wavelet transforms, and sub-bands packed as channels.

The conventions and numbers are those of PyWavelets, whose filters are used. Filters are
sums of shifted polyphase components, which XLA fuses and differentiates; Haar is sums and
differences of 2x2 blocks. Everything but the arrays is static, so call these inside
compiled code. Axes: `*b` any, h height, w width, c channels.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pywt
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.systems.irsr.resize import pixel_shuffle, pixel_unshuffle

ROWS, COLUMNS = -3, -2
# How a signal goes on beyond its ends: PyWavelets' names, and those of `jnp.pad`.
_PADS = {
    "symmetric": "symmetric",
    "reflect": "reflect",
    "zero": "constant",
    "periodic": "wrap",
    "constant": "edge",
}
MODES = ("periodization", *_PADS)


class Filters(NamedTuple):
    """Low and high pass of analysis and synthesis, float64, of one even length."""

    dec_lo: np.ndarray
    dec_hi: np.ndarray
    rec_lo: np.ndarray
    rec_hi: np.ndarray


class Details(NamedTuple):
    """High bands of one level, `[*b y x c]` each.

    Attributes:
      horizontal: high pass down the image, low across: horizontal edges (cH, "LH").
      vertical: low down, high across (cV, "HL").
      diagonal: high in both (cD, "HH").
    """

    horizontal: Array
    vertical: Array
    diagonal: Array


class Bands(NamedTuple):
    """A decomposition: the low band of the coarsest level, and details, coarsest first."""

    low: Array
    details: tuple[Details, ...]


@functools.lru_cache
def filters(wavelet: str) -> Filters:
    """The filters of an orthogonal or biorthogonal wavelet: 'haar', 'db2', 'bior4.4', ...

    Raises:
      InputError: for a name that is not one of PyWavelets' discrete wavelets.
    """
    if wavelet not in pywt.wavelist(kind="discrete"):
        raise errors.unknown("wavelet", wavelet, pywt.wavelist(kind="discrete"))
    return Filters(*(np.array(taps) for taps in pywt.Wavelet(wavelet).filter_bank))


def check(wavelet: str, levels: int, mode: str) -> None:
    """Raises InputError for settings that no transform has."""
    filters(wavelet)
    if mode not in MODES:
        raise errors.unknown("wavelet mode", mode, MODES)
    if levels < 1:
        raise errors.bad("wavelet levels", levels, "expected at least 1")


def forward(
    x: Float[Array, "*b h w c"],
    wavelet: str = "haar",
    levels: int = 2,
    mode: str = "periodization",
) -> Bands:
    """The 2-D transform of `levels` levels, for any height and width.

    Equal to `pywt.wavedec2`. A constant v has the low band 2^levels v, in an orthogonal
    wavelet without any loss of energy. With 'periodization' a level halves each side,
    rounded up; the other modes add about half a filter's length.

    Raises:
      InputError: for an unknown wavelet or mode, or no level.
    """
    check(wavelet, levels, mode)
    details = []
    for _ in range(levels):
        x, high = analyse(x, wavelet, mode)
        details.append(high)
    return Bands(x, tuple(reversed(details)))


def inverse(
    bands: Bands,
    size: tuple[int, int],
    wavelet: str = "haar",
    mode: str = "periodization",
) -> Float[Array, "*b h w c"]:
    """The image of height and width `size` whose `forward` the bands are.

    Exact but for rounding (and for 'dmey', whose filters invert to a few per cent only).
    Equal to `pywt.waverec2`, cropped to `size`.
    """
    check(wavelet, len(bands.details), mode)
    x = bands.low
    for high in bands.details:
        h, w = high.diagonal.shape[-3:-1]  # of odd sides the synthesis gives one more
        x = synthesise(x[..., :h, :w, :], high, wavelet, mode)
    return x[..., : size[0], : size[1], :]


def analyse(
    x: Float[Array, "*b h w c"], wavelet: str, mode: str
) -> tuple[Float[Array, "*b y x c"], Details]:
    """One level: the low band and the three high ones."""
    if wavelet == "haar":
        return _haar(_extend(_extend(x, ROWS, 2, mode), COLUMNS, 2, mode))
    low, high = _split(x, COLUMNS, wavelet, mode)
    low, horizontal = _split(low, ROWS, wavelet, mode)
    vertical, diagonal = _split(high, ROWS, wavelet, mode)
    return low, Details(horizontal, vertical, diagonal)


def synthesise(
    low: Float[Array, "*b y x c"], high: Details, wavelet: str, mode: str
) -> Float[Array, "*b h w c"]:
    """One level back, at the largest sides that have such bands."""
    if wavelet == "haar":
        return _haar_back(low, high)
    left = _join(low, high.horizontal, ROWS, wavelet, mode)
    right = _join(high.vertical, high.diagonal, ROWS, wavelet, mode)
    return _join(left, right, COLUMNS, wavelet, mode)


def pack(bands: Bands) -> Float[Array, "*b y x k"]:
    """All bands as channels at the side of the coarsest: c 4^levels of them, nothing lost.

    Coarsest first, in a level horizontal, vertical, diagonal. A band that is finer by a
    factor f gives f^2 channels for each of its own, in the order (channel, row, column).

    Raises:
      InputError: where a band is not as large as its neighbours ask for: only
        'periodization' of sides that are multiples of 2^levels packs, and Haar.
    """
    y, x = bands.low.shape[-3:-1]
    parts = [bands.low]
    for i, details in enumerate(bands.details):
        for band in details:
            if band.shape[-3:-1] != (y << i, x << i):
                sides = "x".join(map(str, band.shape[-3:-1]))
                expected = f"expected {y << i}x{x << i} to pack it to {y}x{x}"
                cure = "Try mode='periodization' and sides that are multiples of 2^levels."
                raise errors.bad("sub-band", sides, expected, cure)
            parts.append(pixel_unshuffle(band, 1 << i))
    return jnp.concatenate(parts, -1)


def unpack(z: Float[Array, "*b y x k"], levels: int) -> Bands:
    """Inverse of `pack`.

    Raises:
      InputError: where the channels are no multiple of 4^levels.
    """
    if z.shape[-1] % 4**levels:
        expected = f"expected a multiple of 4^levels = {4**levels}"
        raise errors.bad("packed channels", z.shape[-1], expected)
    c = z.shape[-1] // 4**levels
    low, start, details = z[..., :c], c, []
    for i in range(levels):
        count = c << 2 * i
        parts = [z[..., start + n * count : start + (n + 1) * count] for n in range(3)]
        details.append(Details(*(pixel_shuffle(part, 1 << i) for part in parts)))
        start += 3 * count
    return Bands(low, tuple(details))


def _extend(x: Array, axis: int, taps: int, mode: str) -> Array:
    """x gone on at both ends by what filters of `taps` taps read, to an even length."""
    n = x.shape[axis]
    pad = [(0, 0)] * x.ndim
    if mode == "periodization":
        if n % 2:
            pad[axis] = (0, 1)
            x = jnp.pad(x, pad, mode="edge")
        pad[axis] = (taps // 2 - 1, taps // 2 - 1)
        return jnp.pad(x, pad, mode="wrap")
    pad[axis] = (taps - 2, 2 * ((n + taps - 1) // 2) - n)
    return jnp.pad(x, pad, mode=_PADS[mode])


def _phases(x: Array, axis: int) -> tuple[Array, Array]:
    """Samples of even and of odd number."""
    axis %= x.ndim
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    return pairs.take(0, axis + 1), pairs.take(1, axis + 1)


def _slide(x: Array, taps: np.ndarray, axis: int) -> list[Array]:
    """taps[i] x[k + i], where the whole window fits, one array a tap that is not zero."""
    length = x.shape[axis] - len(taps) + 1
    cut = [slice(None)] * x.ndim
    found = []
    for i, tap in enumerate(taps):
        cut[axis] = slice(i, i + length)
        if tap:
            found.append(float(tap) * x[tuple(cut)])
    return found


def _split(x: Array, axis: int, wavelet: str, mode: str) -> tuple[Array, Array]:
    """Low and high band along one axis: a[k] = sum_j dec[j] x[2k + shift - j]."""
    bank = filters(wavelet)
    even, odd = _phases(_extend(x, axis, len(bank.dec_lo), mode), axis)
    return tuple(
        sum(_slide(even, taps[::-1][::2], axis) + _slide(odd, taps[::-1][1::2], axis))
        for taps in (bank.dec_lo, bank.dec_hi)
    )


def _join(low: Array, high: Array, axis: int, wavelet: str, mode: str) -> Array:
    """Inverse of `_split`: x[2k + j - shift] gathers rec_lo[j] low[k] + rec_hi[j] high[k]."""
    bank = filters(wavelet)
    taps = len(bank.rec_lo)
    if mode == "periodization":
        pad = [(0, 0)] * low.ndim
        pad[axis] = (taps // 2 - 1, 0)
        low, high = (jnp.pad(band, pad, mode="wrap") for band in (low, high))
    phases = [
        sum(
            _slide(low, bank.rec_lo[phase::2][::-1], axis)
            + _slide(high, bank.rec_hi[phase::2][::-1], axis)
        )
        for phase in (0, 1)
    ]
    axis %= low.ndim
    x = jnp.stack(phases, axis + 1)
    x = x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
    return jnp.roll(x, 1 - taps // 2, axis) if mode == "periodization" else x


def _haar(x: Array) -> tuple[Array, Details]:
    """Sums and differences of 2x2 blocks; orthonormal."""
    *b, h, w, c = x.shape
    blocks = 0.5 * x.reshape(*b, h // 2, 2, w // 2, 2, c)
    p, q = blocks[..., 0, :, 0, :], blocks[..., 0, :, 1, :]
    r, s = blocks[..., 1, :, 0, :], blocks[..., 1, :, 1, :]
    return (p + q) + (r + s), Details((p + q) - (r + s), (p - q) + (r - s), (p - q) - (r - s))


def _haar_back(low: Array, high: Details) -> Array:
    a, d, e, f = (0.5 * band for band in (low, *high))
    top = jnp.stack([(a + d) + (e + f), (a + d) - (e + f)], -2)
    bottom = jnp.stack([(a - d) + (e - f), (a - d) - (e - f)], -2)
    *b, y, x, c = low.shape
    return jnp.stack([top, bottom], -4).reshape(*b, 2 * y, 2 * x, c)
