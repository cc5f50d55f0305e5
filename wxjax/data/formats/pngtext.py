"""Text chunks of a PNG that hold more than text: ImageMagick's profiles, sizes, XMP.

ImageMagick writes EXIF, IPTC and Photoshop's resources as `Raw profile type NAME`: a
line break, the name, the length, and the bytes in hexadecimal.
"""

import re
import zlib

from wxjax.data.formats import exif, photoshop
from wxjax.data.formats import settle as settling
from wxjax.data.formats.container import Change

XMP = b"XML:com.adobe.xmp\0"
_RAW = b"Raw profile type "
_MARKS = {"exif": exif.PREFIX, "app1": exif.PREFIX}


def named(name: bytes, body: bytes, keyword: bytes) -> bool:
    """Whether a chunk is a text of this keyword."""
    return name in (b"tEXt", b"zTXt", b"iTXt") and body.startswith(keyword + b"\0")


def xmp(body: bytes) -> bytes:
    """The packet of an XMP chunk, as stored where it is compressed."""
    rest = body[len(XMP) :]
    packed = rest[:1] == b"\1"
    text = rest[2:].split(b"\0", 2)[-1]
    try:
        return zlib.decompress(text) if packed else text
    except zlib.error:
        return b""


def profile(name: bytes, body: bytes) -> tuple[str, bytes] | None:
    """(kind, bytes) of a raw profile; kinds are exif, 8bim, iptc, icc, xmp; None if it is none."""
    if name not in (b"tEXt", b"zTXt") or not body.startswith(_RAW):
        return None
    keyword, _, text = body.partition(b"\0")
    kind = keyword[len(_RAW) :].decode("latin-1").strip().lower()
    try:
        text = zlib.decompress(text[1:]) if name == b"zTXt" else text
        digits = text.split(b"\n", 3)[3]
        block = bytes.fromhex(re.sub(rb"\s+", b"", digits).decode("ascii"))
    except (zlib.error, ValueError, IndexError, UnicodeDecodeError):
        return None
    mark = _MARKS.get(kind)
    if mark is None:
        return kind, block
    return ("exif", block[len(mark) :]) if block.startswith(mark) else None


def has_thumbnail(name: bytes, body: bytes) -> bool:
    """Whether a text chunk hides a preview: in EXIF, Photoshop's resources or XMP."""
    if name == b"iTXt" and body.startswith(XMP):
        return settling.has_thumbnail(xmp(body))
    found = profile(name, body)
    if found is None:
        return False
    kind, block = found
    if kind == "exif":
        return exif.has_thumbnail(block)
    return kind in ("8bim", "iptc") and photoshop.has_thumbnail(block)


def settle_profile(kind: str, block: bytes, change: Change) -> bytes:
    text = photoshop.settle(block, change)
    rows = (text.hex()[at : at + 72] for at in range(0, 2 * len(text), 72))
    return f"\n{kind}\n{len(text):8d}\n".encode() + "\n".join(rows).encode() + b"\n"


def settle_text(name: bytes, body: bytes, change: Change) -> bytes | None:
    """As `settle`, for ImageMagick's and exiftool's plain texts about the pixels."""
    keyword, _, text = body.partition(b"\0")
    if name == b"tEXt" and keyword == b"exif:Orientation":
        return b"exif:Orientation\x001"
    if name == b"tEXt" and keyword.startswith(b"Thumb::"):
        return None
    return body


def settle(name: bytes, body: bytes, change: Change) -> bytes | None:
    """A text chunk for new pixels; None where it has to go: EXIF moves to its own chunk."""
    found = profile(name, body)
    if found is None:
        return settle_text(name, body, change)
    kind, block = found
    if kind == "exif":
        return None
    if kind in ("8bim", "iptc") and photoshop.settle(block, change) != block:
        text = settle_profile(kind, block, change)
        return body[: body.index(b"\0") + 1] + (
            b"\0" + zlib.compress(text) if name == b"zTXt" else text
        )
    return body


def scaled(body: bytes, scale: int) -> bytes:
    """A physical scale (unit, width and height of a pixel as text), a pixel so much smaller."""
    try:
        across, down = (float(part) / scale for part in body[1:].split(b"\0")[:2])
    except ValueError:
        return body
    return body[:1] + f"{across:.9g}\0{down:.9g}".encode()
