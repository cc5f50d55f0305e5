"""Strips and tiles of a TIFF to samples and back, one at a time.

Every codec is told how much to give, and gives all of it or the file is broken.
"""

import struct
import zlib

import imagecodecs
import numpy as np

from wxjax.data.formats import jpeg
from wxjax.data.formats.container import Broken, Samples
from wxjax.data.formats.page import (
    COMPRESSION,
    FAX,
    FILL_ORDER,
    JPEG,
    JPEG_TABLES,
    PREDICTOR,
    T4_OPTIONS,
    Page,
)

DEFLATE = 8
PREDICTED = (5, 8, 32946, 50000)


def decode(data: bytes, page: Page) -> np.ndarray:
    """`[h w c]` samples as stored, odd depths in the next wider integer, native byte order."""
    across, down = page.segment_size
    channels = page.channels // page.planes
    kind = _kind(page).newbyteorder("=")
    pixels = np.empty((page.height, page.width, page.channels), kind)
    places = [
        (plane, top, left)
        for plane in range(page.planes)
        for top in range(0, page.height, down)
        for left in range(0, page.width, across)
    ]
    for (plane, top, left), at, count in zip(places, *page.segments, strict=True):
        rows = down if page.tiled else min(down, page.height - top)
        block = _block(data[at : at + count], page, (rows, across, channels))
        view = pixels[top : top + rows, left : left + across, plane : plane + channels]
        view[...] = block[: view.shape[0], : view.shape[1]]
    return pixels


def _kind(page: Page) -> np.dtype:
    if page.format == 3:
        return np.dtype(f"{page.shape.order}f{page.bits // 8}")
    return np.dtype(f"{page.shape.order}u{1 if page.bits <= 8 else 2}")


def _block(raw: bytes, page: Page, shape: tuple[int, int, int]) -> np.ndarray:
    """One decoded strip or tile of a given (rows, width, channels)."""
    rows, across, channels = shape
    compression = page.value(COMPRESSION, 1)
    if compression == JPEG:
        return _jpeg(raw, page, shape)
    if page.value(FILL_ORDER, 1) == 2:
        raw = imagecodecs.bitorder_decode(raw)
    if compression in FAX:
        return _fax(raw, page, compression, shape)
    row_bytes = -(-across * channels * page.bits // 8)
    unpacked = _UNPACK[compression](raw, rows * row_bytes)
    if len(unpacked) < rows * row_bytes:
        raise Broken("a strip holds fewer rows than it should")
    table = np.frombuffer(unpacked, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    predictor = page.value(PREDICTOR, 1)
    if predictor == 3:
        return _float_predicted(table, page.bits // 8, shape)
    if page.bits not in (8, 16, 32, 64):
        return _narrow(table, page.bits, across * channels).reshape(shape)
    block = table.view(_kind(page)).reshape(shape)
    if predictor == 2:
        block = block.astype(block.dtype.newbyteorder("="))
        block = np.cumsum(block, axis=1, dtype=block.dtype)
    return block


def _narrow(table: np.ndarray, bits: int, samples: int) -> np.ndarray:
    """Samples of 1 to 15 bits, packed high bit first, each row from a full byte."""
    columns = []
    wide = np.pad(table, ((0, 0), (0, 3))).astype(np.uint32)
    start = np.arange(samples) * bits
    byte, shift = start // 8, 24 - start % 8 - bits
    for part in (0, 1, 2):
        columns.append(wide[:, byte + part] << np.uint32(16 - 8 * part))
    value = (columns[0] | columns[1] | columns[2]) >> shift.astype(np.uint32)
    value &= np.uint32(2**bits - 1)
    return value.astype(np.uint8 if bits <= 8 else np.uint16)


def _float_predicted(table: np.ndarray, size: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Byte planes, high bytes first, differenced along the row (TIFF technical note 3)."""
    rows, across, channels = shape
    steps = table.reshape(rows, -1, channels)
    planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, size, across * channels)
    return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{size}").reshape(shape)


def _fax(raw: bytes, page: Page, compression: int, shape: tuple[int, int, int]) -> np.ndarray:
    if compression == 2:
        block = imagecodecs.ccittrle_decode(raw, *shape[:2])
    elif compression == 3:
        options = page.value(T4_OPTIONS, 0)
        block = imagecodecs.ccittfax3_decode(raw, *shape[:2], t4options=options)
    else:
        block = imagecodecs.ccittfax4_decode(raw, *shape[:2])
    return np.asarray(block, np.uint8).reshape(shape)


def _jpeg(raw: bytes, page: Page, shape: tuple[int, int, int]) -> np.ndarray:
    """A strip that is a JPEG, its tables kept apart in a tag (TIFF technical note 2)."""
    tables = page.entries[JPEG_TABLES].value[2:-2] if JPEG_TABLES in page.entries else b""
    adobe = struct.pack(">5sHHHB", b"Adobe", 100, 0, 0, 0)
    stored_as_rgb = page.photometric == 2 and shape[2] == 3
    flag = b"\xff\xee" + struct.pack(">H", 14) + adobe if stored_as_rgb else b""
    whole = b"\xff\xd8" + tables + flag + raw[2:]
    found = jpeg.header(whole)
    if (found.height, found.width) != shape[:2]:
        raise Broken("a JPEG strip of another size")
    block, _ = jpeg.decode(whole)
    return block.reshape(shape)


def _inflate(raw: bytes, size: int) -> bytes:
    """At most `size` bytes; a look past them verifies the checksum where it follows."""
    stream = zlib.decompressobj()
    found = stream.decompress(raw, size)
    stream.decompress(stream.unconsumed_tail, 1)
    return found


def _lzw(raw: bytes, size: int) -> bytes:
    return imagecodecs.lzw_decode(raw, out=size)


def _packbits(raw: bytes, size: int) -> bytes:
    return imagecodecs.packbits_decode(raw, out=size)


def _zstd(raw: bytes, size: int) -> bytes:
    return imagecodecs.zstd_decode(raw, out=size)


_UNPACK = {
    1: lambda raw, size: raw,
    5: _lzw,
    8: _inflate,
    32773: _packbits,
    32946: _inflate,
    50000: _zstd,
}


def predicts(page: Page, pixels: Samples) -> bool:
    """Whether new strips are differenced: where the source's were, and it is lossless here."""
    coded = page.value(COMPRESSION, 1) in PREDICTED
    return coded and page.value(PREDICTOR, 1) == 2 and pixels.dtype.kind == "u"


def encode(rows: Samples, compression: int, order: str, predict: bool) -> bytes:
    """One strip in a compression of `PACK`."""
    if predict:
        rows = np.concatenate([rows[:, :1], rows[:, 1:] - rows[:, :-1]], 1)
    return PACK[compression](np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder(order))))


PACK = {
    1: lambda rows: rows.tobytes(),
    5: lambda rows: imagecodecs.lzw_encode(rows.tobytes()),
    8: lambda rows: zlib.compress(rows.tobytes(), 6),
    32773: lambda rows: b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in rows),
    32946: lambda rows: zlib.compress(rows.tobytes(), 6),
    50000: lambda rows: imagecodecs.zstd_encode(rows.tobytes()),
}
