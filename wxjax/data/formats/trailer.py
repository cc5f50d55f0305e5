"""What stands behind the end of a JPEG: films of motion photos, gain maps, further pictures.

A film, which shows the moment and not the pixels, stays and its offset, counted from the
end of the file, with it. A gain map or a preview belongs to the pixels before and goes,
and so does the XMP that announces it (Adobe, Gain Map 1.0; Google, Motion Photo 1.0).
"""

import re
from typing import NamedTuple

_FILM = b"ftyp"
_SAMSUNG = b"SEFT"
_LENGTH = rb"(?:MicroVideoOffset|MotionPhotoOffset|MicroVideo_Offset)"
_OFFSET = re.compile(rb"\b\w+:" + _LENGTH + rb"(?:\s*=\s*[\"']|>\s*)(\d+)")
_ITEM = re.compile(rb"<rdf:li\b[^>]*?(?:/>|>.*?</rdf:li\s*>)", re.S)
_SEMANTIC = re.compile(rb"\bItem:Semantic(?:\s*=\s*[\"']|>\s*)(\w+)")
_DIRECTORY = re.compile(rb"<(\w+):Directory\b[^>]*>.*?</\1:Directory\s*>", re.S)
_FILM_CLAIMS = rb"\w+:(?:MicroVideo\w*|MotionPhoto\w*)"
_MAP_CLAIMS = rb"(?:hdrgm|HDRGainMap|apdi):\w+"


class Trailer(NamedTuple):
    """The bytes that stay behind the new picture, and what is said of all of them.

    Attributes:
      kept: appended behind the end of the new JPEG.
      notice: what stays, in words; empty where nothing does.
      cost: what is left out, in words; empty where nothing is.
      maps: whether pictures are left out, which XMP may announce.
      film: whether a film is kept, which XMP may announce.
    """

    kept: bytes
    notice: str
    cost: str
    maps: bool
    film: bool


def end(data: bytes, start: int) -> int:
    """The place behind the end-of-image marker, from the first byte of the first scan on."""
    at = start
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 2 > len(data):
            return len(data)
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0 or 0xD0 <= marker <= 0xD7:
            at += 2
        elif marker == 0xFF:
            at += 1
        else:  # tables between two scans
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            at += 2 + max(size, 2)


def read(rest: bytes, packet: bytes, several: bool) -> Trailer:
    """What of the bytes behind the picture stays true when its pixels change.

    Args:
      rest: the bytes.
      packet: the picture's XMP.
      several: whether the file says that it holds several pictures (MPF).
    """
    if not any(rest):
        return Trailer(b"", "", "further pictures left out" if several else "", several, False)
    at = _film(rest, packet)
    film = rest[at:] if at is not None else b""
    before = rest[: len(rest) - len(film)]
    notice = cost = ""
    if film:
        notice = f"{len(film)} bytes behind the picture kept as they were (a film of the moment)"
    if any(before):
        what = "further pictures or a gain map" if b"\xff\xd8\xff" in before else "of unknown kind"
        cost = f"{len(before)} bytes behind the picture left out ({what})"
    elif several:
        cost = "further pictures left out"
    return Trailer(film, notice, cost, bool(cost), bool(film))


def _film(rest: bytes, packet: bytes) -> int | None:
    """Where the film begins; None where there is none."""
    if rest.endswith(_SAMSUNG):  # Samsung's own directory counts backwards from the end
        return 0 if _FILM in rest else None
    for match in _OFFSET.finditer(packet):
        at = len(rest) - int(match[1])
        if 0 <= at < len(rest) and rest[at + 4 : at + 8] == _FILM:
            return at
    at = rest.find(_FILM)
    return at - 4 if at >= 4 else None


def settle_xmp(packet: bytes, trailer: Trailer) -> bytes:
    """The packet without what it says of bytes that are no longer there."""
    if not trailer.film:
        packet = without(packet, _FILM_CLAIMS)
        packet = _DIRECTORY.sub(lambda m: b"" if b"Item:" in m[0] else m[0], packet)
    if trailer.maps:
        packet = without(packet, _MAP_CLAIMS)
        packet = _ITEM.sub(lambda m: b"" if _stale(m[0]) else m[0], packet)
    return packet


def _stale(item: bytes) -> bool:
    """Whether an item of the container's directory is a picture that is left out."""
    found = _SEMANTIC.search(item)
    return bool(found) and found[1] not in (b"Primary", b"MotionPhoto")


def without(packet: bytes, names: bytes) -> bytes:
    """The packet without properties of these names, attributes and elements alike."""
    packet = re.sub(rb"\s+" + names + rb"\s*=\s*(\"[^\"]*\"|'[^']*')", b"", packet)
    packet = re.sub(rb"<(" + names + rb")\b[^>]*/>", b"", packet)
    return re.sub(rb"<(" + names + rb")\b[^>]*[^/]>.*?</\1\s*>|<(" + names + rb")>[^<]*</\2\s*>",
                  b"", packet, flags=re.S)  # fmt: skip
