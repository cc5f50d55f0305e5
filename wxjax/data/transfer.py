"""A picture written as another kind of file: samples made to fit, metadata carried over."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from wxjax import errors
from wxjax.data import colour, shown, spaces
from wxjax.data.formats import jpeg, kinds, settle
from wxjax.data.formats.container import Layout, Metadata, Samples

if TYPE_CHECKING:
    from wxjax.data.images import Picture

_FLOAT = np.dtype(np.float32)


def target(word: str) -> str:
    """The kind that a word of --format names; raises InputError."""
    if not word:
        return ""
    found = kinds.FORMATS.get(word.lower().lstrip("."))
    named = {name.lower().replace(" ", ""): name for name in kinds.FORMATS.values()}
    found = found or named.get(word.lower().replace(" ", "").replace("-", ""))
    if found is None:
        raise errors.unknown("--format", word, kinds.FORMATS)
    return found


def writes(name: str) -> bool:
    """Whether a kind of this name is written here."""
    return name in kinds.NAMED and bool(kinds.NAMED[name].depths)


def suffix(source_suffix: str, word: str) -> str:
    """The ending of the output for a source with an ending, under a word of --format."""
    own = kinds.SUFFIXES[source_suffix.lower()]
    kind = target(word) or kinds.NAMED[own].writes
    return source_suffix if kind == own else kinds.NAMED[kind].suffixes[0]


def encode(picture: "Picture") -> bytes:
    """The picture as a file of `picture.written_as`, with all metadata that this can hold.

    Raises:
      InputError: for several pages into a kind that holds one.
    """
    kind = kinds.NAMED[picture.written_as]
    if picture.more:
        pages = f"{len(picture.more) + 1} pages"
        rule = f"expected one for {kind.name}"
        raise errors.bad(repr(picture.name), pages, rule, "Leave out --format.")
    samples, layout, _ = _fitted(picture, kind)
    return kind.codec.create(samples, layout, _tags(picture, kind))


def costs(picture: "Picture") -> list[str]:
    """What is lost because the kind written is another than the source's."""
    if picture.written_as == picture.format:
        return []
    kind = kinds.NAMED[picture.written_as]
    tags = kinds.NAMED[picture.format].codec.metadata(picture.source)
    said = [f"{picture.format} written as {kind.name}" + (
        ", quality 95" if kind.name in ("JPEG", "WebP", "AVIF") else "")]  # fmt: skip
    holds = kind.name in ("JPEG", "PNG", "TIFF", "WebP", "AVIF", "JPEG XL")
    named = {"EXIF": tags.exif, "XMP": tags.xmp}
    said += [f"{name} left out" for name, body in named.items() if body and not holds]
    if kind.codec is jpeg:
        said += jpeg.left_out(tags)
    return said + list(tags.lost) + _fitted(picture, kind)[2]


def _tags(picture: "Picture", kind: kinds.Kind) -> Metadata:
    tags = kinds.NAMED[picture.format].codec.metadata(picture.source)
    change = dataclasses.replace(picture.change, exact=True)
    block = (settle.block(tags.exif, change) if tags.exif else settle.blank()).removeprefix(
        b"Exif\0\0"
    )
    profile = b""
    if kind.profile and picture.layout != "cmyk" and not _as_srgb(picture, kind):
        given = picture.source, picture.header, picture.layout, picture.page
        profile = colour.icc(picture.format, *given)
    elif kind.profile and "cmyk" in kind.layouts:
        profile = tags.icc
    linear = picture.header.linear and _FLOAT in kind.depths
    return Metadata(block, settle.xmp(tags.xmp, change), profile, (), linear)


def _as_srgb(picture: "Picture", kind: kinds.Kind) -> bool:
    """Whether colours leave their space: no profile is held, or 8 bits of linear light."""
    if picture.space is None:
        return False
    linear = picture.header.cicp is not None and picture.header.cicp[1] == spaces.LINEAR
    return not kind.profile or linear and kind.depths == (kinds.EIGHT,)


def _fitted(picture: "Picture", kind: kinds.Kind) -> tuple[Samples, Layout, list[str]]:
    """Samples and layout that the kind holds, and what that costs."""
    said: list[str] = []
    pixels, layout = picture.pixels, picture.layout
    if layout == "cmyk":
        if "cmyk" in kind.layouts and pixels.dtype in kind.depths:
            return pixels, layout, said
        said.append("CMYK written as RGB")
        unit, alpha, layout = shown.to_rgb(picture), None, "rgb"
        unit = spaces.decode(unit) if kind.name == "OpenEXR" else unit
    else:
        unit, alpha = shown._own(picture)
        unit, words = _coloured(picture, kind, unit)
        said += words
    base = layout.split("+")[0]
    unit, base = _shaped(unit, base, kind)
    if alpha is not None and alpha.shape[-1]:
        alpha = np.asarray(alpha, np.float32)
        premultiplied = f"{base}+premultiplied"
        if f"{base}+alpha" in kind.layouts:
            unit, base = np.concatenate([unit, alpha], -1), f"{base}+alpha"
        elif premultiplied in kind.layouts:
            unit, base = np.concatenate([unit * alpha, alpha], -1), premultiplied
        else:
            unit = unit * alpha + (1 - alpha)
            said.append("transparency laid over white")
    fitted: Any = base
    return _deep(unit, picture, kind, said), fitted, said


def _shaped(unit: np.ndarray, base: str, kind: kinds.Kind) -> tuple[np.ndarray, str]:
    if base == "grey" and "grey" not in kind.layouts:
        return np.repeat(unit, 3, -1), "rgb"
    if base == "grey" and unit.shape[-1] == 3:
        return unit.mean(-1, keepdims=True), base
    return unit, base


def _coloured(
    picture: "Picture", kind: kinds.Kind, unit: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Own colours as the kind means them: in their space, as sRGB, or as linear light."""
    said, linear = [], picture.header.linear
    floats = _FLOAT in kind.depths
    if linear and kind.name in ("OpenEXR", "JPEG XL"):
        return unit, said
    if linear:
        if np.nanmax(unit, initial=0) > 1:
            said.append("light over white clipped")
        return spaces.encode(np.clip(np.nan_to_num(unit), 0, 1)), said
    low, high = picture.span
    if (low, high) != (0.0, 1.0) and not (floats and kind.name != "OpenEXR"):
        unit = (np.nan_to_num(unit, nan=low, posinf=high, neginf=low) - low) / (high - low)
        said.append(f"values from {low:.6g} to {high:.6g} written as 0 to full")
    if _as_srgb(picture, kind):
        unit = shown.to_srgb(picture, unit)
        said.append("colours converted to sRGB")
    if kind.name == "OpenEXR":
        unit = spaces.decode(unit)
    return unit, said


def _deep(unit: np.ndarray, picture: "Picture", kind: kinds.Kind, said: list[str]) -> Samples:
    """Values at the depth nearest to the source's that the kind holds."""
    have = picture.pixels.dtype
    deeper = [depth for depth in kind.depths if depth.itemsize >= have.itemsize]
    depth = min(deeper or [max(kind.depths, key=lambda d: d.itemsize)], key=lambda d: d.itemsize)
    if kind.name == "OpenEXR":
        return unit.astype(np.float32)
    if depth.itemsize < have.itemsize:
        bits = 32 if have == _FLOAT else picture.header.bits
        said.append(f"{bits} bits written as {8 * depth.itemsize}")
    elif kind.name == "AVIF" and have == np.uint16 and picture.header.bits > 12:
        said.append("16 bits written as 12")
    if depth == _FLOAT:
        return unit.astype(np.float32)
    return shown.quantized(np.clip(np.nan_to_num(unit), 0, 1).astype(np.float32), depth)
