"""A picture's stored samples as what a model sees, and a model's answer as samples.

| stored as | seen by a model | written |
| --- | --- | --- |
| grey, 8 or 16 bits | the same value in R, G and B | grey: the mean of the channels |
| grey of fewer or odd bits | stretched to 0..1 | 8-bit grey (16-bit from 9 bits on) |
| RGB, 8 or 16 bits | as it is | as it was |
| another colour space | converted to sRGB | source + change, in its own space |
| alpha, straight | colour without alpha | colour changed, alpha untouched |
| alpha, premultiplied | colour divided by alpha | multiplied again, alpha untouched |
| palette, colour key | its colours | 8-bit RGB, RGBA where something was transparent |
| CMYK | R = (1 - C)(1 - K), and so on | K kept where it can be, C = 1 - R / (1 - K) |
| float within 0..1 | as it is, NaN as 0 | source + change |
| float beyond 0..1 | its own least..greatest value as 0..1 | source + change, scaled back |
| linear light (EXR) | by the 99.9th percentile if over 1, as sRGB codes | source + change |

A sample whose pixel a model returned unchanged keeps its stored value to the bit, and so
does one that stands for "nothing here" (GDAL's nodata).
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from wxjax import errors
from wxjax.data import spaces
from wxjax.data.formats.container import Layout, Samples

if TYPE_CHECKING:
    from wxjax.data.images import Picture

RGB = Float32[np.ndarray, "h w 3"]


def colours(layout: Layout) -> int:
    """How many channels are colour."""
    return 1 if layout.startswith("grey") else 3


def span(picture: "Picture") -> tuple[float, float]:
    """The stored values that a model sees as 0 and 1; (0, 1) for integers.

    Raises:
      InputError: where float samples reach further than float32 can span.
    """
    pixels = picture.pixels
    if pixels.dtype != np.float32:
        return 0.0, 1.0
    values = _own(picture)[0]
    values = values[np.isfinite(values) & ~nothing(picture)]
    if not values.size:
        return 0.0, 1.0
    if picture.header.linear:
        return 0.0, max(1.0, float(np.percentile(values, 99.9)))
    low, high = float(values.min()), float(values.max())
    if 0 <= low and high <= 1:
        return 0.0, 1.0
    if high - low > 1e30:
        rule = "expected a range that float32 can hold. Is one of them a mark for missing data"
        raise errors.InputError(f"{picture.name!r}: values from {low:g} to {high:g}: {rule}?")
    return low, high if high > low else low + 1.0


def nothing(picture: "Picture") -> np.ndarray:
    """`[h w 1]`: where a pixel stands for missing data."""
    mark, pixels = picture.header.nodata, picture.pixels
    if mark is None:
        return np.zeros((*pixels.shape[:2], 1), bool)
    found = pixels[..., : colours(picture.layout)]
    same = np.isnan(found) if np.isnan(mark) else found == np.asarray(mark).astype(np.float64)
    if pixels.dtype == np.float32 and not np.isnan(mark):
        same |= found == np.float32(mark)
    return same.all(-1, keepdims=True)


def _own(picture: "Picture") -> tuple[np.ndarray, np.ndarray | None]:
    """Colour `[h w c]` as float32, freed of alpha, in stored units (1 is full); and alpha."""
    pixels, layout = picture.pixels, picture.layout
    floating = pixels.dtype == np.float32
    unit = pixels if floating else pixels.astype(np.float32) / np.float32(top(pixels.dtype))
    colour, alpha = unit[..., : colours(layout)], unit[..., colours(layout) :]
    if not layout.endswith("premultiplied"):
        return colour, alpha if alpha.size else None
    free = np.divide(colour, alpha, out=np.zeros_like(colour), where=alpha > 0)
    return free, alpha


def top(dtype: np.dtype) -> int:
    return 1 if dtype == np.float32 else int(np.iinfo(dtype).max)


def seen(picture: "Picture") -> Float32[np.ndarray, "h w c"]:
    """Colour in the picture's own space with black at 0 and white at 1, not clipped."""
    colour, _ = _own(picture)
    low, high = picture.span
    if (low, high) != (0.0, 1.0):
        colour = (colour - np.float32(low)) / np.float32(high - low)
    if picture.pixels.dtype == np.float32:
        colour = np.nan_to_num(colour, nan=0.0, posinf=1.0, neginf=0.0)
        mark = nothing(picture)
        colour = np.where(mark, np.float32(0), colour) if mark.any() else colour
    return spaces.encode(colour).astype(np.float32) if picture.header.linear else colour


def to_rgb(picture: "Picture") -> RGB:
    """What a model sees: sRGB in [0, 1], by the table at the top of this module."""
    pixels = picture.pixels
    if picture.layout == "cmyk":
        unit = pixels.astype(np.float32) / np.float32(top(pixels.dtype))
        return (1 - unit[..., :3]) * (1 - unit[..., 3:])
    colour = to_srgb(picture, seen(picture))
    shape = (*colour.shape[:2], 3)
    return np.array(np.broadcast_to(np.clip(colour, 0, 1), shape), order="C")


def to_srgb(picture: "Picture", colour: Float32[np.ndarray, "h w c"]) -> np.ndarray:
    """Colours in the picture's own space as sRGB, unbounded."""
    if picture.space is None:
        return colour
    if colour.shape[-1] == 1 and not picture.space.grey:
        colour = np.repeat(colour, 3, -1)
    return picture.space.to_srgb(colour)


def to_bytes(picture: "Picture") -> UInt8[np.ndarray, "h w 3"] | None:
    """The pixels themselves where they are 8-bit sRGB, so that no float copy is needed."""
    fits = picture.pixels.dtype == np.uint8 and picture.layout == "rgb" and picture.space is None
    return picture.pixels if fits else None


def with_bytes(picture: "Picture", restored: UInt8[np.ndarray, "h w 3"]) -> "Picture":
    """As `with_rgb`, for a picture that `to_bytes` gave."""
    if restored.shape != picture.pixels.shape:
        shape = picture.pixels.shape
        raise errors.InputError(
            f"{picture.name!r}: restored to {restored.shape}, expected {shape}."
        )
    changed = picture.changed or not np.array_equal(restored, picture.pixels)
    return dataclasses.replace(picture, pixels=restored, changed=changed)


def check_finite(name: str, restored: np.ndarray) -> None:
    if not np.isfinite(restored).all():
        bad = int((~np.isfinite(restored)).sum())
        raise errors.NotFinite(
            f"{name!r}: the restored picture has {bad} values that are NaN or infinite. "
            "Check the weights, or compute in float32."
        )


def with_rgb(picture: "Picture", restored: RGB) -> "Picture":
    """The picture with new colours, clipped to [0, 1] and rounded half up at its own depth.

    Raises:
      InputError: where the size differs, or a value is NaN or infinite.
    """
    shown = to_rgb(picture)
    if restored.shape != shown.shape:
        raise errors.InputError(
            f"{picture.name!r}: restored to {restored.shape}, expected {shown.shape}."
        )
    check_finite(picture.name, restored)
    same = (restored == shown).all(-1, keepdims=True) | nothing(picture)
    pixels = picture.pixels
    if not same.all():
        pixels = np.where(same, pixels, _stored(picture, np.clip(restored, 0, 1), shown))
    changed = picture.changed or not np.array_equal(
        pixels, picture.pixels, equal_nan=pixels.dtype == np.float32
    )
    return dataclasses.replace(picture, pixels=pixels, changed=changed, drawn=picture.span)


def own(picture: "Picture", rgb: RGB) -> Float32[np.ndarray, "h w c"]:
    """sRGB colours in the picture's own space; grey: the mean, or by the profile."""
    values = rgb if picture.space is None else picture.space.from_srgb(rgb)
    grey = picture.layout.startswith("grey") and values.shape[-1] == 3
    return values.mean(-1, keepdims=True) if grey else values


def _stored(picture: "Picture", rgb: RGB, shown: RGB) -> Samples:
    """Colours `[h w 3]` in [0, 1] as samples in the picture's layout and depth."""
    pixels, layout = picture.pixels, picture.layout
    if layout == "cmyk":
        return quantized(_cmyk(rgb, pixels), pixels.dtype)
    extra = pixels[..., colours(layout) :]
    floating = pixels.dtype == np.float32
    alpha = extra.astype(np.float32) / np.float32(top(pixels.dtype))
    after = own(picture, rgb)
    if floating or picture.space is not None:
        before = own(picture, shown)
        if picture.header.linear:
            after, before = spaces.decode(after), spaces.decode(before)
        low, high = picture.span
        step = (after - before).astype(np.float32) * np.float32(high - low)
        if floating:
            step = step * alpha if layout.endswith("premultiplied") else step
            return np.concatenate([pixels[..., : colours(layout)] + step, extra], -1)
        after = np.clip(_own(picture)[0] + step, 0, 1)
    if layout.endswith("premultiplied"):
        after = after * alpha
    return np.concatenate([quantized(after, pixels.dtype), extra], -1)


def _cmyk(rgb: np.ndarray, pixels: Samples) -> np.ndarray:
    """Inks in [0, 1]: black as it was unless the colour is too bright for that much of it."""
    black = pixels[..., 3:] / np.float32(top(pixels.dtype))
    black = np.minimum(black, 1 - rgb.max(-1, keepdims=True))
    white = 1 - black
    share = np.divide(rgb, white, out=np.ones_like(rgb), where=white > 0)
    return np.concatenate([1 - np.clip(share, 0, 1), black], -1)


def quantized(unit: np.ndarray, dtype: np.dtype) -> Samples:
    """Values in [0, 1] at a depth, rounded half up; floats as they are."""
    if dtype == np.float32:
        return unit.astype(np.float32)
    return np.floor(unit * np.float32(np.iinfo(dtype).max) + np.float32(0.5)).astype(dtype)


def enlarged(picture: "Picture", restored: RGB, scale: int) -> "Picture":
    """The picture `scale` times as large, at its own depth, in its own space and range.

    Alpha, and pixels that stand for missing data, are repeated. What a model cannot see (a
    colour outside sRGB, light over white) is repeated as the difference to what it saw.

    Raises:
      InputError: for another size, values that are not finite, and layouts whose samples
        are not the colour itself (CMYK, premultiplied alpha).
    """
    pixels, layout = picture.pixels, picture.layout
    h, w = (scale * n for n in pixels.shape[:2])
    if layout == "cmyk" or layout.endswith("premultiplied"):
        raise errors.InputError(f"{picture.name!r}: {layout} is not enlarged. Convert it to RGB.")
    check_finite(picture.name, restored)
    if restored.shape != (h, w, 3):
        raise errors.bad(repr(picture.name), f"enlarged to {restored.shape}", f"expected {w}x{h}")
    rows, columns = (np.arange(n) // scale for n in (h, w))
    repeated = lambda x: x[rows][:, columns]
    colour, stored = own(picture, np.clip(restored, 0, 1)), _own(picture)[0]
    low, high = picture.span
    if picture.pixels.dtype == np.float32 or picture.space is not None:
        before = own(picture, to_rgb(picture))
        if picture.header.linear:
            colour, before = spaces.decode(colour), spaces.decode(before)
        before = before * np.float32(high - low) + np.float32(low)
        left = np.nan_to_num(stored - before, nan=0.0, posinf=0.0, neginf=0.0)
        left = np.where(nothing(picture) | (np.abs(left) < 1e-4 * (high - low)), 0, left)
        colour = colour * np.float32(high - low) + np.float32(low) + repeated(left)
    if pixels.dtype != np.float32:
        colour = np.clip(colour, 0, 1)
    parts = [quantized(colour, pixels.dtype)]
    extra = pixels[..., colours(layout) :]
    if extra.size:
        parts.append(repeated(extra))
    found, mark = np.concatenate(parts, -1), nothing(picture)
    if mark.any():
        found = np.where(repeated(mark), repeated(pixels), found)
    return dataclasses.replace(
        picture, pixels=found, changed=True, scale=picture.scale * scale, drawn=picture.span
    )
