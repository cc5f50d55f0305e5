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
      nodata: the sample value that stands for "nothing here".
      cicp: numbers of colour primaries and transfer (ITU-T H.273), where the file says them.
      linear: whether samples are linear light with the primaries of sRGB.
      gamma: exponent, white and primaries, where the file says these.
    """

    width: int
    height: int
    mode: str
    bits: int
    orientation: int = 1
    notices: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    nodata: float | None = None
    cicp: tuple[int, int] | None = None
    linear: bool = False
    gamma: tuple | None = None


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What goes along from one kind of file to another.

    Attributes:
      exif: an EXIF block without its prefix: a TIFF structure; empty where there is none.
      xmp: an XMP packet.
      icc: an ICC profile.
      lost: what else the source says that no other kind can hold, in words.
      linear: whether the samples are linear light, for kinds that can say so.
    """

    exif: bytes = b""
    xmp: bytes = b""
    icc: bytes = b""
    lost: tuple[str, ...] = ()
    linear: bool = False


@dataclasses.dataclass(frozen=True)
class Change:
    """How the new pixels differ from the stored ones beside their colours.

    Attributes:
      orientation: the EXIF orientation that was applied, 1 to 8.
      scale: how many times as high and wide they are.
      size: their width and height, (0, 0) where it is not known.
      exact: whether sizes in the metadata are set to it; else they follow turn and scale.
    """

    orientation: int = 1
    scale: int = 1
    size: tuple[int, int] = (0, 0)
    exact: bool = False

    @property
    def sideways(self) -> bool:
        return sideways(self.orientation)

    def moved(self, x: int, y: int) -> tuple[int, int]:
        """Where the stored pixel at (x, y) is now."""
        width, height = (n // self.scale for n in self.size)
        if self.orientation in (5, 6, 7, 8):
            x, y = y, x
        if self.orientation in (2, 3, 6, 7):
            x = width - 1 - x
        if self.orientation in (3, 4, 7, 8):
            y = height - 1 - y
        return max(x, 0) * self.scale, max(y, 0) * self.scale


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
