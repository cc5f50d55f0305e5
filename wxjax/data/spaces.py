"""Colour spaces other than sRGB: to what a model sees, and back to a picture's own.

A profile is applied by Little CMS in float and unbounded, so that a colour outside sRGB
comes back; named spaces (ITU-T H.273, PNG's gAMA and cHRM) become profiles first.
"""

import concurrent.futures
import functools
import os
import struct
from typing import NamedTuple

import imagecodecs
import numpy as np
from jaxtyping import Float32

Own = Float32[np.ndarray, "h w c"]
SRGB_COLOURS = Float32[np.ndarray, "h w 3"]
D65 = (0.3127, 0.3290)
# Numbers of H.273: primaries as x, y of red, green, blue; the white is D65.
PRIMARIES = {
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
HDR = {16: "PQ", 18: "HLG"}
SRGB, LINEAR, GAMMA_22, GAMMA_28 = 13, 8, 4, 5
_CLOSE = 0.006  # one and a half steps of 8 bits
_RELATIVE = 1
_ROWS = 1 << 19  # values at a time


class Space(NamedTuple):
    """An ICC profile that is not sRGB, and whether it is of grey pictures."""

    icc: bytes
    grey: bool = False

    def to_srgb(self, colour: Own) -> SRGB_COLOURS:
        """Own values `[h w c]` as sRGB `[h w 3]`, unbounded."""
        if self.grey:
            return _transform(colour[..., 0], self.icc, _srgb(), "gray", "rgb")
        return _transform(colour, self.icc, _srgb(), "rgb", "rgb")

    def from_srgb(self, rgb: SRGB_COLOURS) -> Own:
        """sRGB `[h w 3]` as own values `[h w c]`, unbounded."""
        if self.grey:
            return _transform(rgb, _srgb(), self.icc, "rgb", "gray")[..., None]
        return _transform(rgb, _srgb(), self.icc, "rgb", "rgb")


def _transform(x: np.ndarray, one: bytes, other: bytes, space: str, out: str) -> np.ndarray:
    """By rows, on all cores: the library takes a third of a microsecond for every pixel."""
    rows = max(1, _ROWS // max(1, x[:1].size))
    made = np.empty(x.shape[:2] + ((3,) if out == "rgb" else ()), np.float32)

    def part(top: int) -> None:
        given = np.ascontiguousarray(x[top : top + rows], np.float32)
        found = imagecodecs.cms_transform(
            given, one, other, colorspace=space, outcolorspace=out, intent=_RELATIVE
        )
        made[top : top + rows] = found.reshape(made[top : top + rows].shape)

    tops = range(0, len(x), rows)
    if len(tops) == 1:
        part(0)
        return made
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(part, tops))
    return made


@functools.cache
def _srgb() -> bytes:
    return imagecodecs.cms_profile("srgb")


@functools.lru_cache(64)
def of_profile(icc: bytes, grey: bool) -> tuple[Space | None, str]:
    """A profile's space, None where it is sRGB; and why it is kept but not applied, if so."""
    if not icc:
        return None, ""
    kind = icc[16:20]
    if kind != (b"GRAY" if grey else b"RGB "):
        name = kind.decode("latin-1").strip() or "damaged"
        return None, f"colour profile kept, not applied ({name})"
    space = Space(icc, grey)
    axis = np.linspace(0, 1, 6, dtype=np.float32)
    sample = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(1, -1, 1 if grey else 3)
    try:
        shown = space.to_srgb(sample)
        back = space.from_srgb(shown)
    except Exception as error:  # Little CMS: a damaged profile, or one without a way back
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return None, f"colour profile kept, not applied ({reason})"
    if not np.isfinite(shown).all() or np.abs(back - sample).max() > 0.05:
        return None, "colour profile kept, not applied (it has no way back)"
    return (None if np.abs(shown - sample).max() < _CLOSE else space), ""


@functools.lru_cache(64)
def of_numbers(primaries: int, transfer: int) -> bytes:
    """The profile of a space by its numbers (H.273); empty where they say sRGB or nothing."""
    if primaries in (2, 1) and transfer in (2, 1, 6, 14, 15, 13):
        return b""  # BT.709 video is shown with sRGB's curve
    points = PRIMARIES.get(primaries, PRIMARIES[1])
    gammas = {LINEAR: 1.0, GAMMA_22: 2.2, GAMMA_28: 2.8}
    if transfer in gammas:
        return of_gamma(gammas[transfer], D65, points)
    return imagecodecs.cms_profile(
        "rgb", whitepoint=list(D65), primaries=list(points), transferfunction=_curve()
    )


@functools.lru_cache(64)
def of_gamma(gamma: float, white: tuple, points: tuple, grey: bool = False) -> bytes:
    """The profile of a power curve: PNG's gAMA and cHRM, cameras' Adobe RGB."""
    if grey:
        return imagecodecs.cms_profile("gray", whitepoint=list(white), gamma=gamma)
    return imagecodecs.cms_profile(
        "rgb", whitepoint=list(white), primaries=list(points), gamma=gamma
    )


def _curve() -> np.ndarray:
    """sRGB's curve, from code to light, as a table."""
    return np.float32(decode(np.linspace(0, 1, 4096)))


def hdr(icc: bytes) -> int:
    """The transfer number that a profile's cicp tag names (ICC.1:2022, 9.2.17); 0 for none."""
    try:
        (count,) = struct.unpack_from(">I", icc, 128)
        for at in range(132, 132 + 12 * min(count, 200), 12):
            if icc[at : at + 4] == b"cicp":
                (place,) = struct.unpack_from(">I", icc, at + 4)
                return icc[place + 9]
    except (struct.error, IndexError):
        pass
    return 0


def decode(code: np.ndarray) -> np.ndarray:
    """sRGB codes as linear light, odd about zero."""
    x = np.abs(code)
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return np.copysign(light, code)


def encode(light: np.ndarray) -> np.ndarray:
    """Linear light as sRGB codes, odd about zero."""
    x = np.abs(light)
    code = np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.copysign(code, light)
