"""AVIF: 8, 10 and 12 bits as they came, colour numbers, profile, EXIF and XMP carried over.

Changed pixels are written at quality 95 and full chroma; a file that is lossless by its
matrix stays lossless (AV1 Image File Format 1.1).
"""

import imagecodecs
import numpy as np

from wxjax.data.formats import isobmff, settle
from wxjax.data.formats.container import Broken, Change, Header, Layout, Metadata, Samples

AVAILABLE = imagecodecs.AVIF.available
QUALITY = 95
FILM = "Make a film of it first, for example with ffmpeg"
_SPEED = 6
_ALPHA = ("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", "urn:mpeg:hevc:2015:auxid:1")


def recognise(data: bytes) -> bool:
    return bool({b"avif", b"avis"} & set(isobmff.brands(data)))


def header(data: bytes) -> Header:
    kinds = {kind for kind, _, _ in isobmff.boxes(data, 0, len(data))}
    if b"avis" in isobmff.brands(data) and b"moov" in kinds:
        raise Broken("animated; expected a still picture. " + FILM)
    said = isobmff.say(data)
    costs = ["film of a motion photo left out"] if b"mpvd" in kinds else []
    if any(kind not in _ALPHA for kind in said.aux):
        costs.append("gain map or depth left out: of the picture before")
    if settle.has_thumbnail(said.xmp):
        costs.append("embedded preview left out: it showed the picture before")
    numbers = said.cicp[:2] if said.cicp else None
    mode = f"{said.bits}-bit RGB"
    return Header(
        said.width, said.height, mode, said.bits, said.orientation, (), tuple(costs), None, numbers
    )


def decode(data: bytes) -> tuple[Samples, Layout]:
    """8-bit samples, or 10- and 12-bit ones stretched to 16."""
    said = isobmff.say(data)
    pixels = np.asarray(imagecodecs.avif_decode(data))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.dtype == np.uint16:
        pixels = widened(pixels, said.bits)
    layouts: dict[int, Layout] = {1: "grey", 2: "grey+alpha", 3: "rgb", 4: "rgb+alpha"}
    return pixels, layouts[pixels.shape[2]]


def widened(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Samples of 9 to 15 bits in the full range of 16, rounded half up."""
    top = 2**bits - 1
    return ((pixels.astype(np.uint32) * 65535 * 2 + top) // (2 * top)).astype(np.uint16)


def narrowed(pixels: np.ndarray, bits: int) -> np.ndarray:
    """The inverse of `widened`."""
    top = 2**bits - 1
    return ((pixels.astype(np.uint32) * top * 2 + 65535) // (2 * 65535)).astype(np.uint16)


def metadata(data: bytes) -> Metadata:
    """EXIF, XMP and profile of an AVIF, for a file of another kind."""
    said = isobmff.say(data)
    return Metadata(said.exif, said.xmp, said.icc)


def encode(data: bytes, pixels: Samples, layout: Layout, change: Change) -> bytes:
    """An AVIF with these samples, of the depth and with the metadata of `data`."""
    said = isobmff.say(data)
    block = settle.block(said.exif, change) if said.exif else settle.blank()
    tags = Metadata(block, settle.xmp(said.xmp, change), said.icc)
    lossless = said.cicp is not None and said.cicp[2] == 0
    return _written(pixels, layout, tags, said.bits, said.cicp, lossless)


def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
    """An AVIF, of 12 bits for 16-bit samples, with the metadata of another kind of file."""
    return _written(pixels, layout, tags, 8 if pixels.dtype == np.uint8 else 12, None, False)


def _written(pixels, layout: Layout, tags: Metadata, bits: int, cicp, lossless: bool) -> bytes:
    if max(pixels.shape[:2]) > 65535:
        raise Broken("more than an AVIF holds (65535 a side)")
    shown = narrowed(pixels, bits) if pixels.dtype == np.uint16 else pixels
    options = dict(bitspersample=bits, speed=_SPEED, level=100 if lossless else QUALITY)
    if cicp is not None:
        options |= dict(primaries=cicp[0], transfer=cicp[1])
    if layout == "grey":
        shown = shown[..., 0]
    elif layout == "grey+alpha":
        shown = np.concatenate([np.repeat(shown[..., :1], 3, -1), shown[..., 1:]], -1)
    fresh = imagecodecs.avif_encode(np.ascontiguousarray(shown), **options)
    block = tags.exif.removeprefix(b"Exif\0\0")
    return isobmff.attach(fresh, block, tags.xmp, tags.icc)
