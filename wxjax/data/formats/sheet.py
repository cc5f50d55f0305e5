"""Writes the skeleton of a TIFF or BigTIFF file: values, and directories that name them."""

import struct

from wxjax.data.formats import exif, settle
from wxjax.data.formats.container import Broken, Change

# tag -> (type, count, value bytes in the file's byte order)
Fields = dict[int, tuple[int, int, bytes]]


class Sheet:
    """A TIFF file under construction: values first, their directories after them."""

    def __init__(self, shape: exif.Shape):
        self.shape = shape
        mark = b"II" if shape.order == "<" else b"MM"
        magic = (43, 8, 0) if shape.big else (42,)
        self.body = bytearray(mark + struct.pack(f"{shape.order}{len(magic)}H", *magic))
        self.body += bytes(struct.calcsize(shape.offset))

    def put(self, value: bytes) -> tuple[int, int]:
        """Appends bytes at an even place; returns (offset, length)."""
        self.body += b"\0" * (len(self.body) % 2)
        at = len(self.body)
        self.body += value
        if not self.shape.big and len(self.body) >= 2**32:
            raise Broken("more than 4 GiB, the most that classic TIFF can hold")
        return at, len(value)

    def integers(self, *values: int, long: bool) -> tuple[int, int, bytes]:
        """A field of type SHORT, or of LONG (LONG8 in BigTIFF) for sizes and offsets."""
        kind = (16 if self.shape.big else 4) if long else 3
        letter = {3: "H", 4: "I", 16: "Q"}[kind]
        return kind, len(values), struct.pack(f"{self.shape.order}{len(values)}{letter}", *values)

    def copy(self, data: bytes, pointer: exif.Entry, change: Change) -> tuple[int, int, bytes]:
        """Copies the directory a tag points to, and Interoperability inside it."""
        entries, _ = exif.directory(data, self.shape, exif.number(pointer, self.shape))
        fields = settle.fields(entries, self.shape, change)
        for entry in entries:
            if entry.tag == exif.INTEROP:
                fields[entry.tag] = self.copy(data, entry, change)
        kind = pointer.type if pointer.type in (4, 13, 16, 18) else 4
        letter = "Q" if kind in (16, 18) else "I"
        return kind, 1, struct.pack(self.shape.order + letter, self._directory(fields))

    def _directory(self, fields: Fields) -> int:
        room = struct.calcsize(self.shape.offset)
        rows = []
        for tag, (kind, count, value) in sorted(fields.items()):
            if len(value) > room:
                value = struct.pack(self.shape.offset, self.put(value)[0])
            head = struct.pack(self.shape.order + "HH", tag, kind)
            rows.append(head + struct.pack(self.shape.offset, count) + value.ljust(room, b"\0"))
        count = struct.pack(self.shape.count, len(rows))
        return self.put(count + b"".join(rows) + bytes(room))[0]

    def finish(self, *pages: Fields) -> bytes:
        """The file: the pages' directories in a chain."""
        link, room = 8 if self.shape.big else 4, struct.calcsize(self.shape.offset)
        for fields in pages:
            at = self._directory(fields)
            self.body[link : link + room] = struct.pack(self.shape.offset, at)
            link = at + struct.calcsize(self.shape.count) + len(fields) * self.shape.entry
        return bytes(self.body)
