"""The directories of a TIFF, checked before a pixel is decoded (TIFF 6.0, section 8)."""

from wxjax.data.formats import exif
from wxjax.data.formats.container import Broken

SUBFILE, OLD_SUBFILE, DNG = 254, 255, 50706
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIPS, CHANNELS, ROWS, COUNTS, PLANAR = 273, 277, 278, 279, 284
PREDICTOR, COLOURS, TILES, TILE_COUNTS, SUBIFDS = 317, 320, 324, 325, 330
EXTRA, FORMAT, XMP = 338, 339, 700
INK_SET, FILL_ORDER, T4_OPTIONS, JPEG_TABLES = 332, 266, 292, 347
JPEG, FAX = 7, (2, 3, 4)
COMPRESSIONS = {1, *FAX, 5, JPEG, 8, 32773, 32946, 50000}
# Colour channels by photometric interpretation.
COLOURS_OF = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
_TILE_PIXELS = 1 << 24
MOST_PAGES = 10_000


class Page:
    """One directory: its tags by number, and the few numbers everything needs."""

    def __init__(self, data: bytes, at: int = 0):
        self.shape, start = exif.first(data)
        entries, self.following = exif.directory(data, self.shape, at or start)
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
    def side(self) -> bool:
        """Whether it is a smaller version, a preview or a mask of another page."""
        return bool(self.value(SUBFILE) & 5) or self.value(OLD_SUBFILE) == 2

    @property
    def tiled(self) -> bool:
        return TILES in self.entries

    @property
    def planes(self) -> int:
        """How many times the picture is stored: once a channel, or once with all of them."""
        return self.channels if self.value(PLANAR, 1) == 2 else 1

    @property
    def segments(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Offsets and byte counts of the strips or tiles."""
        tags = (TILES, TILE_COUNTS) if self.tiled else (STRIPS, COUNTS)
        return self.values(tags[0]), self.values(tags[1])

    @property
    def segment_size(self) -> tuple[int, int]:
        """Width and height of a strip or tile in pixels."""
        if self.tiled:
            return self.value(322), self.value(323)
        return self.width, min(self.value(ROWS, self.height), self.height)

    @property
    def alpha(self) -> bool:
        return self.channels > COLOURS_OF[self.photometric]


def every(data: bytes) -> tuple[list[int], int]:
    """Offsets of the pages' directories, and how many previews and masks lie beside them.

    Raises Broken for a chain that ends nowhere or comes back to itself.
    """
    shape, at = exif.first(data)
    found, aside, seen = [], [], set()
    while at:
        if at in seen or len(seen) >= MOST_PAGES:
            raise Broken("its pages are a ring" if at in seen else f"over {MOST_PAGES} pages")
        seen.add(at)
        page = Page(data, at)
        (aside if page.side else found).append(at)
        at = page.following
    return (found, len(aside)) if found else (aside[:1], len(aside) - 1)


def first(data: bytes, at: int = 0) -> Page:
    """A directory of a TIFF this program can read; raises Broken with the reason."""
    page = Page(data, at)
    if DNG in page.entries:
        raise Broken("a camera's raw file (DNG); expected a developed picture")
    if not page.width or not page.height:
        raise Broken(f"impossible header ({page.width}x{page.height})")
    if page.photometric not in COLOURS_OF:
        raise Broken(f"colour kind {page.photometric}; expected grey, RGB, palette or CMYK")
    extra = page.channels - COLOURS_OF[page.photometric]
    if extra not in ((0,) if page.photometric in (3, 5, 6) else (0, 1)):
        raise Broken(f"{page.channels} channels; expected at most one beside the colours")
    whole = page.format == 1 and page.bits <= 16
    if not whole and not (page.format == 3 and page.bits in (16, 32, 64)):
        raise Broken(
            f"{page.bits}-bit, format {page.format}; expected 1 to 16-bit integers or float"
        )
    if page.photometric == 5 and page.value(INK_SET, 1) != 1:
        raise Broken("inks other than CMYK")
    if not 1 <= page.orientation <= 8:
        page.orientation = 1
    _check_coding(page)
    _check_segments(page, len(data))
    return page


def _check_coding(page: Page) -> None:
    """Only what is decoded here: elsewhere odd pairs of depth and predictor end in a crash."""
    compression, predictor = page.value(COMPRESSION, 1), page.value(PREDICTOR, 1)
    if compression not in COMPRESSIONS:
        raise Broken(f"compression {compression}; expected one of {sorted(COMPRESSIONS)}")
    kinds = {1: True, 2: page.format == 1 and page.bits in (8, 16), 3: page.format == 3}
    if not kinds.get(predictor, False):
        raise Broken(f"predictor {predictor} for {page.bits}-bit samples")
    if compression in FAX and (page.bits, page.channels) != (1, 1):
        raise Broken("fax compression of more than one bit")
    if compression == JPEG and (page.bits != 8 or page.format != 1 or page.photometric == 5):
        raise Broken("JPEG compression of other than 8-bit grey or RGB")
    if page.photometric == 6 and compression != JPEG:
        raise Broken("YCbCr without JPEG compression")
    if page.photometric == 3 and page.bits > 8:
        raise Broken(f"{page.bits}-bit palette")


def _check_segments(page: Page, size: int) -> None:
    """No strip may be absent or reach past the end of the file."""
    offsets, counts = page.segments
    across, down = page.segment_size
    if not across or not down:
        raise Broken("no strip size")
    if across * down > max(_TILE_PIXELS, 4 * page.width * page.height):
        raise Broken(f"tiles of {across}x{down} for {page.width}x{page.height} pixels")
    wanted = -(-page.width // across) * -(-page.height // down) * page.planes
    if len(offsets) != wanted or len(counts) != wanted:
        raise Broken(f"{len(offsets)} strips; expected {wanted}")
    ends = zip(offsets, counts, strict=True)
    if not all(at and count and at + count <= size for at, count in ends):
        raise Broken("the file is cut off")
