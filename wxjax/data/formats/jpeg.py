"""JPEG: re-encoded with the tables it came with, every metadata segment carried over.

The quantization tables and the chroma subsampling of the source are used again, so a
pixel nobody touched is quantized as before and the file is about as large (ITU-T T.81).
"""

import io
import struct

import numpy as np
from PIL import Image, JpegImagePlugin

from wxjax.data.formats import exif, photoshop, settle, trailer
from wxjax.data.formats.container import Broken, Change, Header, Layout, Metadata, Samples

SIGNATURE = b"\xff\xd8\xff"
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_GAIN_MAP, _FLASHPIX = b"urn:iso:std:iso:ts:21496", b"FPXR\0"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_APP0, _APP1, _APP2, _APP11, _APP13, _APP14 = 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xEE
_COM, _SOS, _MOST = 0xFE, 0xDA, 65533
_MODES = {1: "grey", 3: "RGB", 4: "CMYK"}
QUALITY = 95
_SAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """(marker, body) of all segments up to the first scan; raises Broken at a cut."""
    found, at = [], 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise Broken("a marker is missing between two segments")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + size]
        if size < 2 or len(body) < size - 2:
            break
        found.append((marker, body))
        if marker == _SOS:
            return found
        at += 2 + size
    raise Broken("the file is cut off")


def _frame(parts: list[tuple[int, bytes]]) -> tuple[int, bytes]:
    for marker, body in parts:
        if marker in _FRAMES and len(body) >= 6 and len(body) >= 6 + 3 * body[5]:
            return marker, body
    raise Broken("no frame header")


def header(data: bytes) -> Header:
    parts = segments(data)
    _, body = _frame(parts)
    bits, height, width, channels = struct.unpack_from(">BHHB", body)
    if not width or not height or channels not in _MODES:
        raise Broken(f"impossible header ({width}x{height}, {channels} channels)")
    if bits != 8:
        raise Broken(f"{bits}-bit JPEG; expected 8-bit")
    notices, costs, turned = [], [], 1
    rest = _trailer(data, parts)
    if rest.notice:
        notices.append(rest.notice)
    if rest.maps:
        notices.append("holds more than one picture: the first only")
    if rest.cost:
        costs.append(rest.cost)
    blocks = [b for m, b in parts if m == _APP1 and b.startswith(EXIF)]
    if blocks:
        turned = exif.orientation(blocks[0])
    if _previews(parts, blocks):
        costs.append("embedded preview left out: it showed the picture before")
    if any(m == _APP11 and body[:2] == b"JP" for m, body in parts):
        costs.append("content credentials or enhancement layers left out: of the pixels before")
    if turned != 1:
        costs.append("turned upright, which encodes the JPEG once more")
    mode = f"8-bit {_MODES[channels]}"
    return Header(width, height, mode, 8, turned, tuple(notices), tuple(costs))


def _trailer(data: bytes, parts: list[tuple[int, bytes]]) -> trailer.Trailer:
    """What stands behind the picture, seen with what the segments say of it."""
    rest = data[trailer.end(data, 2) :]
    packet = b"".join(body for marker, body in parts if marker == _APP1 and body.startswith(XMP))
    return trailer.read(rest, packet, any(_more(*part) for part in parts))


def _previews(parts: list[tuple[int, bytes]], blocks: list[bytes]) -> bool:
    """Whether a preview stands in JFIF, EXIF, Photoshop's resources, XMP or FlashPix."""
    small = any(m == _APP0 and (b[:5] == b"JFXX\0" or any(b[12:14])) for m, b in parts)
    packet = any(m == _APP1 and b.startswith(XMP) and settle.has_thumbnail(b) for m, b in parts)
    flash = any(m == _APP2 and b.startswith(_FLASHPIX) for m, b in parts)
    seen = photoshop.has_thumbnail(_photoshop(parts))
    return small or packet or flash or seen or any(map(exif.has_thumbnail, blocks))


def _photoshop(parts: list[tuple[int, bytes]]) -> bytes:
    """Photoshop's resources, which may be spread over several segments."""
    mark = photoshop.SIGNATURE
    return b"".join(b[len(mark) :] for m, b in parts if m == _APP13 and b.startswith(mark))


def metadata(data: bytes) -> Metadata:
    """EXIF, XMP and profile of a JPEG, for a file of another kind."""
    parts = segments(data)
    found: dict[bytes, bytes] = {}
    for mark in (EXIF, XMP):
        bodies = (b[len(mark) :] for m, b in parts if m == _APP1 and b.startswith(mark))
        found[mark] = next(bodies, b"")
    icc = sorted(b for m, b in parts if m == _APP2 and b.startswith(b"ICC_PROFILE\0"))
    rest, lost = _trailer(data, parts), []
    if rest.film:
        lost.append("film of a motion photo left out")
    if _photoshop(parts):
        lost.append("IPTC and Photoshop's resources left out")
    if any(marker == _COM for marker, _ in parts):
        lost.append("comment left out")
    packet = trailer.settle_xmp(found[XMP], rest._replace(maps=True, film=False))
    return Metadata(found[EXIF], packet, b"".join(b[14:] for b in icc), tuple(lost))


def _more(marker: int, body: bytes) -> bool:
    return marker == _APP2 and body.startswith(b"MPF\0")


def decode(data: bytes) -> tuple[Samples, Layout]:
    """8-bit samples; CMYK as ink (255 is full), whichever way the file stores it."""
    pixels = np.asarray(_open(data))
    layouts: dict[int, Layout] = {1: "grey", 3: "rgb", 4: "cmyk"}
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels, layouts[pixels.shape[2]]


def _open(data: bytes) -> Image.Image:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.load()
    return image


def encode(data: bytes, pixels: Samples, layout: Layout, change: Change) -> bytes:
    """A JPEG with these samples, the tables and the metadata of `data`."""
    parts = segments(data)
    marker, body = _frame(parts)
    image = _image(pixels, layout)
    options = {"optimize": True, "progressive": marker in (0xC2, 0xC6, 0xCA, 0xCE)}
    if tables := _tables(data, body, change.sideways):
        options["qtables"] = tables
    else:
        options["quality"] = QUALITY
    if layout == "rgb":
        options["subsampling"] = _subsampling(body, change.sideways)
        options["keep_rgb"] = _stored_as_rgb(parts, body)
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return _splice(out.getvalue(), parts, change, _trailer(data, parts))


def _image(pixels: Samples, layout: Layout) -> Image.Image:
    if max(pixels.shape[:2]) > 65500:
        height, width = pixels.shape[:2]
        raise Broken(f"{width}x{height} is more than a JPEG holds (65500 a side)")
    image = Image.fromarray(pixels[..., 0] if layout == "grey" else pixels)
    if layout == "cmyk":
        image = Image.frombytes("CMYK", image.size, pixels.tobytes())
    return image


def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
    """A JPEG of quality 95 and full chroma with the metadata of a file of another kind."""
    image = _image(pixels, layout)
    options = {"subsampling": 0} if layout == "rgb" else {}
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, optimize=True, icc_profile=tags.icc or None, **options)
    fresh = out.getvalue()
    extra = [(_APP1, mark + body) for mark, body in ((EXIF, tags.exif), (XMP, tags.xmp)) if body]
    extra = [part for part in extra if len(part[1]) <= _MOST]
    return fresh[:2] + _bytes(extra) + fresh[2:]


def left_out(tags: Metadata) -> list[str]:
    """What of the metadata a new JPEG has no room for."""
    found = (("EXIF", tags.exif), ("XMP", tags.xmp))
    return [f"{name} left out: over 64 KiB" for name, body in found if len(body) > _MOST - 30]


def _tables(data: bytes, frame: bytes, swap: bool) -> list[list[int]] | None:
    """One table a component, transposed with the picture; None where the file has none."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    used = [frame[8 + 3 * i] for i in range(frame[5])]
    if any(number not in image.quantization for number in used):
        return None
    tables = [np.asarray(image.quantization[number]).reshape(8, 8) for number in used]
    return [(table.T if swap else table).ravel().tolist() for table in tables]


def _subsampling(frame: bytes, swap: bool) -> int:
    """Pillow's number for the chroma subsampling; full chroma where it has none."""
    factors = [divmod(frame[7 + 3 * i], 16) for i in range(3)]
    if factors[1:] != [(1, 1), (1, 1)]:
        return 0
    return _SAMPLING.get(factors[0][::-1] if swap else factors[0], 0)


def _stored_as_rgb(parts: list[tuple[int, bytes]], frame: bytes) -> bool:
    """As libjpeg decides: a JFIF header means YCbCr, then Adobe's flag, then the names."""
    if any(marker == _APP0 and body.startswith(b"JFIF\0") for marker, body in parts):
        return False
    adobe = [body for marker, body in parts if marker == _APP14 and body.startswith(b"Adobe")]
    if adobe and len(adobe[0]) >= 12:
        return adobe[0][11] == 0
    return bytes(frame[6 + 3 * i] for i in range(3)) == b"RGB"


def _splice(
    fresh: bytes, parts: list[tuple[int, bytes]], change: Change, rest: trailer.Trailer
) -> bytes:
    """The encoder's tables and scans behind the source's metadata segments."""
    kept = [_settled(marker, body, change, rest) for marker, body in _described(parts, change)]
    if not any(marker == _APP1 and body.startswith(EXIF) for marker, body in kept):
        first = sum(marker == _APP0 for marker, _ in kept[:1])
        kept.insert(first, (_APP1, settle.blank()))
    own = segments(fresh)
    coding = [(m, b) for m, b in own if m not in (_APP0, _COM)]
    start = 2 + sum(4 + len(body) for _, body in own)
    return b"\xff\xd8" + _bytes(kept + coding) + fresh[start:] + rest.kept


def _bytes(parts: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BBH", 0xFF, m, len(b) + 2) + b for m, b in parts)


def _described(parts: list[tuple[int, bytes]], change: Change) -> list[tuple[int, bytes]]:
    """The segments about the picture, Photoshop's resources without their thumbnail."""
    blob, mark = _photoshop(parts), photoshop.SIGNATURE
    settled, found = photoshop.settle(blob, change), []
    same = settled == blob
    for marker, body in parts:
        if not _describes(marker, body):
            continue
        if marker == _APP13 and body.startswith(mark) and not same:
            room = _MOST - len(mark)
            pieces = range(0, len(settled), room)
            found += [(marker, mark + settled[at : at + room]) for at in pieces]
            settled = b""
        else:
            found.append((marker, body))
    return found


def _describes(marker: int, body: bytes) -> bool:
    """Whether a segment is about the picture rather than about its coding or a preview."""
    if marker == _APP0 and body.startswith(b"JFXX\0"):
        return False
    if marker == _APP2 and body.startswith((_GAIN_MAP, _FLASHPIX)):
        return False
    if marker == _APP11 and body[:2] == b"JP":
        return False
    metadata = marker == _COM or (_APP0 <= marker <= 0xEF and marker != _APP14)
    return metadata and not _more(marker, body)


def _settled(marker: int, body: bytes, change: Change, rest: trailer.Trailer) -> tuple[int, bytes]:
    if marker == _APP1 and body.startswith(EXIF):
        new = settle.block(body, change)
        return marker, new if len(new) <= _MOST else settle.block(body, change, software=False)
    if marker == _APP1 and body.startswith(XMP):
        new = trailer.settle_xmp(settle.xmp(body, change), rest)
        return marker, new if len(new) <= _MOST else body
    if marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        across, down = struct.unpack_from(">HH", body, 8)
        if change.sideways:
            across, down = down, across
        if body[7] and max(across, down) * change.scale < 65536:  # a density, no aspect
            across, down = across * change.scale, down * change.scale
        return marker, body[:8] + struct.pack(">HH", across, down) + b"\0\0"
    return marker, body
