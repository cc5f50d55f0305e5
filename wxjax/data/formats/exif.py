"""TIFF directories, which EXIF blocks are as well: read them, and patch them in place.

A patch changes the bytes of one value and moves nothing, so maker notes with absolute
offsets survive (TIFF 6.0, section 2; EXIF 2.32, section 4.6).
"""

import dataclasses
import re
import struct
from collections.abc import Iterator

from wxjax.data.formats.container import Broken, sideways

ORIENTATION, X_RESOLUTION, Y_RESOLUTION = 0x0112, 0x011A, 0x011B
EXIF, GPS, INTEROP = 0x8769, 0x8825, 0xA005
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
SIZES |= {16: 8, 17: 8, 18: 8}
_PREFIX = b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>\s*))([2-8])")


@dataclasses.dataclass(frozen=True)
class Shape:
    """Byte order and field widths: `<` or `>`, classic TIFF or BigTIFF."""

    order: str
    big: bool

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def entry(self) -> int:
        return 20 if self.big else 12


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tag: its number, type, count, raw value bytes, and where entry and value stand."""

    tag: int
    type: int
    count: int
    value: bytes
    at: int
    value_at: int


def first(data: bytes) -> tuple[Shape, int]:
    """Byte order, flavour and the offset of the first directory; raises Broken."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        raise Broken("no TIFF header")
    (magic,) = struct.unpack_from(order + "H", data, 2)
    if magic == 42:
        return Shape(order, False), struct.unpack_from(order + "I", data, 4)[0]
    if magic == 43 and len(data) >= 16:
        return Shape(order, True), struct.unpack_from(order + "Q", data, 8)[0]
    raise Broken("no TIFF header")


def directory(data: bytes, shape: Shape, at: int) -> tuple[list[Entry], int]:
    """The entries of the directory at an offset, and the offset of the next one (0: none)."""
    width = struct.calcsize(shape.count)
    if not 0 < at <= len(data) - width:
        raise Broken("a tag directory lies outside the file")
    (number,) = struct.unpack_from(shape.count, data, at)
    end = at + width + number * shape.entry
    if end + struct.calcsize(shape.offset) > len(data):
        raise Broken("a tag directory is cut off")
    entries = [_entry(data, shape, start) for start in range(at + width, end, shape.entry)]
    (following,) = struct.unpack_from(shape.offset, data, end)
    return entries, following


def _entry(data: bytes, shape: Shape, at: int) -> Entry:
    tag, kind = struct.unpack_from(shape.order + "HH", data, at)
    (count,) = struct.unpack_from(shape.offset, data, at + 4)
    room = struct.calcsize(shape.offset)
    size, value_at = SIZES.get(kind, 1) * count, at + 4 + room
    if size > room:
        (value_at,) = struct.unpack_from(shape.offset, data, value_at)
    if value_at + size > len(data):
        raise Broken(f"tag {tag} points outside the file")
    return Entry(tag, kind, count, data[value_at : value_at + size], at, value_at)


def number(entry: Entry | None, shape: Shape, default: int = 0) -> int:
    """First value of an integer tag; the default where the tag is absent or no integer."""
    values = numbers(entry, shape) if entry else ()
    return values[0] if values else default


def numbers(entry: Entry, shape: Shape) -> tuple[int, ...]:
    """All values of an integer tag."""
    letter = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(entry.type)
    return struct.unpack(f"{shape.order}{entry.count}{letter}", entry.value) if letter else ()


def orientation(block: bytes) -> int:
    """Orientation 1 to 8 of an EXIF block (with or without its prefix); 1 where unreadable."""
    try:
        block = block.removeprefix(_PREFIX)
        shape, at = first(block)
        entries = {entry.tag: entry for entry in directory(block, shape, at)[0]}
    except Broken:
        return 1
    value = number(entries.get(ORIENTATION), shape, 1)
    return value if 1 <= value <= 8 else 1


def has_thumbnail(block: bytes) -> bool:
    """Whether a second directory, which holds the small preview, follows the first."""
    try:
        block = block.removeprefix(_PREFIX)
        shape, at = first(block)
        return directory(block, shape, at)[1] != 0
    except Broken:
        return False


def settle(block: bytes) -> bytes:
    """The same EXIF block for new, upright pixels.

    Orientation becomes 1, stored width and height (and resolutions) change places after
    a sideways turn, and the link to the preview is cut, for it shows the picture from
    before. A block that is no TIFF structure comes back untouched.
    """
    prefix = _PREFIX if block.startswith(_PREFIX) else b""
    body, turned = bytearray(block[len(prefix) :]), orientation(block)
    try:
        shape, at = first(bytes(body))
        entries, _ = directory(bytes(body), shape, at)
    except Broken:
        return block
    found = {entry.tag: entry for entry in entries}
    if ORIENTATION in found and found[ORIENTATION].type == 3:
        struct.pack_into(shape.order + "H", body, found[ORIENTATION].value_at, 1)
    if sideways(turned):
        _swap(body, shape, found, X_RESOLUTION, Y_RESOLUTION)
        for entry in _sub_entries(bytes(body), shape, found.get(EXIF)):
            found[entry.tag] = entry
        _swap(body, shape, found, PIXEL_WIDTH, PIXEL_HEIGHT)
    width = struct.calcsize(shape.count)
    struct.pack_into(shape.offset, body, at + width + len(entries) * shape.entry, 0)
    return prefix + bytes(body)


def _sub_entries(body: bytes, shape: Shape, pointer: Entry | None) -> Iterator[Entry]:
    if pointer is not None:
        try:
            yield from directory(body, shape, number(pointer, shape))[0]
        except Broken:
            return


def _swap(body: bytearray, shape: Shape, found: dict[int, Entry], one: int, other: int) -> None:
    """Exchanges type, count and value of two tags; the tag numbers stay in order."""
    if one in found and other in found:
        a, b, size = found[one].at + 2, found[other].at + 2, shape.entry - 2
        body[a : a + size], body[b : b + size] = body[b : b + size], body[a : a + size]


def settle_xmp(packet: bytes) -> bytes:
    """The same XMP packet with `tiff:Orientation` 1; no byte moves."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)
