"""TIFF and BigTIFF: every page's directory is kept, its strips are written anew.

The writer copies every tag it does not have to change, the EXIF and GPS directories
included, in the byte order of the source (TIFF 6.0, section 2).
"""

from collections.abc import Sequence

import numpy as np

from wxjax.data.formats import exif, ground, photoshop, settle, strips
from wxjax.data.formats import page as pages
from wxjax.data.formats.container import Broken, Change, Header, Layout, Metadata, Samples
from wxjax.data.formats.page import Page
from wxjax.data.formats.sheet import Fields, Sheet

_LONG = (pages.WIDTH, pages.HEIGHT, pages.ROWS, pages.STRIPS, pages.COUNTS)
# About the old coding of the pixels: fill order, fax options, tiles, JPEG and YCbCr tables.
_CODING = {266, 288, 289, 292, 293, 317, 320, 322, 323, 324, 325, 330}
_CODING |= {347, *range(512, 522), 529, 530, 531, 532, 37724}
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NAMES = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_STRIP_BYTES = 1 << 20
_PHOTOSHOP, _LAYERS, _NODATA, _ICC, _IPTC = 34377, 37724, 42113, 34675, 33723
# Tags of the first directory that an EXIF block holds as well.
_TEXTS = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, *range(40091, 40096)}


def recognise(data: bytes) -> bool:
    return data[:4] in _SIGNATURES


def count(data: bytes) -> int:
    """How many pages there are, previews and masks not counted."""
    return len(pages.every(data)[0])


def _page(data: bytes, number: int) -> Page:
    return pages.first(data, pages.every(data)[0][number])


def header(data: bytes, number: int = 0) -> Header:
    places, aside = pages.every(data)
    page = pages.first(data, places[number])
    floating = page.format == 3
    depth = f"{page.bits}-bit float" if floating else f"{page.bits}-bit"
    mode = f"{depth} {_NAMES[page.photometric]}" + ("+alpha" if page.alpha else "")
    costs = []
    if pages.SUBIFDS in page.entries or aside and not number:
        costs.append("embedded previews left out: they showed the picture before")
    if photoshop.has_thumbnail(_value(page, _PHOTOSHOP)):
        costs.append("embedded preview left out: it showed the picture before")
    if page.orientation != 1 and {ground.SCALE, ground.TIES, ground.MATRIX} & set(page.entries):
        costs.append("position on the ground left out: it was of the picture before its turn")
    if _LAYERS in page.entries:
        costs.append("Photoshop's layers left out: they held the picture before")
    stored = 32 if floating else 8 if page.bits <= 8 else 16
    if page.photometric == 3:
        costs.append("palette written as 8-bit RGB")
    elif page.bits != stored:
        costs.append(f"{depth} written as {stored}-bit")
    if page.value(pages.COMPRESSION, 1) not in strips.PACK:
        costs.append("written with deflate compression")
    return Header(
        page.width, page.height, mode, page.bits, page.orientation, (), tuple(costs), _nodata(page)
    )


def _value(page: Page, tag: int) -> bytes:
    return page.entries[tag].value if tag in page.entries else b""


def _nodata(page: Page) -> float | None:
    """The value that stands for "nothing here" (GDAL)."""
    try:
        text = _value(page, _NODATA).rstrip(b"\0 ").decode("ascii")
        return float(text) if text else None
    except ValueError:
        return None


def decode(data: bytes, number: int = 0) -> tuple[Samples, Layout]:
    """Samples of one page: integers at 8 or 16 bits, floats at 32; black is 0."""
    page = _page(data, number)
    pixels = strips.decode(data, page)
    if page.photometric == 3:
        table = np.asarray(page.values(pages.COLOURS), np.uint16).reshape(3, -1).T >> 8
        if int(pixels.max()) >= len(table):
            raise Broken("a pixel names a colour outside the palette")
        return table.astype(np.uint8)[pixels[..., 0]], "rgb"
    pixels = _widened(pixels, page)
    if page.photometric == 0:
        pixels = _inverted(pixels, page)
    return np.ascontiguousarray(pixels), _layout(page)


def _layout(page: Page) -> Layout:
    base: str = {0: "grey", 1: "grey", 5: "cmyk"}.get(page.photometric, "rgb")
    if page.alpha:
        base += "+premultiplied" if page.extra[-1:] == (1,) else "+alpha"
    return base


def _widened(pixels: np.ndarray, page: Page) -> np.ndarray:
    if page.format == 3:
        return pixels.astype(np.float32)
    kind, stored = (np.uint8, 8) if page.bits <= 8 else (np.uint16, 16)
    if page.bits == stored:
        return pixels.astype(kind)
    top, full = 2**page.bits - 1, 2**stored - 1
    return ((pixels.astype(np.uint32) * full * 2 + top) // (2 * top)).astype(kind)


def _inverted(pixels: np.ndarray, page: Page) -> np.ndarray:
    """White-is-zero grey to black-is-zero and back; an alpha channel stays."""
    pixels = pixels.copy()
    white = 1 if page.format == 3 else np.iinfo(pixels.dtype).max
    pixels[..., 0] = white - pixels[..., 0]
    return pixels


def profile(data: bytes, number: int = 0) -> bytes:
    """The ICC profile of a page; empty where there is none."""
    return _value(_page(data, number), _ICC)


def metadata(data: bytes) -> Metadata:
    """EXIF, XMP and profile of the first page, for a file of another kind."""
    page = _page(data, 0)
    lost = tuple(name for tag, name in ((_IPTC, "IPTC left out"), (ground.KEYS,
                 "GeoTIFF tags left out")) if tag in page.entries)  # fmt: skip
    xmp, icc = _value(page, pages.XMP), _value(page, _ICC)
    if page.shape.big:
        big = ("EXIF of a BigTIFF left out",) if exif.EXIF in page.entries else ()
        return Metadata(b"", xmp, icc, lost + big)
    sheet = Sheet(page.shape)
    fields = {t: (e.type, e.count, e.value) for t, e in page.entries.items() if t in _TEXTS}
    for tag in (exif.EXIF, exif.GPS):
        if tag in page.entries:
            fields[tag] = sheet.copy(data, page.entries[tag], Change())
    return Metadata(sheet.finish(fields) if fields else b"", xmp, icc, lost)


def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
    """A TIFF, deflated, with the metadata of a file of another kind."""
    shape, fields = exif.Shape("<", False), {}
    sheet = Sheet(shape)
    if tags.exif:
        shape, at = exif.first(tags.exif)
        sheet = Sheet(shape)
        for entry in exif.directory(tags.exif, shape, at)[0]:
            fields[entry.tag] = (entry.type, entry.count, entry.value)
            if entry.tag in (exif.EXIF, exif.GPS):
                fields[entry.tag] = sheet.copy(tags.exif, entry, Change())
    for tag, kind, value in ((pages.XMP, 1, tags.xmp), (_ICC, 7, tags.icc)):
        if value:
            fields[tag] = (kind, len(value), value)
    fields.pop(exif.ORIENTATION, None)
    floating = pixels.dtype == np.float32
    photometric = {"grey": 1, "cmyk": 5}.get(layout.split("+")[0], 2)
    channels = pixels.shape[2]
    new = {pages.PHOTOMETRIC: photometric, pages.FORMAT: (3 if floating else 1,) * channels}
    if "+" in layout:
        new[pages.EXTRA] = 1 if layout.endswith("premultiplied") else 2
    new |= _stored(sheet, pixels, strips.DEFLATE, not floating)
    return sheet.finish(_finished(fields, new, sheet))


def encode(data: bytes, pixels: Samples, layout: Layout, change: Change) -> bytes:
    """A TIFF of one page with these samples and the tags of the first page of `data`."""
    return encode_pages(data, [(pixels, layout, change)])


def encode_pages(data: bytes, found: Sequence[tuple[np.ndarray, Layout, Change]]) -> bytes:
    """A TIFF of as many pages as `data` has, each with its own tags."""
    sheet = Sheet(exif.first(data)[0])
    fields = [_one(sheet, data, _page(data, i), *part) for i, part in enumerate(found)]
    return sheet.finish(*fields)


def _one(
    sheet: Sheet, data: bytes, page: Page, pixels: Samples, layout: Layout, change: Change
) -> Fields:
    """The tags of a new page, its strips put into the sheet."""
    if page.photometric == 0:
        pixels = _inverted(pixels, page)
    compression = page.value(pages.COMPRESSION, 1)
    compression = compression if compression in strips.PACK else strips.DEFLATE
    predict = strips.predicts(page, pixels)
    fields = settle.fields(list(page.entries.values()), page.shape, change)
    fields = {tag: field for tag, field in fields.items() if tag not in _CODING}
    kept = page.photometric in (0, 1, 2, 5)
    new = {pages.PHOTOMETRIC: page.photometric if kept else 2}
    new |= _stored(sheet, pixels, compression, predict)
    if exif.ORIENTATION in fields:
        new[exif.ORIENTATION] = 1
    if pages.FORMAT in fields:
        new[pages.FORMAT] = (page.format,) * pixels.shape[2]
    if change.orientation != 1:
        fields = ground.turned(fields)
    fields = _described(ground.settle(fields, page.shape, change), data, page, sheet, change)
    return _finished(fields, new, sheet)


def _stored(sheet: Sheet, pixels: Samples, compression: int, predict: bool) -> dict:
    """Puts the strips into the sheet; the tags that find and describe them."""
    height, width, channels = pixels.shape
    rows = max(1, min(height, _STRIP_BYTES // (width * channels * pixels.itemsize)))
    places = [
        sheet.put(strips.encode(pixels[top : top + rows], compression, sheet.shape.order, predict))
        for top in range(0, height, rows)
    ]
    offsets, counts = zip(*places, strict=True)
    return {
        pages.WIDTH: width,
        pages.HEIGHT: height,
        pages.BITS: (pixels.itemsize * 8,) * channels,
        pages.COMPRESSION: compression,
        pages.STRIPS: offsets,
        pages.CHANNELS: channels,
        pages.ROWS: rows,
        pages.COUNTS: counts,
        pages.PLANAR: 1,
    } | ({pages.PREDICTOR: 2} if predict and compression in strips.PREDICTED else {})


def _finished(fields: Fields, new: dict, sheet: Sheet) -> Fields:
    for tag, value in new.items():
        values = value if isinstance(value, tuple) else (value,)
        fields[tag] = sheet.integers(*values, long=tag in _LONG)
    fields[exif.SOFTWARE] = (2, len(settle.NAME) + 1, settle.NAME + b"\0")
    return fields


def _described(fields: Fields, data: bytes, page: Page, sheet: Sheet, change: Change) -> Fields:
    """XMP, Photoshop's resources and the EXIF and GPS directories, made to fit new pixels."""
    if pages.XMP in fields:
        kind, _, packet = fields[pages.XMP]
        packet = settle.xmp(packet, change)
        fields[pages.XMP] = (kind, len(packet) // exif.SIZES.get(kind, 1), packet)
    if _PHOTOSHOP in fields:
        kind, _, block = fields[_PHOTOSHOP]
        block = photoshop.settle(block, change)
        fields[_PHOTOSHOP] = (kind, len(block) // exif.SIZES.get(kind, 1), block)
    for tag in (exif.EXIF, exif.GPS):
        if tag in fields:
            fields[tag] = sheet.copy(data, page.entries[tag], change)
    return fields
