"""Pictures in and out with nothing lost but the weather.

What happens to each kind of file whose pixels changed (one whose pixels did not is
copied byte for byte, unless an EXIF orientation has to be applied):

| stored as | seen by a model | written |
| --- | --- | --- |
| grey, 8 or 16 bits | the same value in R, G and B | grey: the mean of the channels |
| grey of fewer or odd bits | stretched to 0..1 | 8-bit grey (16-bit from 9 bits on) |
| RGB, 8 or 16 bits | as it is | as it was |
| alpha, straight | colour without alpha | colour changed, alpha untouched |
| alpha, premultiplied (TIFF) | colour divided by alpha | multiplied again, alpha untouched |
| palette, colour key | its colours | 8-bit RGB, RGBA where something was transparent |
| CMYK | R = (1 - C)(1 - K), and so on | K kept where it can be, C = 1 - R / (1 - K) |
| float (TIFF) | clipped to 0..1, NaN as 0 | source + change, so that what was outside stays |

An ICC profile is kept and not applied: a model sees the numbers in the file. A sample
whose pixel a model returned unchanged keeps its stored value to the bit.
"""

import dataclasses
import os
import pathlib
import stat
import warnings
from types import ModuleType

import numpy as np
from jaxtyping import Float32, UInt8

from wxjax import errors, files
from wxjax.data.formats import jpeg, png, tiff, webp
from wxjax.data.formats.container import Broken, Header, Layout, Samples, turn

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WebP",
}
MAX_PIXELS = 400_000_000
_MODULES: dict[str, ModuleType] = {"JPEG": jpeg, "PNG": png, "TIFF": tiff, "WebP": webp}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded file, upright, with the bytes it came from.

    Attributes:
      name: the file, for messages.
      format: "JPEG", "PNG", "TIFF" or "WebP", by content, not by name.
      header: what the file says of itself.
      pixels: `[h w c]` uint8, uint16 or float32, turned upright.
      layout: what the channels are.
      source: the whole file.
      changed: whether `pixels` differ from those in `source`.
    """

    name: str
    format: str
    header: Header
    pixels: Samples
    layout: Layout
    source: bytes
    changed: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def copied(self) -> bool:
        """Whether writing copies the source byte for byte."""
        return not self.changed and self.header.orientation == 1

    @property
    def notices(self) -> tuple[str, ...]:
        """What the reader of a record should know, losses included."""
        wrong = SUFFIXES.get(pathlib.PurePath(self.name).suffix.lower(), self.format)
        named = (f"a {self.format} in spite of its name",) if wrong != self.format else ()
        return named + self.header.notices + (() if self.copied else self.header.costs)


def read(path: os.PathLike | str, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decodes a JPEG, PNG, TIFF or WebP from memory and turns it upright.

    Raises:
      InputError: naming the file, where it is missing, no regular file, none of the four
        kinds, cut off, corrupted, or larger than `max_pixels` by its header (nothing is
        allocated then).
    """
    return decode(load(path), os.fspath(path), max_pixels=max_pixels)


def load(path: os.PathLike | str) -> bytes:
    """A regular file's bytes; InputError where there is none (a pipe would block for ever)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise errors.InputError(f"cannot read {str(path)!r}: not a regular file.")
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise files.explain(error, path, "read") from error


def decode(data: bytes, name: str = "picture", *, max_pixels: int = MAX_PIXELS) -> Picture:
    """As `read`, for bytes at hand; `name` is for messages."""
    try:
        kind = _kind(data)
        header = _MODULES[kind].header(data)
        if header.width * header.height > max_pixels:
            raise Broken(
                f"{header.width}x{header.height} is {header.width * header.height / 1e6:.0f} "
                f"megapixels, over the limit of {max_pixels / 1e6:.0f} (max_pixels)"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels, layout = _MODULES[kind].decode(data)
        if pixels.shape[:2] != (header.height, header.width):
            raise Broken("its header and its pixels disagree about the size")
    except Broken as error:
        raise errors.InputError(f"cannot read {name!r}: {error}.") from error
    except MemoryError as error:
        raise errors.InputError(f"cannot read {name!r}: it does not fit in memory.") from error
    except Exception as error:  # decoders raise what they like on damaged bytes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise errors.InputError(f"cannot read {name!r}: damaged ({reason}).") from error
    return Picture(name, kind, header, turn(pixels, header.orientation), layout, data)


def header(path: os.PathLike | str) -> Header:
    """What a file says of itself; no pixel is decoded. Raises InputError as `read`."""
    data = load(path)
    try:
        return _MODULES[_kind(data)].header(data)
    except Broken as error:
        raise errors.InputError(f"cannot read {os.fspath(path)!r}: {error}.") from error


def size(path: os.PathLike | str) -> tuple[int, int]:
    """Width and height, upright, by the header."""
    found = header(path)
    turned = found.orientation in (5, 6, 7, 8)
    return (found.height, found.width) if turned else (found.width, found.height)


def eight_bits(path: os.PathLike | str) -> bool:
    """Whether `to_bytes` will find the picture's own bytes fit for a model."""
    return header(path).mode == "8-bit RGB"


def _kind(data: bytes) -> str:
    if not data:
        raise Broken("the file is empty")
    if data.startswith(png.SIGNATURE):
        return "PNG"
    if data.startswith(jpeg.SIGNATURE):
        return "JPEG"
    if webp.recognise(data):
        return "WebP"
    if tiff.recognise(data):
        return "TIFF"
    raise Broken("not a JPEG, PNG, TIFF or WebP")


def encode(picture: Picture) -> bytes:
    """The file's bytes: the source itself where nothing changed, else the same kind anew."""
    if picture.copied:
        return picture.source
    if picture.format == "WebP":
        return webp.encode(picture.source, picture.pixels, changed=picture.changed)
    try:
        encoder = _MODULES[picture.format].encode
        return encoder(picture.source, picture.pixels, picture.layout)
    except (Broken, OSError, MemoryError) as error:
        raise errors.InputError(f"cannot encode {picture.name!r}: {error}.") from error


def write(path: os.PathLike | str, picture: Picture) -> None:
    """Writes the picture under its final name only when complete; raises InputError."""
    files.write_bytes(path, encode(picture))


def to_rgb(picture: Picture) -> Float32[np.ndarray, "h w 3"]:
    """What a model sees: sRGB in [0, 1], by the table at the top of this module."""
    pixels, layout = picture.pixels, picture.layout
    if pixels.dtype == np.float32:
        unit = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    else:
        unit = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    if layout == "cmyk":
        return (1 - unit[..., :3]) * (1 - unit[..., 3:])
    colour = unit[..., : _colours(layout)]
    if layout.endswith("premultiplied"):
        alpha = unit[..., -1:]
        colour = np.divide(colour, alpha, out=np.zeros_like(colour), where=alpha > 0)
    shape = (*colour.shape[:2], 3)
    return np.array(np.broadcast_to(np.clip(colour, 0, 1), shape), order="C")


def to_bytes(picture: Picture) -> UInt8[np.ndarray, "h w 3"] | None:
    """The pixels themselves where they are 8-bit RGB, so that no float copy is needed."""
    fits = picture.pixels.dtype == np.uint8 and picture.layout == "rgb"
    return picture.pixels if fits else None


def with_bytes(picture: Picture, restored: UInt8[np.ndarray, "h w 3"]) -> Picture:
    """As `with_rgb`, for a picture that `to_bytes` gave."""
    if restored.shape != picture.pixels.shape:
        shape = picture.pixels.shape
        raise errors.InputError(
            f"{picture.name!r}: restored to {restored.shape}, expected {shape}."
        )
    changed = picture.changed or not np.array_equal(restored, picture.pixels)
    return dataclasses.replace(picture, pixels=restored, changed=changed)


def _colours(layout: Layout) -> int:
    return 1 if layout.startswith("grey") else 3


def with_rgb(picture: Picture, restored: Float32[np.ndarray, "h w 3"]) -> Picture:
    """The picture with new colours, clipped to [0, 1] and rounded half up at its own depth.

    Raises:
      InputError: where the size differs, or a value is NaN or infinite.
    """
    shown = to_rgb(picture)
    if restored.shape != shown.shape:
        raise errors.InputError(
            f"{picture.name!r}: restored to {restored.shape}, expected {shown.shape}."
        )
    if not np.isfinite(restored).all():
        bad = int((~np.isfinite(restored)).sum())
        raise errors.InputError(
            f"{picture.name!r}: the restored picture has {bad} values that are NaN or infinite. "
            "Check the weights, or compute in float32."
        )
    same = (restored == shown).all(-1, keepdims=True)
    pixels = picture.pixels
    if not same.all():
        pixels = np.where(same, pixels, _stored(picture, np.clip(restored, 0, 1), shown))
    changed = picture.changed or not np.array_equal(
        pixels, picture.pixels, equal_nan=pixels.dtype == np.float32
    )
    return dataclasses.replace(picture, pixels=pixels, changed=changed)


def enlarged(picture: Picture, restored: Float32[np.ndarray, "h w 3"], scale: int) -> Picture:
    """The picture `scale` times as large, at its own depth; alpha is repeated.

    Raises:
      InputError: for another size, values that are not finite, and layouts whose samples
        are not the colour itself (CMYK, premultiplied alpha).
    """
    pixels, layout = picture.pixels, picture.layout
    h, w = (scale * n for n in pixels.shape[:2])
    if layout == "cmyk" or layout.endswith("premultiplied"):
        raise errors.InputError(f"{picture.name!r}: {layout} is not enlarged. Convert it to RGB.")
    if restored.shape != (h, w, 3) or not np.isfinite(restored).all():
        rule = f"expected finite values, {w}x{h}"
        raise errors.bad(repr(picture.name), f"enlarged to {restored.shape}", rule)
    colour = np.clip(restored, 0, 1)
    colour = colour.mean(-1, keepdims=True) if layout.startswith("grey") else colour
    parts = [_quantized(colour, pixels.dtype)]
    extra = pixels[..., _colours(layout) :]
    if extra.size:
        rows, columns = (np.arange(n) // scale for n in (h, w))
        parts.append(extra[rows][:, columns])
    return dataclasses.replace(picture, pixels=np.concatenate(parts, -1), changed=True)


def _stored(picture: Picture, rgb: np.ndarray, shown: np.ndarray) -> Samples:
    """Colours `[h w 3]` in [0, 1] as samples in the picture's layout and depth."""
    pixels, layout = picture.pixels, picture.layout
    if layout == "cmyk":
        return _quantized(_cmyk(rgb, pixels), pixels.dtype)
    grey = layout.startswith("grey")
    colour = rgb.mean(-1, keepdims=True) if grey else rgb
    extra = pixels[..., _colours(layout) :]
    floating = pixels.dtype == np.float32
    scale = np.float32(1 if floating else np.iinfo(pixels.dtype).max)
    if layout.endswith("premultiplied"):
        colour = colour * (extra.astype(np.float32) / scale)
    if floating:
        before = shown[..., :1] if grey else shown
        if layout.endswith("premultiplied"):
            before = before * extra
        colour = pixels[..., : _colours(layout)] + (colour - before)
    return np.concatenate([_quantized(colour, pixels.dtype), extra], -1)


def _cmyk(rgb: np.ndarray, pixels: Samples) -> np.ndarray:
    """Inks in [0, 1]: black as it was unless the colour is too bright for that much of it."""
    top = 1.0 if pixels.dtype == np.float32 else float(np.iinfo(pixels.dtype).max)
    black = np.minimum(pixels[..., 3:] / np.float32(top), 1 - rgb.max(-1, keepdims=True))
    white = 1 - black
    share = np.divide(rgb, white, out=np.ones_like(rgb), where=white > 0)
    return np.concatenate([1 - np.clip(share, 0, 1), black], -1)


def _quantized(unit: np.ndarray, dtype: np.dtype) -> Samples:
    if dtype == np.float32:
        return unit.astype(np.float32)
    return np.floor(unit * np.float32(np.iinfo(dtype).max) + np.float32(0.5)).astype(dtype)


def summary(picture: Picture) -> dict:
    """The file's side of a record: format, stored mode, depth, size, notices."""
    width, height = picture.size
    return {
        "format": picture.format,
        "mode": picture.header.mode,
        "bits": picture.header.bits,
        "width": width,
        "height": height,
        "orientation_applied": picture.header.orientation,
        "copied": picture.copied,
        "notices": list(picture.notices),
    }
