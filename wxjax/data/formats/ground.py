"""What a TIFF says of the place and size of its pixels, made true for an enlarged picture.

GeoTIFF (OGC 19-008): a pixel scale, tie points and a transformation from pixels to the
ground; rational polynomials of satellites; sizes in descriptions of microscopes.
"""

import json
import re
import struct

from wxjax.data.formats import exif
from wxjax.data.formats.container import Change
from wxjax.data.formats.exif import Shape

SCALE, TIES, MATRIX, KEYS, POLYNOMIALS = 33550, 33922, 34264, 34735, 50844
_DESCRIPTION = 270
_RASTER_TYPE, _POINT = 1025, 2
_SIZE = re.compile(r'\b(Size[XY])="(\d+)"')
_PHYSICAL = re.compile(r'\b(PhysicalSize[XY])="([-+.\deE]+)"')


def settle(fields: dict[int, tuple], shape: Shape, change: Change) -> dict[int, tuple]:
    """The same tags, (type, count, bytes) each, for a picture `change.scale` times as large."""
    if change.scale == 1:
        return fields
    fields = dict(fields)
    if fields.get(_DESCRIPTION, (2, 0, b""))[2].startswith(b"ImageJ="):
        for tag in (exif.X_RESOLUTION, exif.Y_RESOLUTION):  # pixels in a unit of its own
            if tag in fields and _unit(fields, shape) == 1 and len(fields[tag][2]) == 8:
                over, under = struct.unpack(shape.order + "II", fields[tag][2])
                over, under = (over * change.scale, under) if over < 2**29 else (over, under)
                fields[tag] = 5, 1, struct.pack(shape.order + "II", over, under)
    # Where a number names a pixel's middle, the first new middle lies left of the old one.
    shift = (change.scale - 1) / 2 if _by_middle(fields.get(KEYS), shape) else 0.0
    edits = {SCALE: _scale, TIES: _ties, MATRIX: _matrix, POLYNOMIALS: _polynomials}
    for tag, edit in edits.items():
        if tag in fields and fields[tag][0] == 12:
            kind, count, body = fields[tag]
            values = list(struct.unpack(f"{shape.order}{count}d", body))
            middle = (change.scale - 1) / 2 if tag == POLYNOMIALS else shift
            values = edit(values, change.scale, middle)
            fields[tag] = kind, count, struct.pack(f"{shape.order}{count}d", *values)
    if _DESCRIPTION in fields:
        text = _described(fields[_DESCRIPTION][2], change)
        fields[_DESCRIPTION] = 2, len(text), text
    return fields


def turned(fields: dict[int, tuple]) -> dict[int, tuple]:
    """The tags without the position on the ground, which was that of the stored rows."""
    gone = (SCALE, TIES, MATRIX, KEYS, POLYNOMIALS, 34736, 34737)
    return {tag: field for tag, field in fields.items() if tag not in gone}


def _unit(fields: dict[int, tuple], shape: Shape) -> int:
    kind, _, body = fields.get(exif.RESOLUTION_UNIT, (3, 1, struct.pack(shape.order + "H", 2)))
    return struct.unpack_from(shape.order + "H", body)[0] if kind == 3 else 2


def _by_middle(keys: tuple | None, shape: Shape) -> bool:
    if keys is None or keys[0] != 3:
        return False
    values = struct.unpack(f"{shape.order}{keys[1]}H", keys[2])
    rows = zip(values[4::4], values[5::4], values[7::4], strict=False)
    return any(key == _RASTER_TYPE and at == 0 and value == _POINT for key, at, value in rows)


def _scale(values: list[float], scale: int, shift: float) -> list[float]:
    return [value / scale for value in values[:2]] + values[2:]


def _ties(values: list[float], scale: int, shift: float) -> list[float]:
    """Rows of (column, row, level, x, y, z)."""
    return [value * scale + shift if i % 6 < 2 else value for i, value in enumerate(values)]


def _matrix(values: list[float], scale: int, shift: float) -> list[float]:
    """4x4 by rows: its first two columns a pixel, its last the place of pixel (0, 0)."""
    if len(values) != 16:
        return values
    for row in (0, 4, 8, 12):
        one, other = values[row] / scale, values[row + 1] / scale
        values[row : row + 2] = one, other
        values[row + 3] -= shift * (one + other)
    return values


def _polynomials(values: list[float], scale: int, shift: float) -> list[float]:
    """Offsets and scales of line and sample (GDAL, RPCCoefficientTag)."""
    for at in (2, 3):
        values[at] = values[at] * scale + shift
    for at in (7, 8):
        values[at] *= scale
    return values


def _described(body: bytes, change: Change) -> bytes:
    """Sizes in a description by tifffile ({"shape": ...}) or in OME-XML."""
    text = body.rstrip(b"\0").decode("utf-8", "surrogateescape")
    if text.lstrip().startswith('{"shape"'):
        try:
            found = json.loads(text)
            wide, high = change.size
            old = {wide // change.scale: wide, high // change.scale: high}
            found["shape"] = [old.get(n, n) for n in found["shape"]]
            text = json.dumps(found)
        except (ValueError, TypeError):
            return body
    elif "<OME" in text:
        text = _SIZE.sub(lambda m: f'{m[1]}="{int(m[2]) * change.scale}"', text)
        text = _PHYSICAL.sub(lambda m: f'{m[1]}="{float(m[2]) / change.scale:.9g}"', text)
    else:
        return body
    return text.encode("utf-8", "surrogateescape") + b"\0"
