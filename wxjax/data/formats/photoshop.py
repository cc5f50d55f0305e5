"""Photoshop's image resources: IPTC and the like stay, the thumbnail goes.

A block is a row of `8BIM`, number, name, size, bytes, each padded to an even length
(Adobe Photoshop file format, image resources section).
"""

import struct

from wxjax.data.formats.container import Change

SIGNATURE = b"Photoshop 3.0\0"
_MARKS = (b"8BIM", b"8B64", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
_THUMBNAILS = (1033, 1036)
_RESOLUTION = 1005


def resources(block: bytes) -> list[tuple[int, bytes, bytes]] | None:
    """(number, head with mark and name, bytes) of every resource; None where it is no such row."""
    found, at = [], 0
    while at < len(block):
        if not any(block[at:]):  # padding
            break
        if block[at : at + 4] not in _MARKS or at + 12 > len(block):
            return None
        named = 1 + block[at + 6]
        start = at + 6 + named + named % 2
        if start + 4 > len(block):
            return None
        (size,) = struct.unpack_from(">I", block, start)
        if start + 4 + size > len(block):
            return None
        number = struct.unpack_from(">H", block, at + 4)[0]
        found.append((number, block[at:start], block[start + 4 : start + 4 + size]))
        at = start + 4 + size + size % 2
    return found


def has_thumbnail(block: bytes) -> bool:
    return any(number in _THUMBNAILS for number, _, _ in resources(block) or [])


def settle(block: bytes, change: Change) -> bytes:
    """The block for new pixels: no thumbnail, the resolution after turn and enlargement.

    A block that cannot be read comes back untouched.
    """
    found = resources(block)
    if found is None:
        return block
    kept = []
    for number, head, body in found:
        if number in _THUMBNAILS:
            continue
        if number == _RESOLUTION and len(body) >= 16:
            body = _resolution(body, change)
        kept.append(head + struct.pack(">I", len(body)) + body + b"\0" * (len(body) % 2))
    return b"".join(kept)


def _resolution(body: bytes, change: Change) -> bytes:
    across, down = body[:8], body[8:16]
    if change.sideways:
        across, down = down, across
    if change.scale > 1:
        across, down = (_times(part, change.scale) for part in (across, down))
    return across + down + body[16:]


def _times(part: bytes, scale: int) -> bytes:
    """A 16.16 fixed-point number and the units behind it, multiplied."""
    (value,) = struct.unpack_from(">I", part)
    return struct.pack(">I", min(value * scale, 2**32 - 1)) + part[4:]
