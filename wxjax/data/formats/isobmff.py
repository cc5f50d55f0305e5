"""The boxes of AVIF and HEIC: what they say of the picture, and metadata put into them.

ISO/IEC 14496-12 (boxes, items) and 23008-12 (properties, EXIF and XMP as items).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from wxjax.data.formats.container import Broken, turn

Box = tuple[bytes, int, int]  # kind, start and end of its body


class Said(NamedTuple):
    """What the primary item's properties say.

    Attributes:
      width, height: as coded, before any turn.
      bits: bits a sample.
      orientation: the turn and mirroring as an EXIF orientation.
      cicp: numbers of primaries, transfer and matrix; None where they are not said.
      icc, exif, xmp: empty where absent; EXIF without its prefix.
      items: how many pictures, previews and tiles the file holds, by auxiliary type.
    """

    width: int
    height: int
    bits: int
    orientation: int
    cicp: tuple[int, int, int] | None
    icc: bytes
    exif: bytes
    xmp: bytes
    aux: tuple[str, ...]


def boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """The boxes between two places; raises Broken where one is larger than its room."""
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        size = end - at if size == 0 else size
        if size < head or at + size > end:
            raise Broken("the file is cut off")
        yield kind, at + head, at + size
        at += size


def brands(data: bytes) -> tuple[bytes, ...]:
    """The major brand and the compatible ones; empty where there is no file-type box."""
    if data[4:8] != b"ftyp":
        return ()
    size = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return (data[8:12], *(data[at : at + 4] for at in range(16, size - 3, 4)))


class Meta:
    """The items of a file, their properties and places."""

    def __init__(self, data: bytes):
        self.data = data
        found = next((b for b in boxes(data, 0, len(data)) if b[0] == b"meta"), None)
        if found is None:
            raise Broken("no picture in it")
        self.at = found[1] - 8
        self.parts = list(boxes(data, found[1] + 4, found[2]))
        self.inside = {kind: (start, end) for kind, start, end in self.parts}
        try:
            self._read()
        except (struct.error, IndexError, KeyError, ValueError) as error:
            if isinstance(error, Broken):
                raise
            raise Broken("its table of items is damaged") from error

    def _read(self) -> None:
        data, (at, _) = self.data, self.inside[b"pitm"]
        self.primary = struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)[0]
        self.kinds = dict(self._infos())
        self.places = dict(self._locations())
        start, end = self.inside[b"iprp"]
        inner = {kind: (a, b) for kind, a, b in boxes(data, start, end)}
        self.properties = list(boxes(data, *inner[b"ipco"]))
        self.owned = dict(self._associations(*inner[b"ipma"]))

    def _infos(self):
        data, (start, end) = self.data, self.inside[b"iinf"]
        first = start + (6 if data[start] == 0 else 8)
        for _, a, _ in boxes(data, first, end):
            wide = data[a] > 2
            number = struct.unpack_from(">I" if wide else ">H", data, a + 4)[0]
            at = a + (10 if wide else 8)
            yield number, data[at : at + 4]

    def _locations(self):
        data, (start, _) = self.data, self.inside[b"iloc"]
        version, sizes = data[start], struct.unpack_from(">H", data, start + 4)[0]
        offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        index = index if version in (1, 2) else 0
        wide = ">I" if version == 2 else ">H"
        at = start + 6

        def take(size: int) -> int:
            nonlocal at
            if at + size > len(data):
                raise Broken("the file is cut off")
            value = int.from_bytes(data[at : at + size], "big")
            at += size
            return value

        for _ in range(take(struct.calcsize(wide))):
            number = take(struct.calcsize(wide))
            method = take(2) & 15 if version in (1, 2) else 0
            take(2)
            begin, extents = take(base), []
            for _ in range(take(2)):
                take(index)
                extents.append((begin + take(offset), take(length)))
            yield number, (method, extents)

    def _associations(self, start: int, _end: int):
        data, at = self.data, start + 8
        version, wide = data[start], data[start + 3] & 1
        for _ in range(struct.unpack_from(">I", data, start + 4)[0]):
            number = struct.unpack_from(">H" if version == 0 else ">I", data, at)[0]
            at += 2 if version == 0 else 4
            count, at = data[at], at + 1
            size, mask = (2, 0x7FFF) if wide else (1, 0x7F)
            where = [int.from_bytes(data[at + i * size : at + (i + 1) * size], "big") & mask
                     for i in range(count)]  # fmt: skip
            at += count * size
            yield number, where

    def body(self, item: int) -> bytes:
        """The bytes of an item."""
        method, extents = self.places.get(item, (0, []))
        base = self.inside[b"idat"][0] if method == 1 and b"idat" in self.inside else 0
        return b"".join(self.data[base + a : base + a + n] for a, n in extents)

    def owns(self, item: int) -> Iterator[Box]:
        for number in self.owned.get(item, []):
            if 0 < number <= len(self.properties):
                yield self.properties[number - 1]


def say(data: bytes) -> Said:
    """What a file says of its primary picture; raises Broken."""
    meta = Meta(data)
    width = height = 0
    bits, cicp, icc, turns, aux = 8, None, b"", [], []
    for kind, a, b in meta.owns(meta.primary):
        body = data[a:b]
        if kind == b"ispe" and len(body) >= 12:
            width, height = struct.unpack_from(">II", body, 4)
        elif kind == b"pixi" and len(body) > 5:
            bits = body[5]
        elif kind == b"av1C" and len(body) > 2:
            bits = 8 if not body[2] & 0x40 else 12 if body[2] & 0x20 else 10
        elif kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            cicp = struct.unpack_from(">HHH", body, 4)
        elif kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            icc = body[4:]
        elif kind in (b"irot", b"imir") and body:
            turns.append((kind, body[0]))
    if not width or not height:
        raise Broken(f"impossible header ({width}x{height})")
    for item in meta.kinds:
        aux += [data[a + 4 : b].split(b"\0")[0].decode("latin-1")
                for kind, a, b in meta.owns(item) if kind == b"auxC"]  # fmt: skip
    exif = next((meta.body(item) for item, kind in meta.kinds.items() if kind == b"Exif"), b"")
    skip = 4 + int.from_bytes(exif[:4], "big")
    packets = (meta.body(item) for item, kind in meta.kinds.items() if kind == b"mime")
    xmp = next((packet for packet in packets if b"<x:xmpmeta" in packet or b"<rdf:RDF" in packet),
               b"")  # fmt: skip
    exif = exif[skip:].removeprefix(b"Exif\0\0")
    return Said(width, height, bits, _orientation(turns), cicp, icc, exif, xmp, tuple(aux))


def _orientation(turns: list[tuple[bytes, int]]) -> int:
    """The EXIF orientation that does the same as the turns, in their order."""
    start = np.arange(6).reshape(2, 3, 1)
    wanted = start
    for kind, value in turns:
        if kind == b"irot":  # a quarter against the clock each
            wanted = np.rot90(wanted, value & 3)
        else:
            wanted = wanted[::-1] if value & 1 == 0 else wanted[:, ::-1]
    same = (o for o in range(1, 9) if np.array_equal(turn(start, o), wanted))
    return next(same, 1)


def attach(data: bytes, exif: bytes, xmp: bytes, icc: bytes) -> bytes:
    """An encoder's file with EXIF and XMP as items and a profile of its primary picture."""
    meta = Meta(data)
    bodies = []
    if exif:
        bodies.append((b"Exif", b"\0", struct.pack(">I", 0) + exif))
    if xmp:
        bodies.append((b"mime", b"\0application/rdf+xml\0", xmp))
    if not bodies and not icc:
        return data
    after = max(meta.kinds) + 1
    added = [(after + i, *body) for i, body in enumerate(bodies)]
    grown = len(_rebuilt(meta, added, icc, 0, 0)) - _span(meta)[1] + _span(meta)[0]
    start, end = _span(meta)
    tail = len(data) + grown + 8
    new = _rebuilt(meta, added, icc, grown, tail)
    rest = _box(b"mdat", b"".join(body for *_, body in added)) if added else b""
    return data[:start] + new + data[end:] + rest


def _span(meta: Meta) -> tuple[int, int]:
    """The place of the whole meta box."""
    start = meta.at
    return start, start + int.from_bytes(meta.data[start : start + 4], "big")


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _rebuilt(meta: Meta, added: list, icc: bytes, grown: int, tail: int) -> bytes:
    """The meta box with the new items; old places moved by `grown`, new ones from `tail` on."""
    data, parts, seen = meta.data, [], set()
    for kind, a, b in meta.parts:
        seen.add(kind)
        body = data[a:b]
        if kind == b"iinf":
            body = struct.pack(">IH", 0, len(meta.kinds) + len(added)) + body[6:]
            for number, name, described, _ in added:
                entry = struct.pack(">IHH", 2 << 24, number, 0) + name + described
                body += _box(b"infe", entry)
        elif kind == b"iloc":
            body = _places(meta, added, grown, tail)
        elif kind == b"iref":
            body += b"".join(_about(number, meta.primary) for number, *_ in added)
        elif kind == b"iprp" and icc:
            body = _profiled(meta, a, b, icc)
        parts.append(_box(kind, body))
    if b"iref" not in seen and added:
        links = b"".join(_about(number, meta.primary) for number, *_ in added)
        parts.append(_box(b"iref", bytes(4) + links))
    return _box(b"meta", data[meta.at + 8 : meta.at + 12] + b"".join(parts))


def _about(number: int, primary: int) -> bytes:
    return _box(b"cdsc", struct.pack(">HHH", number, 1, primary))


def _places(meta: Meta, added: list, grown: int, tail: int) -> bytes:
    rows = []
    for number, (method, extents) in meta.places.items():
        moved = grown if method == 0 else 0
        row = struct.pack(">HHHH", number, method, 0, len(extents))
        rows.append(row + b"".join(struct.pack(">II", at + moved, n) for at, n in extents))
    for number, _, _, body in added:
        rows.append(struct.pack(">HHHHII", number, 0, 0, 1, tail, len(body)))
        tail += len(body)
    return struct.pack(">IHH", 1 << 24, 0x4400, len(rows)) + b"".join(rows)


def _profiled(meta: Meta, start: int, end: int, icc: bytes) -> bytes:
    """The properties with a profile, owned by the primary item and its tiles."""
    data, out = meta.data, b""
    for kind, a, b in boxes(data, start, end):
        body = data[a:b]
        if kind == b"ipco":
            body += _box(b"colr", b"prof" + icc)
        if kind == b"ipma":
            number, rows = len(meta.properties) + 1, []
            for item, where in meta.owned.items():
                essential = [n | 0x8000 if _essential(meta, n) else n for n in where]
                essential += [number] if item == meta.primary else []
                row = struct.pack(">HB", item, len(essential))
                rows.append(row + b"".join(struct.pack(">H", n) for n in essential))
            body = struct.pack(">II", 1, len(rows)) + b"".join(rows)
        out += _box(kind, body)
    return out


def _essential(meta: Meta, number: int) -> bool:
    return meta.properties[number - 1][0] in (b"av1C", b"irot", b"imir", b"clap")
