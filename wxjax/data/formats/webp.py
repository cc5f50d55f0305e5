"""WebP: lossless stays lossless; profile, EXIF and XMP are carried over.

A lossy WebP holds no table that an encoder takes back, so changed pixels are written
at quality 95; turned but otherwise unchanged ones are written lossless, so that no
pixel differs (RFC 9649).
"""

import io
import struct

import numpy as np
from PIL import Image, WebPImagePlugin

from wxjax.data.formats import exif, settle
from wxjax.data.formats.container import Broken, Change, Header, Layout, Metadata, Samples

QUALITY = 95
FILM = "Make a film of it first, for example with ffmpeg"
_KNOWN = {"VP8X", "VP8 ", "VP8L", "ALPH", "ANIM", "ANMF", "ICCP", "EXIF", "XMP "}
_SIDE = 16383  # pixels, the most a WebP holds


def recognise(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """All (name, body) pairs; raises Broken where the file is shorter than it says."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise Broken("the file is cut off")
    found, at = [], 12
    while at + 8 <= size + 8:
        name, (length,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        if at + 8 + length > size + 8:
            raise Broken("a chunk is cut off")
        found.append((name, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def _size(parts: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    for name, body in parts:
        if name == b"VP8X" and len(body) >= 10:
            extent = (body[4:7], body[7:10])
            return tuple(1 + int.from_bytes(part, "little") for part in extent)
        if name == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
            (packed,) = struct.unpack_from("<I", body, 1)
            return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
        if name == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", body, 6)
            return width & 0x3FFF, height & 0x3FFF
    raise Broken("no picture chunk")


def header(data: bytes) -> Header:
    parts = chunks(data)
    width, height = _size(parts)
    if not width or not height:
        raise Broken(f"impossible header ({width}x{height})")
    names, block = [name for name, _ in parts], dict(parts).get(b"EXIF", b"")
    costs = []
    if names.count(b"ANMF") > 1:
        pictures = names.count(b"ANMF")
        raise Broken(f"animated ({pictures} pictures); expected a still one. " + FILM)
    if exif.has_thumbnail(block) or settle.has_thumbnail(dict(parts).get(b"XMP ", b"")):
        costs.append("embedded preview left out: it showed the picture before")
    behind = len(data) - 8 - int.from_bytes(data[4:8], "little")
    if behind > 1 and any(data[-behind:]):
        costs.append(f"{behind} bytes behind the picture left out")
    if strange := sorted({name.decode("latin-1") for name in names} - _KNOWN):
        costs.append(f"chunks left out: {', '.join(strange)}")
    kind = "lossless" if _lossless(parts) else "lossy"
    turned = exif.orientation(block)
    return Header(width, height, f"8-bit {kind} RGB", 8, turned, (), tuple(costs))


def _lossless(parts: list[tuple[bytes, bytes]]) -> bool:
    for name, body in parts:
        if name == b"ANMF":
            return b"VP8L" in body[16:64]
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
    return False


def decode(data: bytes) -> tuple[Samples, Layout]:
    """8-bit samples of the first picture."""
    image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    image.load()
    alpha = image.mode == "RGBA"
    pixels = np.asarray(image if alpha else image.convert("RGB"))
    return pixels, "rgb+alpha" if alpha else "rgb"


def metadata(data: bytes) -> Metadata:
    """EXIF, XMP and profile of a WebP, for a file of another kind."""
    parts = dict(reversed(chunks(data)))
    block = parts.get(b"EXIF", b"").removeprefix(exif.PREFIX)
    return Metadata(block, parts.get(b"XMP ", b""), parts.get(b"ICCP", b""))


def encode(
    data: bytes, pixels: Samples, layout: Layout, change: Change, *, changed: bool = True
) -> bytes:
    """A WebP with these samples and the metadata of `data`."""
    tags = metadata(data)
    block = settle.block(tags.exif, change) if tags.exif else settle.blank()
    settled = Metadata(block, settle.xmp(tags.xmp, change), tags.icc)
    return create(pixels, layout, settled, lossless=not changed or _lossless(chunks(data)))


def create(pixels: Samples, layout: Layout, tags: Metadata, *, lossless: bool = False) -> bytes:
    """A WebP, of quality 95 where it is lossy, with the metadata of a file of another kind."""
    height, width = pixels.shape[:2]
    if max(height, width) > _SIDE:
        raise Broken(f"{width}x{height} is more than a WebP holds ({_SIDE} a side)")
    if layout.startswith("grey"):
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, -1), pixels[..., 1:]], -1)
    out = io.BytesIO()
    Image.fromarray(pixels).save(
        out,
        "WEBP",
        lossless=lossless,
        quality=QUALITY if not lossless else 80,
        method=4,
        exact=True,
        icc_profile=tags.icc,
        exif=tags.exif,
        xmp=tags.xmp,
    )
    return out.getvalue()
