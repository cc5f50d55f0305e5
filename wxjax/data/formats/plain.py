"""Kinds without metadata to speak of: BMP, PPM, TGA, QOI; GIF and JPEG 2000 are read only."""

import io
import re
import struct
import warnings
from typing import Any

import imagecodecs
import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, Image, TgaImagePlugin

from wxjax.data.formats import isobmff
from wxjax.data.formats.avif import FILM, widened
from wxjax.data.formats.container import Broken, Change, Header, Layout, Metadata, Samples

_PNM = re.compile(rb"P([1-6])(?=[\s#])")
_JP2, _J2K = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_LAYOUTS: dict[int, Layout] = {1: "grey", 2: "grey+alpha", 3: "rgb", 4: "rgb+alpha"}
_UUID_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_UUID_EXIF = b"JpgTiffExif->JP2"


class _Plain:
    """What the kinds below share: no metadata, and an encoder of their own or none."""

    @staticmethod
    def metadata(data: bytes) -> Metadata:
        return Metadata()

    @classmethod
    def encode(cls, data: bytes, pixels: Samples, layout: Layout, change: Change) -> bytes:
        return cls.create(pixels, layout, Metadata())

    @staticmethod
    def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
        raise Broken("not written here")


def _pillow(plugin: Any, data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plugin(io.BytesIO(data))


def _samples(image: Image.Image) -> tuple[Samples, Layout]:
    """A Pillow image of at most 8 bits with its palette resolved."""
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels, _LAYOUTS[pixels.shape[2]]


def _saved(kind: str, pixels: Samples) -> bytes:
    out = io.BytesIO()
    shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(shown).save(out, kind)
    return out.getvalue()


class Bmp(_Plain):
    """Windows bitmaps; palettes and 16 bits a pixel are written as 24."""

    @staticmethod
    def header(data: bytes) -> Header:
        image = _pillow(BmpImagePlugin.BmpImageFile, data)
        bits = struct.unpack_from("<H", data, 28)[0] if len(data) > 30 else 24
        costs = ("palette written as 8-bit RGB",) if image.mode == "P" else ()
        mode = "8-bit palette" if image.mode == "P" else f"{bits} bits a pixel"
        return Header(*image.size, mode, 8, 1, (), costs)

    @staticmethod
    def decode(data: bytes) -> tuple[Samples, Layout]:
        image = _pillow(BmpImagePlugin.BmpImageFile, data)
        image.load()
        return _samples(image)

    @staticmethod
    def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
        return _saved("BMP", pixels)


class Tga(_Plain):
    """Truevision: recognised by its head and its ending, for it has no signature."""

    @staticmethod
    def recognise(data: bytes) -> bool:
        if len(data) < 26 or data[2] not in (1, 2, 3, 9, 10, 11) or data[1] > 1:
            return False
        width, height, bits, marks = struct.unpack_from("<HHBB", data, 12)
        if not width or not height or bits not in (8, 16, 24, 32) or marks & 0xC0:
            return False
        table = struct.unpack_from("<H", data, 5)[0] * -(-data[7] // 8)
        behind = len(data) - 18 - data[0] - table
        whole = width * height * bits // 8
        return behind >= whole if data[2] < 9 else behind * 128 * bits // 8 >= whole

    @staticmethod
    def header(data: bytes) -> Header:
        image = _pillow(TgaImagePlugin.TgaImageFile, data)
        costs = ("palette written as 8-bit RGB",) if image.mode == "P" else ()
        return Header(*image.size, f"{data[16]} bits a pixel", 8, 1, (), costs)

    @staticmethod
    def decode(data: bytes) -> tuple[Samples, Layout]:
        image = _pillow(TgaImagePlugin.TgaImageFile, data)
        image.load()
        return _samples(image)

    @staticmethod
    def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
        return _saved("TGA", pixels)


class Qoi(_Plain):
    """The Quite OK Image format; its mark of linear light is informative only, and kept."""

    @staticmethod
    def header(data: bytes) -> Header:
        if len(data) < 14:
            raise Broken("the file is cut off")
        width, height, channels = struct.unpack_from(">IIB", data, 4)
        if not width or not height or channels not in (3, 4):
            raise Broken(f"impossible header ({width}x{height}, {channels} channels)")
        if not data.endswith(b"\0" * 7 + b"\1"):
            raise Broken("the file is cut off")
        return Header(width, height, "8-bit RGB" + "+alpha" * (channels == 4), 8)

    @staticmethod
    def decode(data: bytes) -> tuple[Samples, Layout]:
        pixels = np.asarray(imagecodecs.qoi_decode(data))
        return pixels, _LAYOUTS[pixels.shape[2]]

    @classmethod
    def encode(cls, data: bytes, pixels: Samples, layout: Layout, change: Change) -> bytes:
        fresh = bytearray(cls.create(pixels, layout, Metadata()))
        fresh[13] = data[13]
        return bytes(fresh)

    @staticmethod
    def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
        if layout.startswith("grey"):
            pixels = np.concatenate([np.repeat(pixels[..., :1], 3, -1), pixels[..., 1:]], -1)
        return imagecodecs.qoi_encode(np.ascontiguousarray(pixels))


class Pnm(_Plain):
    """PBM, PGM and PPM, as text or bytes, of 1 to 16 bits (Netpbm's own pages)."""

    @staticmethod
    def recognise(data: bytes) -> bool:
        return bool(_PNM.match(data))

    @staticmethod
    def _head(data: bytes) -> tuple[int, int, int, int, int]:
        """Kind, width, height, greatest value, and where the samples begin."""
        kind, at, found = int(data[1:2]), 2, []
        while len(found) < (2 if kind in (1, 4) else 3):
            match = re.compile(rb"(?:\s|#[^\n]*\n)*(\d{1,9})").match(data, at)
            if match is None:
                raise Broken("the file is cut off")
            found.append(int(match[1]))
            at = match.end()
        width, height, most = (*found, 1)[:3]
        if not width or not height or not 0 < most < 65536:
            raise Broken(f"impossible header ({width}x{height}, up to {most})")
        return kind, width, height, most, at + 1

    @classmethod
    def header(cls, data: bytes) -> Header:
        kind, width, height, most, at = cls._head(data)
        bits = most.bit_length()
        values = width * height * (3 if kind in (3, 6) else 1)
        size = (
            -(-width // 8) * height if kind == 4 else values * (1 if kind < 4 or bits <= 8 else 2)
        )
        if at + size > len(data) + 1:
            raise Broken("the file is cut off")
        name = "RGB" if kind in (3, 6) else "grey"
        stored = 8 if most < 256 else 16
        odd = most not in (255, 65535)
        costs = (f"values up to {most} written as {stored}-bit",) if odd else ()
        return Header(width, height, f"{bits}-bit {name}", bits, 1, (), costs)

    @classmethod
    def decode(cls, data: bytes) -> tuple[Samples, Layout]:
        kind, width, height, most, at = cls._head(data)
        channels = 3 if kind in (3, 6) else 1
        count = width * height * channels
        if kind == 4:
            rows = np.frombuffer(data, np.uint8, -(-width // 8) * height, at).reshape(height, -1)
            pixels = 1 - np.unpackbits(rows, axis=1)[:, :width].astype(np.uint16)
        elif kind == 1:
            digits = np.frombuffer(re.sub(rb"[^01]", b"", data[at - 1 :]), np.uint8)[:count]
            pixels = 1 - (digits - 48).astype(np.uint16)
        elif kind < 4:
            words = re.sub(rb"#[^\n]*", b"", data[at - 1 :]).split()[:count]
            pixels = np.array([int(word) for word in words], np.int64)
        else:
            pixels = np.frombuffer(data, ">u2" if most > 255 else np.uint8, count, at)
        if pixels.size < count or int(pixels.max()) > most:
            raise Broken("fewer or larger values than its head says")
        full, stored = (255, np.uint8) if most < 256 else (65535, np.uint16)
        pixels = ((pixels.astype(np.uint64) * full * 2 + most) // (2 * most)).astype(stored)
        return pixels.reshape(height, width, channels), _LAYOUTS[channels]

    @staticmethod
    def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
        height, width, channels = pixels.shape
        most = 255 if pixels.dtype == np.uint8 else 65535
        head = f"P{6 if channels == 3 else 5}\n{width} {height}\n{most}\n".encode()
        return head + pixels.astype(">u2" if most > 255 else np.uint8).tobytes()


class Gif(_Plain):
    """A still GIF; an animated one is a film."""

    @staticmethod
    def header(data: bytes) -> Header:
        image: Any = _pillow(GifImagePlugin.GifImageFile, data)
        if image.n_frames > 1:
            raise Broken(f"animated ({image.n_frames} pictures); expected a still one. " + FILM)
        return Header(*image.size, "8-bit palette", 8, 1)

    @staticmethod
    def decode(data: bytes) -> tuple[Samples, Layout]:
        image = _pillow(GifImagePlugin.GifImageFile, data)
        image.load()
        return _samples(image)

    @staticmethod
    def metadata(data: bytes) -> Metadata:
        image = _pillow(GifImagePlugin.GifImageFile, data)
        return Metadata(lost=("comments left out",) if "comment" in image.info else ())


class Jpeg2000(_Plain):
    """JPEG 2000, bare or in its container, 1 to 16 bits without sign (ISO/IEC 15444-1)."""

    @staticmethod
    def _size(data: bytes) -> tuple[int, int, int, int]:
        """Width, height, channels, bits, from the codestream's first marker."""
        at = data.find(_J2K)
        if at < 0 or at + 42 > len(data):
            raise Broken("the file is cut off")
        x1, y1, x0, y0 = struct.unpack_from(">4I", data, at + 8)
        (channels,) = struct.unpack_from(">H", data, at + 40)
        depths = set(data[at + 42 : at + 42 + 3 * channels : 3])
        if len(depths) != 1 or max(depths) > 15:
            raise Broken("samples with a sign, of over 16 bits or of unlike depth")
        return x1 - x0, y1 - y0, channels, max(depths) + 1

    @classmethod
    def header(cls, data: bytes) -> Header:
        width, height, channels, bits = cls._size(data)
        if channels not in _LAYOUTS or width < 1 or height < 1:
            raise Broken(f"impossible header ({width}x{height}, {channels} channels)")
        kind, number = cls._colour(data)
        if kind == 1 and number not in (16, 17, 18):
            raise Broken(f"colour kind {number}; expected sRGB, grey or YCC")
        names = {1: "grey", 2: "grey+alpha", 3: "RGB", 4: "RGB+alpha"}
        return Header(width, height, f"{bits}-bit {names[channels]}", bits)

    @staticmethod
    def _boxes(data: bytes) -> list[isobmff.Box]:
        if not data.startswith(_JP2):
            return []
        try:
            return list(isobmff.boxes(data, 0, len(data)))
        except Broken:
            return []

    @classmethod
    def _colour(cls, data: bytes) -> tuple[int, int]:
        """(1, enumerated colour space), (2, 0) for a profile, (0, 0) where nothing is said."""
        for kind, a, b in cls._boxes(data):
            for inner, c, _ in isobmff.boxes(data, a, b) if kind == b"jp2h" else ():
                if inner == b"colr":
                    number = int.from_bytes(data[c + 3 : c + 7], "big")
                    return (1, number) if data[c] == 1 else (2, 0)
        return 0, 0

    @classmethod
    def metadata(cls, data: bytes) -> Metadata:
        found = {"exif": b"", "xmp": b"", "icc": b""}
        for kind, a, b in cls._boxes(data):
            if kind == b"uuid" and data[a : a + 16] == _UUID_XMP:
                found["xmp"] = data[a + 16 : b]
            if kind == b"uuid" and data[a : a + 16] == _UUID_EXIF:
                found["exif"] = data[a + 16 : b].removeprefix(b"Exif\0\0")
            for inner, c, d in isobmff.boxes(data, a, b) if kind == b"jp2h" else ():
                if inner == b"colr" and data[c] in (2, 3):
                    found["icc"] = data[c + 3 : d]
        return Metadata(**found)

    @classmethod
    def decode(cls, data: bytes) -> tuple[Samples, Layout]:
        bits = cls._size(data)[3]
        pixels = np.asarray(imagecodecs.jpeg2k_decode(data))
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        if bits > 8:
            return widened(pixels, bits) if bits < 16 else pixels, _LAYOUTS[pixels.shape[2]]
        if bits < 8:
            top = 2**bits - 1
            pixels = ((pixels.astype(np.uint32) * 510 + top) // (2 * top)).astype(np.uint8)
        return pixels, _LAYOUTS[pixels.shape[2]]
