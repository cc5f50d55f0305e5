"""TIFF directories, which EXIF blocks are as well: how they are read.

TIFF 6.0, section 2; EXIF 2.32, section 4.6. What is written is in `settle.py`.
"""

import dataclasses
import struct

from wxjax.data.formats import photoshop
from wxjax.data.formats.container import Broken

ORIENTATION, X_RESOLUTION, Y_RESOLUTION = 0x0112, 0x011A, 0x011B
EXIF, GPS, INTEROP = 0x8769, 0x8825, 0xA005
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
SIZES |= {16: 8, 17: 8, 18: 8}
SOFTWARE, RESOLUTION_UNIT = 0x0131, 0x0128
PREFIX = b"Exif\0\0"
_PHOTOSHOP = 34377
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


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
    entries = [entry(data, shape, start) for start in range(at + width, end, shape.entry)]
    (following,) = struct.unpack_from(shape.offset, data, end)
    return entries, following


def entry(data: bytes, shape: Shape, at: int) -> Entry:
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
    """All values of an integer tag, signed ones included."""
    letter = _LETTERS.get(entry.type)
    return struct.unpack(f"{shape.order}{entry.count}{letter}", entry.value) if letter else ()


def orientation(block: bytes) -> int:
    """Orientation 1 to 8 of an EXIF block (with or without its prefix); 1 where unreadable."""
    try:
        block = block.removeprefix(PREFIX)
        shape, at = first(block)
        entries = {entry.tag: entry for entry in directory(block, shape, at)[0]}
    except Broken:
        return 1
    value = number(entries.get(ORIENTATION), shape, 1)
    return value if 1 <= value <= 8 else 1


def has_thumbnail(block: bytes) -> bool:
    """Whether a preview is in it: in a second directory, or in Photoshop's resources."""
    try:
        block = block.removeprefix(PREFIX)
        shape, at = first(block)
        entries, following = directory(block, shape, at)
        inside = (e.value for e in entries if e.tag == _PHOTOSHOP)
        return following != 0 or any(map(photoshop.has_thumbnail, inside))
    except Broken:
        return False


def text(block: bytes, path: tuple[int, ...]) -> bytes:
    """The value of a text tag, found through the directories that `path` names; empty if none."""
    try:
        block = block.removeprefix(PREFIX)
        shape, at = first(block)
        for tag in path[:-1]:
            at = number({e.tag: e for e in directory(block, shape, at)[0]}.get(tag), shape)
        found = {e.tag: e for e in directory(block, shape, at)[0]}.get(path[-1])
        return found.value.rstrip(b"\0") if found else b""
    except Broken:
        return b""
