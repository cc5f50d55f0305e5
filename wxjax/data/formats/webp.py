"""WebP: lossless stays lossless; profile, EXIF and XMP are carried over.

A lossy WebP holds no table that an encoder takes back, so changed pixels are written
at quality 95; turned but otherwise unchanged ones are written lossless, so that no
pixel differs (RFC 9649).
"""

import io
import struct

import numpy as np
from PIL import Image, WebPImagePlugin

from wxjax.data.formats import exif
from wxjax.data.formats.container import Broken, Header, Layout, Samples

QUALITY = 95


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
    notices, costs = [], []
    if b"ANIM" in names:
        notices.append("animated: the first picture only")
        costs.append("animation frames left out")
    if exif.has_thumbnail(block):
        costs.append("embedded preview left out: it showed the picture before")
    kind = "lossless" if _lossless(parts) else "lossy"
    turned = exif.orientation(block)
    return Header(width, height, f"8-bit {kind} RGB", 8, turned, tuple(notices), tuple(costs))


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


def encode(data: bytes, pixels: Samples, *, changed: bool) -> bytes:
    """A WebP with these samples and the metadata of `data`."""
    parts = dict(reversed(chunks(data)))
    lossless = not changed or _lossless(chunks(data))
    out = io.BytesIO()
    Image.fromarray(pixels).save(
        out,
        "WEBP",
        lossless=lossless,
        quality=QUALITY if not lossless else 80,
        method=4,
        exact=True,
        icc_profile=parts.get(b"ICCP", b""),
        exif=exif.settle(parts.get(b"EXIF", b"")),
        xmp=exif.settle_xmp(parts.get(b"XMP ", b"")),
    )
    return out.getvalue()
