"""EXIF blocks and XMP packets made true for new pixels.

Values are patched where they stand, and the first directory is written again at the end
of the block, so maker notes with absolute offsets survive (EXIF 2.32, section 4.6).
"""

import re
import struct

import wxjax
from wxjax.data.formats import exif, photoshop
from wxjax.data.formats.container import Broken, Change
from wxjax.data.formats.exif import Entry, Shape

NAME = f"wxjax {wxjax.__version__}".encode()
_PHOTOSHOP = 34377
_THUMB_AT, _THUMB_SIZE = 0x0201, 0x0202
_WIDTHS = {0x0100: 0, 0x0101: 1, 0xA002: 0, 0xA003: 1, 0x1001: 0, 0x1002: 1}
_PLACES = (0x9214, 0xA214)  # SubjectArea, SubjectLocation
_PER_LENGTH = (exif.X_RESOLUTION, exif.Y_RESOLUTION, 0xA20E, 0xA20F)


def block(body: bytes, change: Change, *, software: bool = True) -> bytes:
    """The same EXIF block for new, upright pixels.

    Orientation becomes 1 whatever its type, sizes and resolutions follow the turn and the
    enlargement, the preview goes, and Software names this program. A block that is no TIFF
    structure comes back untouched.
    """
    prefix = exif.PREFIX if body.startswith(exif.PREFIX) else b""
    data = bytearray(body[len(prefix) :])
    try:
        shape, at = exif.first(bytes(data))
        entries, following = exif.directory(bytes(data), shape, at)
    except Broken:
        return body
    if following:
        data = _without_preview(data, shape, following)
        entries, _ = exif.directory(bytes(data), shape, at)
    _patch(data, shape, entries, change)
    for entry in entries:
        if entry.tag == exif.EXIF:
            _patch_inner(data, shape, entry, change)
    width = struct.calcsize(shape.count)
    rows = [bytes(data[e.at : e.at + shape.entry]) for e in entries]
    if software:
        rows = _with_software(data, shape, rows)
    if len(rows) == len(entries):
        for entry, row in zip(entries, rows, strict=True):
            data[entry.at : entry.at + shape.entry] = row
        struct.pack_into(shape.offset, data, at + width + len(rows) * shape.entry, 0)
    else:
        data += b"\0" * (len(data) % 2)
        struct.pack_into(shape.offset, data, 8 if shape.big else 4, len(data))
        data += struct.pack(shape.count, len(rows)) + b"".join(rows)
        data += bytes(struct.calcsize(shape.offset))
    return prefix + bytes(data)


def blank() -> bytes:
    """A block that says which program wrote the file, for a file that has none."""
    empty = b"II*\0" + struct.pack("<IHI", 8, 0, 0)
    return exif.PREFIX + block(empty, Change())


def _without_preview(data: bytearray, shape: Shape, at: int) -> bytearray:
    """The block without the bytes of the preview that the second directory names."""
    try:
        found = {e.tag: e for e in exif.directory(bytes(data), shape, at)[0]}
    except Broken:
        return data
    start = exif.number(found.get(_THUMB_AT), shape)
    size = exif.number(found.get(_THUMB_SIZE), shape)
    if not 8 <= start <= start + size <= len(data):
        return data
    if data[start : start + 2] != b"\xff\xd8":
        return data
    if start + size == len(data):
        return data[:start]
    data[start : start + size] = bytes(size)
    return data


def _patch(data: bytearray, shape: Shape, entries: list[Entry], change: Change) -> None:
    """Everything of one directory that depends on the pixels, in place."""
    found = {entry.tag: entry for entry in entries}
    if change.sideways:
        _swap(data, shape, found, exif.X_RESOLUTION, exif.Y_RESOLUTION)
        _swap(data, shape, found, 0xA20E, 0xA20F)
        if change.scale == 1 and not change.exact:
            _swap(data, shape, found, exif.PIXEL_WIDTH, exif.PIXEL_HEIGHT)
            _swap(data, shape, found, 0x0100, 0x0101)
    swapped = {e.tag: e for e in _again(data, shape, entries)}
    unit = exif.number(found.get(exif.RESOLUTION_UNIT), shape, 2)
    for entry in swapped.values():
        value = value_of(entry, shape, change, unit)
        if value is not None:
            _put(data, shape, entry, *value)
        if entry.tag == _PHOTOSHOP and photoshop.has_thumbnail(entry.value):
            block_ = photoshop.settle(entry.value, change)
            data[entry.value_at : entry.value_at + len(entry.value)] = bytes(len(entry.value))
            count = len(block_) // exif.SIZES.get(entry.type, 1)
            _put(data, shape, entry, entry.type, count, block_)
    for entry in entries:  # a tag that stands twice is read by the first or the last
        if entry.tag == exif.ORIENTATION:
            _put(data, shape, entry, 3, 1, struct.pack(shape.order + "H", 1))


def _again(data: bytearray, shape: Shape, entries: list[Entry]) -> list[Entry]:
    return [exif.entry(bytes(data), shape, entry.at) for entry in entries]


def _patch_inner(data: bytearray, shape: Shape, pointer: Entry, change: Change) -> None:
    """The EXIF directory, and the Interoperability directory inside it."""
    try:
        inner, _ = exif.directory(bytes(data), shape, exif.number(pointer, shape))
    except Broken:
        return
    _patch(data, shape, inner, change)
    for entry in inner:
        if entry.tag == exif.INTEROP:
            try:
                last, _ = exif.directory(bytes(data), shape, exif.number(entry, shape))
            except Broken:
                continue
            _patch(data, shape, last, change)


def fields(entries: list[Entry], shape: Shape, change: Change) -> dict[int, tuple]:
    """tag -> (type, count, bytes) of a directory after the change, for one written anew."""
    found = {entry.tag: (entry.type, entry.count, entry.value) for entry in entries}
    unit = exif.number({e.tag: e for e in entries}.get(exif.RESOLUTION_UNIT), shape, 2)
    for entry in entries:
        if (value := value_of(entry, shape, change, unit)) is not None:
            found[entry.tag] = value
    pairs = [(exif.X_RESOLUTION, exif.Y_RESOLUTION), (0xA20E, 0xA20F)]
    pairs += [(exif.PIXEL_WIDTH, exif.PIXEL_HEIGHT)] if change.scale == 1 else []
    for one, other in pairs if change.sideways else ():
        if one in found and other in found:
            found[one], found[other] = found[other], found[one]
    return found


def value_of(
    entry: Entry, shape: Shape, change: Change, unit: int = 2
) -> tuple[int, int, bytes] | None:
    """(type, count, bytes) of a tag after the change; None where it stays as it is.

    Sizes are those of the new picture, places and samples a length are multiplied.
    """
    order, scale = shape.order, change.scale
    if entry.tag in _PLACES and entry.type == 3 and (scale > 1 or change.orientation > 1):
        return _moved(entry, shape, change)
    if scale == 1 and not change.exact:
        return None
    if entry.tag in _WIDTHS and exif.numbers(entry, shape) and change.size != (0, 0):
        return 4, 1, struct.pack(order + "I", change.size[_WIDTHS[entry.tag]])
    if entry.tag in _PER_LENGTH and entry.type == 5 and len(entry.value) == 8:
        if entry.tag in _PER_LENGTH[:2] and unit == 1:  # an aspect, no length
            return None
        over, under = struct.unpack(order + "II", entry.value)
        if over * scale < 2**32:
            over *= scale
        elif under >= scale:
            under //= scale
        return 5, 1, struct.pack(order + "II", over, under)
    return None


def _moved(entry: Entry, shape: Shape, change: Change) -> tuple[int, int, bytes]:
    """A place in pixels (x, y, and a size behind them) in the turned, enlarged picture."""
    values = list(exif.numbers(entry, shape))
    if len(values) >= 2 and change.size != (0, 0):
        values[:2] = change.moved(*values[:2])
        sizes = values[2:] if len(values) < 4 or not change.sideways else values[:1:-1]
        values[2:] = [value * change.scale for value in sizes]
    values = [min(value, 65535) for value in values]
    return 3, len(values), struct.pack(f"{shape.order}{len(values)}H", *values)


def _put(data: bytearray, shape: Shape, entry: Entry, kind: int, count: int, value: bytes) -> None:
    """A value in the place of an old one: inside the entry, or where the old one stood."""
    room = struct.calcsize(shape.offset)
    struct.pack_into(shape.order + "HH", data, entry.at, entry.tag, kind)
    struct.pack_into(shape.offset, data, entry.at + 4, count)
    if len(value) <= room:
        data[entry.at + 4 + room : entry.at + 4 + 2 * room] = value.ljust(room, b"\0")
    elif len(value) <= len(entry.value):
        data[entry.value_at : entry.value_at + len(value)] = value


def _swap(data: bytearray, shape: Shape, found: dict[int, Entry], one: int, other: int) -> None:
    """Exchanges type, count and value of two tags; the tag numbers stay in order."""
    if one in found and other in found:
        a, b, size = found[one].at + 2, found[other].at + 2, shape.entry - 2
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def _with_software(data: bytearray, shape: Shape, rows: list[bytes]) -> list[bytes]:
    """The rows of a directory with this program's name, its text put behind the block."""
    data += b"\0" * (len(data) % 2)
    room = struct.calcsize(shape.offset)
    head = struct.pack(shape.order + "HH", exif.SOFTWARE, 2)
    head += struct.pack(shape.offset, len(NAME) + 1)
    row = head + struct.pack(shape.offset, len(data)).ljust(room, b"\0")
    tag = lambda r: struct.unpack_from(shape.order + "H", r)[0]
    data += NAME + b"\0"
    kept = [r for r in rows if tag(r) != exif.SOFTWARE]
    return sorted([*kept, row], key=tag)


def _named(names: str) -> re.Pattern[bytes]:
    """A property of an XMP packet as attribute or as element; group 2 is its number."""
    return re.compile(rb"(\b(?:%s)(?:\s*=\s*[\"']|>\s*))(\d+)(?=\s*[\"'<])" % names.encode())


_ORIENTATION = _named("tiff:Orientation")
_SIZES = (
    _named("tiff:ImageWidth|exif:PixelXDimension|exif:ExifImageWidth"),
    _named("tiff:ImageLength|tiff:ImageHeight|exif:PixelYDimension|exif:ExifImageHeight"),
)
_LENGTHS = _named(r"GPano:\w+Pixels|stDim:[wh]")
_THUMBNAILS = re.compile(rb"<(xmp|xap):Thumbnails\b(?:[^>]*/>|.*?</\1:Thumbnails\s*>)", re.S)


def has_thumbnail(packet: bytes) -> bool:
    """Whether an XMP packet holds a preview."""
    return bool(_THUMBNAILS.search(packet))


def xmp(packet: bytes, change: Change) -> bytes:
    """The same XMP packet for new pixels: upright, with their size, without a preview."""
    if change.orientation != 1 or change.exact:  # else what it says was never applied
        packet = _ORIENTATION.sub(rb"\g<1>1", packet)
    packet = _THUMBNAILS.sub(b"", packet)
    if change.size != (0, 0) and (change.sideways or change.scale > 1 or change.exact):
        for pattern, value in zip(_SIZES, change.size, strict=True):
            packet = pattern.sub(rb"\g<1>%d" % value, packet)
    if change.scale > 1:
        times = lambda m: m[1] + b"%d" % (int(m[2]) * change.scale)
        packet = _LENGTHS.sub(times, packet)
    return packet
