"""PNG (ISO/IEC 15948): every chunk but the pixels' own is carried over as it is."""

import io
import struct
import warnings
import zlib
from typing import Any

import imagecodecs
import numpy as np
from PIL import PngImagePlugin

from wxjax.data.formats import exif
from wxjax.data.formats.container import Broken, Header, Layout, Samples, sideways

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp\0"
_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey+alpha", 6: "RGBA"}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Chunks that describe the stored samples; the rest describe the picture and stay.
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"hIST"}
_BY_SAMPLE = {b"bKGD", b"sBIT"}


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """All (name, body) pairs; raises Broken at a cut, a bad checksum or a missing end."""
    found, at = [], len(SIGNATURE)
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        check = data[at + 8 + size : at + 12 + size]
        if len(check) < 4:
            break
        if zlib.crc32(name + body) != int.from_bytes(check, "big"):
            raise Broken(f"chunk {name.decode('latin-1')!r} has a wrong checksum")
        found.append((name, body))
        if name == b"IEND":
            return found
        at += 12 + size
    raise Broken("the file is cut off")


def header(data: bytes) -> Header:
    parts = chunks(data)
    if not parts or parts[0][0] != b"IHDR" or len(parts[0][1]) != 13:
        raise Broken("no IHDR chunk")
    width, height, bits, colour, _, _, _ = struct.unpack(">IIBBBBB", parts[0][1])
    if not width or not height or bits not in _DEPTHS.get(colour, ()):
        raise Broken(f"impossible header ({width}x{height}, {bits} bits, colour type {colour})")
    names = {name for name, _ in parts}
    mode = f"{bits}-bit {_COLOURS[colour]}" + (" with tRNS" if b"tRNS" in names else "")
    notices, costs = [], []
    if b"acTL" in names:
        notices.append("animated: the first picture only")
        costs.append("animation frames left out")
    if colour == 3:
        costs.append("palette written as 8-bit RGB" + ("A" if b"tRNS" in names else ""))
    elif b"tRNS" in names:
        costs.append("transparent colour written as an alpha channel")
    if bits < 8 and colour == 0:
        costs.append(f"{bits}-bit grey written as 8-bit grey")
    block = dict(parts).get(b"eXIf", b"")
    if exif.has_thumbnail(block):
        costs.append("embedded preview left out: it showed the picture before")
    turned = exif.orientation(block)
    return Header(width, height, mode, bits, turned, tuple(notices), tuple(costs))


def decode(data: bytes) -> tuple[Samples, Layout]:
    """8- or 16-bit samples as stored, palette and colour key resolved."""
    parts = chunks(data)
    _, _, bits, colour, *_ = struct.unpack(">IIBBBBB", parts[0][1])
    kept = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
    bare = SIGNATURE + b"".join(_chunk(*part) for part in parts if part[0] in kept)
    key = dict(parts).get(b"tRNS")
    if colour == 3:
        return _palette(_pillow(bare), dict(parts).get(b"PLTE", b""), key)
    if bits == 16:
        pixels = np.asarray(imagecodecs.png_decode(bare))
    else:
        pixels = _pillow(bare)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if key is None or colour in (4, 6):
        return pixels, {0: "grey", 2: "rgb", 4: "grey+alpha", 6: "rgb+alpha"}[colour]
    transparent = np.frombuffer(key, ">u2").astype(np.int64)
    if transparent.size != pixels.shape[2]:
        raise Broken("the tRNS chunk does not fit the colour type")
    if bits < 8:
        transparent = transparent * 255 // (2**bits - 1)
    opaque = (pixels != transparent).any(-1, keepdims=True)
    alpha = opaque.astype(pixels.dtype) * np.iinfo(pixels.dtype).max
    return np.concatenate([pixels, alpha], -1), "grey+alpha" if colour == 0 else "rgb+alpha"


def _pillow(data: bytes) -> np.ndarray:
    """Samples of at most 8 bits; 1-, 2- and 4-bit grey stretched to 0..255, indices as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = PngImagePlugin.PngImageFile(io.BytesIO(data))
        image.load()
        return np.asarray(image.convert("L") if image.mode == "1" else image)


def _palette(index: np.ndarray, colours: bytes, alphas: bytes | None) -> tuple[Samples, Layout]:
    table = np.frombuffer(colours, np.uint8)
    if not table.size or table.size % 3 or int(index.max()) >= table.size // 3:
        raise Broken("a pixel names a colour outside the palette")
    table = table.reshape(-1, 3)
    if alphas is None:
        return table[index], "rgb"
    alpha = np.full(len(table), 255, np.uint8)
    alpha[: len(alphas)] = np.frombuffer(alphas[: len(table)], np.uint8)
    return np.concatenate([table, alpha[:, None]], -1)[index], "rgb+alpha"


def encode(data: bytes, pixels: Samples, layout: Layout) -> bytes:
    """A PNG with these samples and the ancillary chunks of `data` (which may be empty)."""
    parts = chunks(data) if data else []
    shown = pixels[..., 0] if layout == "grey" else pixels
    fresh = chunks(imagecodecs.png_encode(np.ascontiguousarray(shown), level=6))
    turned = exif.orientation(dict(parts).get(b"eXIf", b""))
    same = bool(parts) and parts[0][1][8:10] == fresh[0][1][8:10]
    before, after, seen = [], [], False
    for name, body in parts:
        seen = seen or name == b"IDAT"
        if name in _PIXELS or (name in _BY_SAMPLE and not same):
            continue
        (after if seen else before).append((name, _settled(name, body, turned)))
    image = [part for part in fresh if part[0] == b"IDAT"]
    whole = [fresh[0], *before, *image, *after, (b"IEND", b"")]
    return SIGNATURE + b"".join(_chunk(*part) for part in whole)


def _settled(name: bytes, body: bytes, turned: int) -> bytes:
    if name == b"eXIf":
        return exif.settle(body)
    if name == b"iTXt" and body.startswith(_XMP + b"\0"):
        return exif.settle_xmp(body)
    if name == b"pHYs" and len(body) == 9 and sideways(turned):
        return body[4:8] + body[:4] + body[8:]
    return body


def _chunk(name: bytes, body: bytes) -> bytes:
    check: Any = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)
