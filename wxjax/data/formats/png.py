"""PNG (ISO/IEC 15948): every chunk but the pixels' own is carried over as it is."""

import io
import struct
import warnings
import zlib
from typing import Any

import imagecodecs
import numpy as np
from PIL import PngImagePlugin

from wxjax.data.formats import exif, pngtext, settle
from wxjax.data.formats.container import Broken, Change, Header, Layout, Metadata, Samples

FILM = "Make a film of it first, for example with ffmpeg"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey+alpha", 6: "RGBA"}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Chunks that describe the stored samples and are made anew or have no more to say.
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"hIST"}
_BY_SAMPLE = {b"bKGD", b"sBIT"}
# Registered chunks that stay true, whatever the fourth letter says (PNG 3rd ed., section 14.2).
_TRUE = {b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"sTER"}
_TRUE |= {b"tEXt", b"zTXt", b"iTXt", b"tIME", b"pHYs", b"eXIf", b"oFFs", b"sCAL", b"pCAL"}
_SRGB_POINTS = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_BY_SIZE = {b"vpAg", b"caNv", b"npTc", b"npLb", b"npOl"}  # offsets and canvases in pixels


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
    if b"acTL" in names and _pictures(parts) > 1:
        raise Broken(f"animated ({_pictures(parts)} pictures); expected a still one. " + FILM)
    costs = []
    if colour == 3:
        costs.append("palette written as 8-bit RGB" + ("A" if b"tRNS" in names else ""))
    elif b"tRNS" in names:
        costs.append("transparent colour written as an alpha channel")
    if bits < 8 and colour == 0:
        costs.append(f"{bits}-bit grey written as 8-bit grey")
    block = _exif(parts)
    if exif.has_thumbnail(block) or any(pngtext.has_thumbnail(*part) for part in parts):
        costs.append("embedded preview left out: it showed the picture before")
    behind = len(data) - _end(data, parts)
    if behind and any(data[-behind:]):
        costs.append(f"{behind} bytes behind the picture left out")
    if stale := sorted({name.decode("latin-1") for name, _ in parts if not _stays(name)}):
        costs.append(f"chunks about the old pixels left out: {', '.join(stale)}")
    return Header(
        width, height, mode, bits, exif.orientation(block), (), tuple(costs), None,
        *_numbers(dict(parts)),
    )  # fmt: skip


def _numbers(found: dict[bytes, bytes]) -> tuple:
    """(primaries and transfer, not linear, gamma with white and primaries) as chunks say."""
    if len(cicp := found.get(b"cICP", b"")) == 4:
        return (cicp[0], cicp[1]), False, None
    if b"iCCP" in found or b"sRGB" in found or len(found.get(b"gAMA", b"")) != 4:
        return None, False, None
    exponent = int.from_bytes(found[b"gAMA"], "big") / 1e5
    if not 0.1 <= exponent <= 2:
        return None, False, None
    white, points = (0.3127, 0.3290), (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    if len(found.get(b"cHRM", b"")) == 32:
        values = [n / 1e5 for n in struct.unpack(">8I", found[b"cHRM"])]
        white, points = tuple(values[:2]), tuple(values[2:])
    if abs(exponent - 0.45455) < 0.005 and np.allclose(points, _SRGB_POINTS, atol=2e-3):
        return None, False, None  # what nearly every writer of sRGB says
    return None, False, (1 / exponent, white, points)


def _end(data: bytes, parts: list[tuple[bytes, bytes]]) -> int:
    return len(SIGNATURE) + sum(12 + len(body) for _, body in parts)


def _pictures(parts: list[tuple[bytes, bytes]]) -> int:
    count = dict(parts)[b"acTL"][:4]
    return int.from_bytes(count, "big") if len(count) == 4 else 0


def _stays(name: bytes) -> bool:
    """Whether a chunk stays true, or is coding; iDOT and what is unsafe to copy are not."""
    known = name in _PIXELS or name in _BY_SAMPLE or name in _TRUE
    return known or len(name) == 4 and bool(name[3] & 0x20) and name != b"iDOT"


def _exif(parts: list[tuple[bytes, bytes]]) -> bytes:
    """The EXIF block, from its chunk or from ImageMagick's text; empty where there is none."""
    found = dict(reversed(parts))
    if b"eXIf" in found:
        return found[b"eXIf"]
    blocks = (pngtext.profile(*part) for part in parts)
    return next((body for name, body in filter(None, blocks) if name == "exif"), b"")


def metadata(data: bytes) -> Metadata:
    """EXIF, XMP and profile of a PNG, for a file of another kind."""
    parts = chunks(data)
    packet = next((pngtext.xmp(body) for name, body in parts if name == b"iTXt"
                   and body.startswith(pngtext.XMP)), b"")  # fmt: skip
    texts = sum(name in (b"tEXt", b"zTXt", b"iTXt") for name, _ in parts) - bool(packet)
    lost = ("text chunks left out",) if texts else ()
    block = _exif(parts).removeprefix(exif.PREFIX)
    return Metadata(block, packet, profile(data), lost)


def profile(data: bytes) -> bytes:
    """The ICC profile; empty where there is none or it cannot be read."""
    body = dict(reversed(chunks(data))).get(b"iCCP", b"")
    try:
        return zlib.decompress(body.partition(b"\0")[2][1:]) if body else b""
    except zlib.error:
        return b""


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


def encode(data: bytes, pixels: Samples, layout: Layout, change: Change | None = None) -> bytes:
    """A PNG with these samples and the ancillary chunks of `data` (which may be empty)."""
    change = change or Change()
    parts = chunks(data) if data else []
    fresh = chunks(_coded(pixels, layout))
    same = bool(parts) and parts[0][1][8:10] == fresh[0][1][8:10]
    before, after, seen = [], [], False
    for name, body in parts:
        seen = seen or name == b"IDAT"
        if name in _PIXELS or not _stays(name) or (name in _BY_SAMPLE and not same):
            continue
        if name in _BY_SIZE and change.scale > 1 or pngtext.named(name, body, b"Software"):
            continue
        settled = _settled(name, body, change)
        if settled is not None:
            (after if seen else before).append((name, settled))
    if not any(name == b"eXIf" for name, _ in before + after) and _exif(parts):
        before.append((b"eXIf", settle.block(_exif(parts).removeprefix(exif.PREFIX), change)))
    if data:
        before.append((b"tEXt", b"Software\0" + settle.NAME))
    return _joined(fresh, before, after)


def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
    """A PNG with the metadata of a file of another kind."""
    extra = [(b"iCCP", b"icc\0\0" + zlib.compress(tags.icc))] if tags.icc else []
    extra += [(b"eXIf", tags.exif)] if tags.exif else []
    extra += [(b"iTXt", pngtext.XMP + b"\0\0\0\0" + tags.xmp)] if tags.xmp else []
    extra.append((b"tEXt", b"Software\0" + settle.NAME))
    return _joined(chunks(_coded(pixels, layout)), extra, [])


def _coded(pixels: Samples, layout: Layout) -> bytes:
    shown = pixels[..., 0] if layout == "grey" else pixels
    return imagecodecs.png_encode(np.ascontiguousarray(shown), level=6)


def _joined(fresh: list, before: list, after: list) -> bytes:
    image = [part for part in fresh if part[0] == b"IDAT"]
    whole = [fresh[0], *before, *image, *after, (b"IEND", b"")]
    return SIGNATURE + b"".join(_chunk(*part) for part in whole)


def _settled(name: bytes, body: bytes, change: Change) -> bytes | None:
    """A chunk for new pixels; None where it has to go."""
    if name == b"eXIf":
        return settle.block(body, change)
    if name == b"iTXt" and body.startswith(pngtext.XMP + b"\0"):
        packet = pngtext.xmp(body)
        head = body[: -len(packet)] if body[18:19] == b"\0" and packet else pngtext.XMP + bytes(4)
        return head + settle.xmp(packet, change)
    if name in (b"tEXt", b"zTXt", b"iTXt"):
        return pngtext.settle(name, body, change)
    if name in (b"pHYs", b"oFFs") and len(body) == 9:
        across, down = struct.unpack_from(">II", body)
        if change.sideways:
            across, down = down, across
        if body[8] == 1 or name == b"oFFs" and body[8] == 0:
            across, down = (min(n * change.scale, 2**31 - 1) for n in (across, down))
        if name == b"oFFs" and body[8] == 1:
            across, down = struct.unpack_from(">II", body)
        return struct.pack(">II", across, down) + body[8:]
    if name == b"sCAL" and change.scale > 1:
        return pngtext.scaled(body, change.scale)
    return body


def _chunk(name: bytes, body: bytes) -> bytes:
    check: Any = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)
