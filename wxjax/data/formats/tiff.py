"""TIFF and BigTIFF: the first page's directory is kept, its strips are written anew.

tifffile decodes; the writer here copies every tag it does not have to change, the EXIF
and GPS directories included, in the byte order of the source (TIFF 6.0, section 2).
"""

import io

import imagecodecs
import numpy as np
import tifffile

from wxjax.data.formats import exif
from wxjax.data.formats.container import Broken, Header, Layout, Samples, sideways
from wxjax.data.formats.sheet import Fields, Sheet

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIPS, CHANNELS, ROWS, COUNTS, PLANAR = 273, 277, 278, 279, 284
PREDICTOR, COLOURS, TILES, TILE_COUNTS, SUBIFDS = 317, 320, 324, 325, 330
EXTRA, FORMAT, XMP = 338, 339, 700
_INK_SET, _DEFLATE = 332, 8
# About the old coding of the pixels: fill order, fax options, tiles, JPEG and YCbCr tables.
_CODING = {266, 288, 289, 292, 293, PREDICTOR, COLOURS, 322, 323, TILES, TILE_COUNTS, SUBIFDS}
_CODING |= {347, *range(512, 522), 529, 530, 531, 532}
_LONG = (WIDTH, HEIGHT, ROWS, STRIPS, COUNTS)
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BASE = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
_NAMES = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_STRIP_BYTES = 1 << 20
_TILE_PIXELS = 1 << 24


def recognise(data: bytes) -> bool:
    return data[:4] in _SIGNATURES


class _Page:
    """The first directory: its tags by number, and the few numbers everything needs."""

    def __init__(self, data: bytes):
        self.shape, at = exif.first(data)
        entries, self.following = exif.directory(data, self.shape, at)
        self.entries = {entry.tag: entry for entry in entries}
        self.width, self.height = self.value(WIDTH), self.value(HEIGHT)
        self.photometric, self.channels = self.value(PHOTOMETRIC, -1), self.value(CHANNELS, 1)
        self.bits, self.format = self._common(BITS, 1), self._common(FORMAT, 1)
        self.extra = self.values(EXTRA)
        self.orientation = self.value(exif.ORIENTATION, 1)

    def value(self, tag: int, default: int = 0) -> int:
        return exif.number(self.entries.get(tag), self.shape, default)

    def values(self, tag: int) -> tuple[int, ...]:
        return exif.numbers(self.entries[tag], self.shape) if tag in self.entries else ()

    def _common(self, tag: int, default: int) -> int:
        found = set(self.values(tag)) or {default}
        if len(found) > 1:
            raise Broken("channels of unlike depth or format")
        return found.pop()

    @property
    def alpha(self) -> bool:
        return self.channels > _BASE[self.photometric]


def _page(data: bytes) -> _Page:
    """The first directory of a TIFF this program can read; raises Broken with the reason."""
    page = _Page(data)
    if not page.width or not page.height:
        raise Broken(f"impossible header ({page.width}x{page.height})")
    if page.photometric not in _BASE:
        raise Broken(f"colour kind {page.photometric}; expected grey, RGB, palette or CMYK")
    extra = page.channels - _BASE[page.photometric]
    if extra not in ((0,) if page.photometric in (3, 5, 6) else (0, 1)):
        raise Broken(f"{page.channels} channels; expected at most one beside the colours")
    whole = page.format == 1 and page.bits <= 16
    if not whole and not (page.format == 3 and page.bits in (16, 32, 64)):
        raise Broken(
            f"{page.bits}-bit, format {page.format}; expected 1 to 16-bit integers or float"
        )
    if page.photometric == 5 and page.value(_INK_SET, 1) != 1:
        raise Broken("inks other than CMYK")
    if not 1 <= page.orientation <= 8:
        page.orientation = 1
    _check_segments(page, len(data))
    return page


def _check_segments(page: _Page, size: int) -> None:
    """A strip that is absent or reaches past the end would come back black, not as an error."""
    tiled = TILES in page.entries
    offsets = page.values(TILES if tiled else STRIPS)
    counts = page.values(TILE_COUNTS if tiled else COUNTS)
    if tiled:
        across, down = page.value(322), page.value(323)
    else:
        across, down = page.width, min(page.value(ROWS, page.height), page.height)
    if not across or not down:
        raise Broken("no strip size")
    if across * down > max(_TILE_PIXELS, 4 * page.width * page.height):
        raise Broken(f"tiles of {across}x{down} for {page.width}x{page.height} pixels")
    wanted = -(-page.width // across) * -(-page.height // down)
    wanted *= page.channels if page.value(PLANAR, 1) == 2 else 1
    if len(offsets) != wanted or len(counts) != wanted:
        raise Broken(f"{len(offsets)} strips; expected {wanted}")
    ends = zip(offsets, counts, strict=True)
    if not all(at and count and at + count <= size for at, count in ends):
        raise Broken("the file is cut off")


def header(data: bytes) -> Header:
    page = _page(data)
    floating = page.format == 3
    depth = f"{page.bits}-bit float" if floating else f"{page.bits}-bit"
    mode = f"{depth} {_NAMES[page.photometric]}" + ("+alpha" if page.alpha else "")
    notices, costs = [], []
    if page.following:
        notices.append("several pages: the first only")
        costs.append("further pages left out")
    if SUBIFDS in page.entries:
        costs.append("embedded previews left out: they showed the picture before")
    if floating:
        notices.append("float samples: taken as sRGB with white at 1, seen clipped to 0..1")
    stored = 32 if floating else 8 if page.bits <= 8 else 16
    if page.photometric == 3:
        costs.append("palette written as 8-bit RGB")
    elif page.bits != stored:
        costs.append(f"{depth} written as {stored}-bit")
    if page.value(COMPRESSION, 1) not in _CODECS:
        costs.append("written with deflate compression")
    notices, costs = tuple(notices), tuple(costs)
    return Header(page.width, page.height, mode, page.bits, page.orientation, notices, costs)


def decode(data: bytes) -> tuple[Samples, Layout]:
    """Samples of the first page: integers at 8 or 16 bits, floats at 32; black is 0."""
    page = _page(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pixels = np.asarray(file.pages[0].asarray(maxworkers=1))
    if page.value(PLANAR, 1) == 2 and page.channels > 1:
        pixels = np.moveaxis(pixels.reshape(page.channels, page.height, page.width), 0, -1)
    pixels = pixels.reshape(page.height, page.width, page.channels)
    if page.photometric == 3:
        table = np.asarray(page.values(COLOURS), np.uint16).reshape(3, -1).T >> 8
        if int(pixels.max()) >= len(table):
            raise Broken("a pixel names a colour outside the palette")
        return table.astype(np.uint8)[pixels[..., 0]], "rgb"
    pixels = _widened(pixels, page)
    if page.photometric == 0:
        pixels = _inverted(pixels, page)
    return np.ascontiguousarray(pixels), _layout(page)


def _layout(page: _Page) -> Layout:
    base: str = {0: "grey", 1: "grey", 5: "cmyk"}.get(page.photometric, "rgb")
    if page.alpha:
        base += "+premultiplied" if page.extra[-1:] == (1,) else "+alpha"
    return base


def _widened(pixels: np.ndarray, page: _Page) -> np.ndarray:
    if page.format == 3:
        return pixels.astype(np.float32)
    kind, stored = (np.uint8, 8) if page.bits <= 8 else (np.uint16, 16)
    if page.bits == stored:
        return pixels.astype(kind)
    top, full = 2**page.bits - 1, 2**stored - 1
    return ((pixels.astype(np.uint32) * full * 2 + top) // (2 * top)).astype(kind)


def _inverted(pixels: np.ndarray, page: _Page) -> np.ndarray:
    """White-is-zero grey to black-is-zero and back; an alpha channel stays."""
    pixels = pixels.copy()
    white = 1 if page.format == 3 else np.iinfo(pixels.dtype).max
    pixels[..., 0] = white - pixels[..., 0]
    return pixels


def encode(data: bytes, pixels: Samples, layout: Layout) -> bytes:
    """A TIFF of one page with these samples and the tags of the first page of `data`."""
    page = _page(data)
    if page.photometric == 0:
        pixels = _inverted(pixels, page)
    compression = page.value(COMPRESSION, 1)
    compression = compression if compression in _CODECS else _DEFLATE
    predict = page.value(PREDICTOR, 1) == 2 and compression in (5, 8, 32946, 50000)
    predict = predict and pixels.dtype.kind == "u"
    fields = {tag: (e.type, e.count, e.value) for tag, e in page.entries.items()}
    fields = {tag: field for tag, field in fields.items() if tag not in _CODING}
    sheet = Sheet(page.shape)
    height, width, channels = pixels.shape
    rows = max(1, min(height, _STRIP_BYTES // (width * channels * pixels.itemsize)))
    strips = [
        sheet.put(_CODECS[compression](_coded(pixels[top : top + rows], page.shape, predict)))
        for top in range(0, height, rows)
    ]
    offsets, counts = zip(*strips, strict=True)
    kept = page.photometric in (0, 1, 2, 5)
    new = {
        WIDTH: width,
        HEIGHT: height,
        BITS: (pixels.itemsize * 8,) * channels,
        COMPRESSION: compression,
        PHOTOMETRIC: page.photometric if kept else 2,
        STRIPS: offsets,
        CHANNELS: channels,
        ROWS: rows,
        COUNTS: counts,
        PLANAR: 1,
    }
    if predict:
        new[PREDICTOR] = 2
    if exif.ORIENTATION in fields:
        new[exif.ORIENTATION] = 1
    if FORMAT in fields:
        new[FORMAT] = (page.format,) * channels
    for tag, value in new.items():
        values = value if isinstance(value, tuple) else (value,)
        fields[tag] = sheet.integers(*values, long=tag in _LONG)
    return sheet.finish(_described(fields, data, page, sheet))


def _coded(rows: np.ndarray, shape: exif.Shape, predict: bool) -> np.ndarray:
    if predict:
        rows = np.concatenate([rows[:, :1], rows[:, 1:] - rows[:, :-1]], 1)
    return np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder(shape.order)))


def _packbits(rows: np.ndarray) -> bytes:
    return b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in rows)


_CODECS = {
    1: lambda rows: rows.tobytes(),
    5: lambda rows: imagecodecs.lzw_encode(rows.tobytes()),
    8: lambda rows: imagecodecs.zlib_encode(rows.tobytes(), level=6),
    32773: _packbits,
    32946: lambda rows: imagecodecs.zlib_encode(rows.tobytes(), level=6),
    50000: lambda rows: imagecodecs.zstd_encode(rows.tobytes()),
}


def _described(fields: Fields, data: bytes, page: _Page, sheet: Sheet) -> Fields:
    """Resolution, XMP and the EXIF and GPS directories, made to fit upright pixels."""
    turned = sideways(page.orientation)
    if turned and {exif.X_RESOLUTION, exif.Y_RESOLUTION} <= set(fields):
        one, other = exif.X_RESOLUTION, exif.Y_RESOLUTION
        fields[one], fields[other] = fields[other], fields[one]
    if XMP in fields:
        kind, count, packet = fields[XMP]
        fields[XMP] = (kind, count, exif.settle_xmp(packet))
    for tag in (exif.EXIF, exif.GPS):
        if tag in fields:
            fields[tag] = sheet.copy(data, page.entries[tag], turned)
    return fields
