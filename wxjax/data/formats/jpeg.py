"""JPEG: re-encoded with the tables it came with, every metadata segment carried over.

The quantization tables and the chroma subsampling of the source are used again, so a
pixel nobody touched is quantized as before and the file is about as large (ITU-T T.81).
"""

import io
import struct

import numpy as np
from PIL import Image, JpegImagePlugin

from wxjax.data.formats import exif
from wxjax.data.formats.container import Broken, Header, Layout, Samples, sideways

SIGNATURE = b"\xff\xd8\xff"
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_APP0, _APP1, _APP2, _APP14, _COM, _DQT, _SOS = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0xDB, 0xDA
_MODES = {1: "grey", 3: "RGB", 4: "CMYK"}
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
    if any(_more(marker, body) for marker, body in parts):
        notices.append("holds more than one picture: the first only")
        costs.append("further pictures left out")
    blocks = [b for m, b in parts if m == _APP1 and b.startswith(_EXIF)]
    if blocks:
        turned = exif.orientation(blocks[0])
    thumbnail = any(m == _APP0 and (b[:5] == b"JFXX\0" or any(b[12:14])) for m, b in parts)
    if thumbnail or any(map(exif.has_thumbnail, blocks)):
        costs.append("embedded preview left out: it showed the picture before")
    if turned != 1:
        costs.append("turned upright, which encodes the JPEG once more")
    mode = f"8-bit {_MODES[channels]}"
    return Header(width, height, mode, 8, turned, tuple(notices), tuple(costs))


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


def encode(data: bytes, pixels: Samples, layout: Layout) -> bytes:
    """A JPEG with these samples, the tables and the metadata of `data`."""
    parts = segments(data)
    marker, body = _frame(parts)
    turned = header(data).orientation
    image = Image.fromarray(pixels[..., 0] if layout == "grey" else pixels)
    if layout == "cmyk":
        image = Image.frombytes("CMYK", image.size, pixels.tobytes())
    options = {"optimize": True, "progressive": marker in (0xC2, 0xC6, 0xCA, 0xCE)}
    if tables := _tables(data, body, sideways(turned)):
        options["qtables"] = tables
    else:
        options["quality"] = 95
    if layout == "rgb":
        options["subsampling"] = _subsampling(body, sideways(turned))
        options["keep_rgb"] = _stored_as_rgb(parts, body)
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return _splice(out.getvalue(), parts, turned)


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


def _splice(fresh: bytes, parts: list[tuple[int, bytes]], turned: int) -> bytes:
    """The encoder's tables and scans behind the source's metadata segments."""
    kept = [_settled(marker, body, turned) for marker, body in parts if _describes(marker, body)]
    own = segments(fresh)
    coding = [(m, b) for m, b in own if m not in (_APP0, _COM)]
    start = 2 + sum(4 + len(body) for _, body in own)
    written = b"".join(struct.pack(">BBH", 0xFF, m, len(b) + 2) + b for m, b in kept + coding)
    return b"\xff\xd8" + written + fresh[start:]


def _describes(marker: int, body: bytes) -> bool:
    """Whether a segment is about the picture rather than about its coding or a preview."""
    if marker == _APP0 and body.startswith(b"JFXX\0"):
        return False
    metadata = marker == _COM or (_APP0 <= marker <= 0xEF and marker != _APP14)
    return metadata and not _more(marker, body)


def _settled(marker: int, body: bytes, turned: int) -> tuple[int, bytes]:
    if marker == _APP1 and body.startswith(_EXIF):
        return marker, exif.settle(body)
    if marker == _APP1 and body.startswith(_XMP):
        return marker, exif.settle_xmp(body)
    if marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        x, y = body[8:10], body[10:12]
        return marker, body[:8] + (y + x if sideways(turned) else x + y) + b"\0\0"
    return marker, body
