"""What every format module hands back: the header before, the samples after decoding."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8, UInt16

Samples = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"] | Float32[np.ndarray, "h w c"]

# What the channels of `Samples` mean; "premultiplied" is colour already times alpha.
Layout = Literal[
    "grey",
    "grey+alpha",
    "grey+premultiplied",
    "rgb",
    "rgb+alpha",
    "rgb+premultiplied",
    "cmyk",
]


class Broken(ValueError):
    """The bytes are not a picture this program can read; the text is the reason."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of itself before a pixel is decoded.

    Attributes:
      width, height: as stored, before any turn.
      mode: the stored kind in words, such as "16-bit RGB" or "8-bit palette".
      bits: bits a sample as stored.
      orientation: EXIF orientation, 1 to 8; 1 is upright.
      notices: what a reader should know whatever happens to the picture.
      costs: what is lost if, and only if, the pixels have to be written anew.
    """

    width: int
    height: int
    mode: str
    bits: int
    orientation: int = 1
    notices: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Samples `[h w c]` as EXIF orientation 1 to 8 asks them to be shown."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def sideways(orientation: int) -> bool:
    """Whether the turn swaps width and height."""
    return orientation >= 5
