"""TIFF and BigTIFF: the first page's directory is kept, its strips are written anew.

The writer copies every tag it does not have to change, the EXIF and GPS directories
included, in the byte order of the source (TIFF 6.0, section 2).
"""

import numpy as np

from wxjax.data.formats import exif, strips
from wxjax.data.formats import page as pages
from wxjax.data.formats.container import Broken, Header, Layout, Samples, sideways
from wxjax.data.formats.page import Page
from wxjax.data.formats.sheet import Fields, Sheet

_LONG = (pages.WIDTH, pages.HEIGHT, pages.ROWS, pages.STRIPS, pages.COUNTS)
# About the old coding of the pixels: fill order, fax options, tiles, JPEG and YCbCr tables.
_CODING = {266, 288, 289, 292, 293, 317, 320, 322, 323, 324, 325, 330}
_CODING |= {347, *range(512, 522), 529, 530, 531, 532}
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NAMES = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_STRIP_BYTES = 1 << 20


def recognise(data: bytes) -> bool:
    return data[:4] in _SIGNATURES


def header(data: bytes) -> Header:
    page = pages.first(data)
    floating = page.format == 3
    depth = f"{page.bits}-bit float" if floating else f"{page.bits}-bit"
    mode = f"{depth} {_NAMES[page.photometric]}" + ("+alpha" if page.alpha else "")
    notices, costs = [], []
    if page.following:
        notices.append("several pages: the first only")
        costs.append("further pages left out")
    if pages.SUBIFDS in page.entries:
        costs.append("embedded previews left out: they showed the picture before")
    if floating:
        notices.append("float samples: taken as sRGB with white at 1, seen clipped to 0..1")
    stored = 32 if floating else 8 if page.bits <= 8 else 16
    if page.photometric == 3:
        costs.append("palette written as 8-bit RGB")
    elif page.bits != stored:
        costs.append(f"{depth} written as {stored}-bit")
    if page.value(pages.COMPRESSION, 1) not in strips.PACK:
        costs.append("written with deflate compression")
    notices, costs = tuple(notices), tuple(costs)
    return Header(page.width, page.height, mode, page.bits, page.orientation, notices, costs)


def decode(data: bytes) -> tuple[Samples, Layout]:
    """Samples of the first page: integers at 8 or 16 bits, floats at 32; black is 0."""
    page = pages.first(data)
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


def encode(data: bytes, pixels: Samples, layout: Layout) -> bytes:
    """A TIFF of one page with these samples and the tags of the first page of `data`."""
    page = pages.first(data)
    if page.photometric == 0:
        pixels = _inverted(pixels, page)
    compression = page.value(pages.COMPRESSION, 1)
    compression = compression if compression in strips.PACK else strips.DEFLATE
    predict = strips.predicts(page, pixels)
    fields = {tag: (e.type, e.count, e.value) for tag, e in page.entries.items()}
    fields = {tag: field for tag, field in fields.items() if tag not in _CODING}
    sheet = Sheet(page.shape)
    height, width, channels = pixels.shape
    rows = max(1, min(height, _STRIP_BYTES // (width * channels * pixels.itemsize)))
    order = page.shape.order
    places = [
        sheet.put(strips.encode(pixels[top : top + rows], compression, order, predict))
        for top in range(0, height, rows)
    ]
    offsets, counts = zip(*places, strict=True)
    kept = page.photometric in (0, 1, 2, 5)
    new = {
        pages.WIDTH: width,
        pages.HEIGHT: height,
        pages.BITS: (pixels.itemsize * 8,) * channels,
        pages.COMPRESSION: compression,
        pages.PHOTOMETRIC: page.photometric if kept else 2,
        pages.STRIPS: offsets,
        pages.CHANNELS: channels,
        pages.ROWS: rows,
        pages.COUNTS: counts,
        pages.PLANAR: 1,
    }
    if predict:
        new[pages.PREDICTOR] = 2
    if exif.ORIENTATION in fields:
        new[exif.ORIENTATION] = 1
    if pages.FORMAT in fields:
        new[pages.FORMAT] = (page.format,) * channels
    for tag, value in new.items():
        values = value if isinstance(value, tuple) else (value,)
        fields[tag] = sheet.integers(*values, long=tag in _LONG)
    return sheet.finish(_described(fields, data, page, sheet))


def _described(fields: Fields, data: bytes, page: Page, sheet: Sheet) -> Fields:
    """Resolution, pages.XMP and the EXIF and GPS directories, made to fit upright pixels."""
    turned = sideways(page.orientation)
    if turned and {exif.X_RESOLUTION, exif.Y_RESOLUTION} <= set(fields):
        one, other = exif.X_RESOLUTION, exif.Y_RESOLUTION
        fields[one], fields[other] = fields[other], fields[one]
    if pages.XMP in fields:
        kind, count, packet = fields[pages.XMP]
        fields[pages.XMP] = (kind, count, exif.settle_xmp(packet))
    for tag in (exif.EXIF, exif.GPS):
        if tag in fields:
            fields[tag] = sheet.copy(data, page.entries[tag], turned)
    return fields
