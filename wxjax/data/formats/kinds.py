"""The kinds of picture, in one table: how each is known, read and written.

Every command and data reader takes its list of readable endings from here, and
`docs/files.md` is made from it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from wxjax.data.formats import avif, exr, heic, jpeg, jpegxl, plain, png, tiff, webp
from wxjax.data.formats.container import Broken

EIGHT, SIXTEEN, FLOAT = np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)


class Kind(NamedTuple):
    """One kind of picture file.

    Attributes:
      name: as in records and messages.
      suffixes: its endings, the usual one first.
      known: whether a file is of this kind, by its bytes.
      codec: the module or class with header, decode, metadata, encode and create.
      writes: the kind that a restored picture is written as, unless --format says another.
      depths: what samples it can hold.
      layouts: what layouts it can hold.
      profile: whether it holds an ICC profile.
      how: how changed pixels are coded.
      kept, lost: of the metadata, in words.
    """

    name: str
    suffixes: tuple[str, ...]
    known: Callable[[bytes], bool]
    codec: Any
    writes: str
    depths: tuple[np.dtype, ...]
    layouts: tuple[str, ...]
    profile: bool
    how: str
    kept: str
    lost: str


_STRAIGHT = ("grey", "grey+alpha", "rgb", "rgb+alpha")
_EVERY = (*_STRAIGHT, "grey+premultiplied", "rgb+premultiplied", "cmyk")
_TAGS = "EXIF, XMP, ICC profile"
_PREVIEW = "previews"

_ALL = (
    Kind("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), lambda d: d.startswith(jpeg.SIGNATURE), jpeg,
         "JPEG", (EIGHT,), ("grey", "rgb", "cmyk"), True, "the source's own tables and sampling",
         _TAGS + ", IPTC, comments, density, the film of a motion photo",
         _PREVIEW + ", gain maps, further pictures, content credentials"),
    Kind("PNG", (".png",), lambda d: d.startswith(png.SIGNATURE), png, "PNG",
         (EIGHT, SIXTEEN), _STRAIGHT, True, "lossless",
         _TAGS + ", text, gAMA, cHRM, cICP, pHYs, chunks that are safe to copy",
         _PREVIEW + ", palettes, iDOT and chunks that are unsafe to copy"),
    Kind("TIFF", (".tif", ".tiff"), tiff.recognise, tiff, "TIFF",
         (EIGHT, SIXTEEN, FLOAT), _EVERY, True, "the source's compression, deflate for JPEG",
         _TAGS + ", IPTC, GeoTIFF, every tag not about the coding, every page",
         _PREVIEW + ", overviews, masks, Photoshop's layers, palettes, tiles"),
    Kind("WebP", (".webp",), webp.recognise, webp, "WebP",
         (EIGHT,), _STRAIGHT, True, "lossless where it was, else quality 95",
         _TAGS, _PREVIEW + ", other chunks"),
    Kind("AVIF", (".avif",), avif.recognise, avif, "AVIF",
         (EIGHT, SIXTEEN), _STRAIGHT, True, "8, 10 or 12 bits as it was, quality 95, full chroma",
         _TAGS + ", colour numbers (CICP)", _PREVIEW + ", gain maps, depth"),
    Kind("JPEG XL", (".jxl",), jpegxl.recognise, jpegxl, "JPEG XL",
         (EIGHT, SIXTEEN, FLOAT), _STRAIGHT, False,
         "lossless where it was; a JPEG inside by its own tables; else distance 0.5",
         "EXIF, XMP, named colours", _PREVIEW + ", gain maps, content credentials"),
    Kind("HEIC", (".heic", ".heif", ".hif"), heic.recognise, heic, "JPEG",
         (), (), True, "as JPEG of quality 95, 8 bits", _TAGS,
         "bits over 8 (kept with --format=png, tiff or avif), alpha, gain maps, depth, "
         "further pictures"),
    Kind("OpenEXR", (".exr",), exr.recognise, exr, "OpenEXR",
         (FLOAT,), ("grey", "grey+premultiplied", "rgb", "rgb+premultiplied"), False,
         "half or float as it was, ZIP in place of a lossy compression",
         "every attribute of the header", _PREVIEW + ", tiles"),
    Kind("JPEG 2000", (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
         lambda d: d.startswith((plain._JP2, plain._J2K)), plain.Jpeg2000, "PNG",
         (), (), True, "as PNG, lossless", _TAGS, "other boxes"),
    Kind("BMP", (".bmp", ".dib"), lambda d: d.startswith(b"BM"), plain.Bmp, "BMP",
         (EIGHT,), ("grey", "rgb", "rgb+alpha"), False, "lossless", "nothing beside the pixels",
         "palettes, resolution"),
    Kind("PNM", (".ppm", ".pgm", ".pbm", ".pnm"), plain.Pnm.recognise, plain.Pnm, "PNM",
         (EIGHT, SIXTEEN), ("grey", "rgb"), False, "lossless, as bytes",
         "nothing beside the pixels", "comments"),
    Kind("QOI", (".qoi",), lambda d: d.startswith(b"qoif"), plain.Qoi, "QOI",
         (EIGHT,), _STRAIGHT, False, "lossless", "nothing beside the pixels", "nothing"),
    Kind("GIF", (".gif",), lambda d: d.startswith((b"GIF87a", b"GIF89a")), plain.Gif, "PNG",
         (), (), False, "as PNG, lossless", "nothing beside the pixels",
         "comments; an animated one is refused"),
    Kind("TGA", (".tga",), plain.Tga.recognise, plain.Tga, "TGA",
         (EIGHT,), ("grey", "rgb", "rgb+alpha"), False, "lossless", "nothing beside the pixels",
         "palettes, the ending's notes"),
)  # fmt: skip
# A decoder that this machine has no wheel for takes its kind out of every list.
KINDS = tuple(kind for kind in _ALL if getattr(kind.codec, "AVAILABLE", True))
NAMED = {kind.name: kind for kind in KINDS}
SUFFIXES = {suffix: kind.name for kind in KINDS for suffix in kind.suffixes}
# The words that --format takes; several for one kind where people have several.
FORMATS = {suffix[1:]: kind.name for kind in KINDS if kind.depths for suffix in kind.suffixes}


def of(data: bytes) -> Kind:
    """The kind of a file by its bytes; raises Broken where it is none of the table."""
    if not data:
        raise Broken("the file is empty")
    found = next((kind for kind in KINDS if kind.known(data)), None)
    if found is None:
        raise Broken(f"not a picture of a kind read here ({', '.join(NAMED)})")
    return found


def note() -> str:
    """The readable endings, for messages."""
    return ", ".join(SUFFIXES)
