"""Small pictures of every kind, made by encoders that wxjax does not write with."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description '
    b'tiff:Orientation="%d" dc:title="Nebel"/></x:xmpmeta><?xpacket end="w"?>'
)
HEIGHT, WIDTH = 21, 34


def exif(orientation: int = 1) -> bytes:
    """Camera, orientation, resolution, pixel size in the sub-directory, a GPS tag."""
    block = Image.Exif()
    block[0x0110] = "Kamera Ä"
    block[0x0112] = orientation
    block[0x011A], block[0x011B] = 300.0, 150.0
    block.get_ifd(0x8769)[0xA002] = WIDTH
    block.get_ifd(0x8769)[0xA003] = HEIGHT
    block.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    block.get_ifd(0x8825)[1] = "N"
    return block.tobytes()


def smooth(channels: int, top: int = 255, dtype=np.uint8) -> np.ndarray:
    """A gradient with a bright corner: asymmetric, and kind to JPEG. `[h w c]`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    planes = [(x / WIDTH * (i + 1) + y / HEIGHT * (channels - i)) / (channels + 1)
              for i in range(channels)]  # fmt: skip
    image = np.stack(planes, -1)
    image[:6, :10] *= 0.25
    return np.round(image * top).astype(dtype)


def pillow(image: Image.Image, kind: str, orientation: int = 1, **options) -> bytes:
    out = io.BytesIO()
    tags = {"icc_profile": ICC, "exif": exif(orientation)}
    if kind != "TIFF":
        tags["xmp"] = XMP % orientation
    if kind in ("JPEG", "PNG"):
        tags["dpi"] = (300, 150)
    image.save(out, kind, **(tags | options))
    return out.getvalue()


def png(pixels: np.ndarray, orientation: int = 1, extra: tuple = ()) -> bytes:
    """imagecodecs writes the pixels; the tags are spliced in as chunks."""
    plain = imagecodecs.png_encode(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % orientation
    parts = [
        (b"iCCP", b"icc\0\0" + zlib.compress(ICC)),
        (b"pHYs", struct.pack(">IIB", 11811, 5906, 1)),
        *extra,
        (b"eXIf", exif(orientation).removeprefix(b"Exif\0\0")),
        (b"iTXt", text),
        (b"prVt", b"private chunk"),
    ]
    return plain[:33] + b"".join(chunk(*part) for part in parts) + plain[33:]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def tiff(pixels: np.ndarray, orientation: int = 1, **options) -> bytes:
    out = io.BytesIO()
    packet = XMP % orientation
    tags = [
        (274, 3, 1, orientation, True),
        (34675, 7, len(ICC), ICC, True),
        (700, 1, len(packet), packet, True),
        (65000, 2, 8, "private", True),
    ]
    options = {"photometric": "rgb", "resolution": (300, 150)} | options
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    tifffile.imwrite(out, pixels, extratags=tags, metadata=None, **options)
    return out.getvalue()


def _all() -> dict[str, tuple[bytes, np.ndarray | None, int]]:
    """name -> (file, its samples as layout channels or None if lossy, JPEG-like tolerance)."""
    rgb8, rgb16 = smooth(3), smooth(3, 65535, np.uint16)
    one8, one16 = smooth(1), smooth(1, 65535, np.uint16)
    photo = Image.fromarray(rgb8)
    indexed = photo.quantize(13)
    colours = np.asarray(indexed.convert("RGB"))
    bits = (one8 > 100).astype(np.uint8) * 255
    four = one8 // 17 * 17
    premultiplied = (smooth(4, 65535, np.uint16) * np.array([0.5, 0.5, 0.5, 1])).astype(np.uint16)
    found = {
        "1.png": (pillow(Image.fromarray(bits[..., 0]).convert("1"), "PNG"), bits, 0),
        "16-grey.png": (png(one16), one16, 0),
        "8-grey.png": (png(one8), one8, 0),
        "8-grey-alpha.png": (png(smooth(2)), smooth(2), 0),
        "16-grey-alpha.png": (png(smooth(2, 65535, np.uint16)), smooth(2, 65535, np.uint16), 0),
        "8-rgb.png": (png(rgb8), rgb8, 0),
        "16-rgb.png": (png(rgb16), rgb16, 0),
        "16-rgb-dark.png": (png(rgb16 // 256), rgb16 // 256, 0),
        "8-rgba.png": (png(smooth(4)), smooth(4), 0),
        "16-rgba.png": (png(smooth(4, 65535, np.uint16)), smooth(4, 65535, np.uint16), 0),
        "palette.png": (pillow(indexed, "PNG"), colours, 0),
        "palette-4.png": (pillow(indexed, "PNG", bits=4), colours, 0),
        "4-grey.png": (grey4(four), four, 0),
        "interlaced.png": (adam7(rgb8), rgb8, 0),
        "8-grey.jpg": (pillow(Image.fromarray(one8[..., 0]), "JPEG"), None, 3),
        "444.jpg": (pillow(photo, "JPEG", quality=92, subsampling=0), None, 4),
        "422.jpg": (pillow(photo, "JPEG", quality=92, subsampling=1), None, 8),
        "420.jpg": (pillow(photo, "JPEG", quality=92, subsampling=2), None, 12),
        "progressive.jpg": (pillow(photo, "JPEG", quality=92, progressive=True), None, 12),
        "rgb-coded.jpg": (pillow(photo, "JPEG", quality=92, keep_rgb=True, dpi=(0, 0)), None, 4),
        "coarse.jpg": (pillow(photo, "JPEG", quality=30), None, 20),
        "cmyk.jpg": (pillow(photo.convert("CMYK"), "JPEG", quality=92), None, 5),
        "1.tif": (tiff(bits > 0, photometric="minisblack"), bits, 0),
        "8-grey.tif": (tiff(one8, photometric="minisblack"), one8, 0),
        "8-white-is-zero.tif": (tiff(one8, photometric="miniswhite"), 255 - one8, 0),
        "16-grey.tif": (tiff(one16, photometric="minisblack"), one16, 0),
        "8-rgb.tif": (tiff(rgb8), rgb8, 0),
        "16-rgb.tif": (tiff(rgb16), rgb16, 0),
        "16-rgb-lzw.tif": (tiff(rgb16, compression="lzw", predictor=True), rgb16, 0),
        "16-rgb-deflate-big-endian.tif": (
            tiff(rgb16, compression="zlib", predictor=True, byteorder=">"), rgb16, 0),
        "8-rgb-packbits.tif": (tiff(rgb8, compression="packbits"), rgb8, 0),
        "16-rgb-planes.tif": (
            tiff(np.moveaxis(rgb16, -1, 0), planarconfig="separate"), rgb16, 0),
        "16-rgb-tiles.tif": (tiff(rgb16, tile=(16, 16)), rgb16, 0),
        "16-rgb-big.tif": (tiff(rgb16, bigtiff=True), rgb16, 0),
        "16-rgb-zstd.tif": (tiff(rgb16, compression="zstd"), rgb16, 0),
        "16-rgba.tif": (
            tiff(smooth(4, 65535, np.uint16), extrasamples=["unassalpha"]),
            smooth(4, 65535, np.uint16), 0),
        "16-premultiplied.tif": (
            tiff(premultiplied, extrasamples=["assocalpha"]), premultiplied, 0),
        "cmyk.tif": (tiff(smooth(4), photometric="separated"), smooth(4), 0),
        "palette.tif": (pillow(indexed, "TIFF"), colours, 0),
        "float.tif": (tiff(strange()), strange(), 0),
        "8-rgb-exif.tif": (pillow(photo, "TIFF"), rgb8, 0),
        "jpeg.tif": (tiff(rgb8, photometric="ycbcr", compression="jpeg"), None, 0),
        "lossless.webp": (pillow(photo, "WEBP", lossless=True), rgb8, 0),
        "lossless-alpha.webp": (
            pillow(Image.fromarray(smooth(4)), "WEBP", lossless=True, exact=True), smooth(4), 0),
        "lossy.webp": (pillow(photo, "WEBP", quality=90), None, 12),
        "lossy-alpha.webp": (pillow(Image.fromarray(smooth(4)), "WEBP", quality=90), None, 12),
    }  # fmt: skip
    fax = Image.fromarray(bits[..., 0]).convert("1")
    for coding in ("group3", "group4", "tiff_ccitt"):
        found[f"{coding}.tif"] = (pillow(fax, "TIFF", compression=coding, exif=b""), bits, 0)
    twelve = smooth(3, 4095, np.uint16)
    widened = ((twelve.astype(np.uint32) * 65535 * 2 + 4095) // (2 * 4095)).astype(np.uint16)
    found["12-rgb.tif"] = (tiff(twelve, bitspersample=12), widened, 0)
    predicted = tiff(strange(), compression="zlib", predictor=True)
    found["float-predicted.tif"] = (predicted, strange(), 0)
    half = strange().astype(np.float16)
    found["float-16.tif"] = (tiff(half, byteorder=">"), half.astype(np.float32), 0)
    mirrored = np.frombuffer(imagecodecs.bitorder_encode(rgb8.tobytes()), np.uint8)
    unit, fill_order = struct.pack("<HHI", 296, 3, 1), struct.pack("<HHIH", 266, 3, 1, 2)
    low_bit_first = tiff(mirrored.reshape(rgb8.shape))
    at = low_bit_first.index(unit)  # tifffile writes no fill order: one tag becomes another
    low_bit_first = low_bit_first[:at] + fill_order + low_bit_first[at + 10 :]
    found["8-rgb-low-bit-first.tif"] = (low_bit_first, rgb8, 0)
    found["16-rgb-planes-tiles-predicted.tif"] = (
        tiff(np.moveaxis(rgb16, -1, 0), planarconfig="separate", tile=(16, 32),
             compression="lzw", predictor=True), rgb16, 0)  # fmt: skip
    found["palette-alpha.png"] = transparent_palette(indexed, colours)
    key = tuple(int(value) for value in rgb8[0, 0])
    alpha = np.where((rgb8 == key).all(-1, keepdims=True), 0, 255).astype(np.uint8)
    keyed = png(rgb8, extra=((b"tRNS", struct.pack(">HHH", *key)),))
    found["colour-key.png"] = (keyed, np.concatenate([rgb8, alpha], -1), 0)
    return found


def transparent_palette(indexed: Image.Image, colours: np.ndarray):
    alphas = bytes([0, 128, 255])
    index = np.asarray(indexed)
    alpha = np.where(index < 3, np.frombuffer(alphas, np.uint8)[np.minimum(index, 2)], 255)
    pixels = np.concatenate([colours, alpha[..., None].astype(np.uint8)], -1)
    return pillow(indexed, "PNG", transparency=alphas), pixels, 0


def strange() -> np.ndarray:
    """Float samples with negatives, values over 1, NaN and infinity."""
    pixels = (smooth(3).astype(np.float32) / 255 - 0.2) * 2
    pixels[0, 0], pixels[0, 1] = np.nan, np.inf
    return pixels


def grey4(pixels: np.ndarray) -> bytes:
    """A 4-bit grey PNG, packed by hand."""
    nibbles = pixels[..., 0] // 17
    rows = (nibbles[:, ::2] << 4) | nibbles[:, 1::2]
    return _png(4, 0, 0, b"".join(b"\0" + row.tobytes() for row in rows))


def adam7(pixels: np.ndarray) -> bytes:
    """An interlaced RGB PNG, its seven passes taken by hand."""
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4))
    passes += ((2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    raw = b""
    for top, down, left, across in passes:
        raw += b"".join(b"\0" + row.tobytes() for row in pixels[top::down, left::across])
    return _png(8, 2, 1, raw)


def _png(bits: int, colour: int, interlace: int, raw: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, interlace)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


ALL = _all()


def turned(kind: str, orientation: int) -> tuple[bytes, np.ndarray]:
    """A file with that orientation tag and its samples as stored."""
    rgb8, rgb16 = smooth(3), smooth(3, 65535, np.uint16)
    photo = Image.fromarray(rgb8)
    if kind == "PNG":
        return png(rgb16, orientation), rgb16
    if kind == "TIFF":
        return tiff(rgb16, orientation), rgb16
    if kind == "WEBP":
        return pillow(photo, "WEBP", orientation, lossless=True), rgb8
    data = pillow(photo, "JPEG", orientation, quality=95, subsampling=0)
    return data, np.asarray(Image.open(io.BytesIO(data)))
