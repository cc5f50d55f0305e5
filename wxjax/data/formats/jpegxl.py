"""JPEG XL: integers of 8 to 16 bits and floats; EXIF and XMP carried over in boxes.

What was stored without loss is written without loss, 8-bit sRGB at distance 0.5, and what
can be turned back into a JPEG as that JPEG, with its tables and profile (ISO/IEC 18181-2).
"""

import struct

import imagecodecs
import numpy as np

from wxjax.data.formats import isobmff, jpeg, jxlhead, settle
from wxjax.data.formats.avif import FILM, narrowed, widened
from wxjax.data.formats.container import Broken, Change, Header, Layout, Metadata, Samples

AVAILABLE = imagecodecs.JPEGXL.available
SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_BARE = b"\xff\x0a"
DISTANCE = 0.5
_OTHER = {b"jumb": "content credentials", b"jhgm": "gain map"}
_LINEAR = 8


def recognise(data: bytes) -> bool:
    return data.startswith((_BARE, SIGNATURE))


def _boxes(data: bytes) -> dict[bytes, bytes]:
    """The boxes by kind; a bare codestream is one of kind jxlc."""
    if data.startswith(_BARE):
        return {b"jxlc": data}
    found: dict[bytes, bytes] = {}
    for kind, a, b in isobmff.boxes(data, 0, len(data)):
        body = data[a:b]
        if kind == b"jxlp":
            found[b"jxlc"] = found.get(b"jxlc", b"") + body[4:]
        elif kind == b"brob":
            name, packed = body[:4], body[4:]
            if name in (b"Exif", b"xml "):
                body = imagecodecs.brotli_decode(packed)
            found.setdefault(name, body)
        else:
            found.setdefault(kind, body)
    return found


def _head(found: dict[bytes, bytes]) -> jxlhead.Head:
    if b"jxlc" not in found:
        raise Broken("the file is cut off")
    return jxlhead.read(found[b"jxlc"])


def _jpeg(data: bytes, found: dict[bytes, bytes]) -> bytes | None:
    """The JPEG that the file can be turned back into; None where it is none."""
    return bytes(imagecodecs.jpegxl_decode_jpeg(data)) if b"jbrd" in found else None


def header(data: bytes) -> Header:
    found = _boxes(data)
    head = _head(found)
    if (inner := _jpeg(data, found)) is not None:
        return jpeg.header(inner)
    if head.animated:
        raise Broken("animated; expected a still picture. " + FILM)
    if head.channels > int(head.alpha):
        raise Broken(f"{head.channels} extra channels; expected alpha alone")
    if head.bits > 16 and not head.floating:
        raise Broken(f"{head.bits}-bit samples; expected up to 16 bits or float")
    if head.icc:
        raise Broken("colours by an embedded profile, which the JPEG XL decoder does not give. "
                     "Save it with named colours (sRGB, Display P3), or as PNG")  # fmt: skip
    costs = [f"{text} left out" for kind, text in _OTHER.items() if kind in found]
    if settle.has_thumbnail(found.get(b"xml ", b"")):
        costs.append("embedded preview left out: it showed the picture before")
    depth = f"{head.bits}-bit" + (" float" if head.floating else "")
    mode = depth + (" grey" if head.grey else " RGB") + ("+alpha" if head.alpha else "")
    linear = head.floating and head.cicp is not None and head.cicp == (1, _LINEAR)
    return Header(
        head.width, head.height, mode, head.bits, head.orientation, (), tuple(costs), None,
        None if linear else head.cicp, linear,
    )  # fmt: skip


def decode(data: bytes) -> tuple[Samples, Layout]:
    """8-bit samples, 9- to 15-bit ones stretched to 16, floats at 32 bits."""
    found = _boxes(data)
    if (inner := _jpeg(data, found)) is not None:
        return jpeg.decode(inner)
    head = _head(found)
    pixels = np.asarray(imagecodecs.jpegxl_decode(data, keeporientation=True))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    if pixels.dtype == np.uint16 and head.bits < 16:
        pixels = widened(pixels, head.bits)
    layouts: dict[int, Layout] = {1: "grey", 2: "grey+alpha", 3: "rgb", 4: "rgb+alpha"}
    return pixels, layouts[pixels.shape[2]]


def metadata(data: bytes) -> Metadata:
    """EXIF and XMP of a JPEG XL, for a file of another kind."""
    found = _boxes(data)
    if (inner := _jpeg(data, found)) is not None:
        return jpeg.metadata(inner)
    block = found.get(b"Exif", b"")
    skip = 4 + int.from_bytes(block[:4], "big")
    return Metadata(block[skip:].removeprefix(b"Exif\0\0"), found.get(b"xml ", b""))


def encode(data: bytes, pixels: Samples, layout: Layout, change: Change) -> bytes:
    """A JPEG XL with these samples, of the depth and with the metadata of `data`."""
    found = _boxes(data)
    if (inner := _jpeg(data, found)) is not None:
        return bytes(imagecodecs.jpegxl_encode_jpeg(jpeg.encode(inner, pixels, layout, change)))
    head, said = _head(found), metadata(data)
    block = settle.block(said.exif, change) if said.exif else settle.blank()
    tags = Metadata(block, settle.xmp(said.xmp, change))
    colours = jxlhead.colour_bits(found[b"jxlc"]) if head.colours[1] else jxlhead.SRGB_BITS
    lossy = pixels.dtype == np.uint8 and head.cicp == (1, 13) and not head.lossless
    return _written(pixels, layout, tags, head.bits, None if lossy else colours)


def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
    """A JPEG XL with the metadata of a file of another kind."""
    lossy = pixels.dtype == np.uint8
    return _written(pixels, layout, tags, 16, None if lossy else jxlhead.SRGB_BITS)


def _written(
    pixels: Samples, layout: Layout, tags: Metadata, bits: int, colours: tuple[int, int] | None
) -> bytes:
    """Lossless with the bits that say the colours; lossy 8-bit sRGB where they are None."""
    options: dict = {"lossless": False, "distance": DISTANCE} if colours is None else {}
    options = options or {"lossless": True}
    if pixels.dtype == np.uint16:
        pixels = narrowed(pixels, bits) if bits < 16 else pixels
        options["bitspersample"] = bits
    shown = pixels[..., 0] if layout == "grey" else pixels
    stream = imagecodecs.jpegxl_encode(np.ascontiguousarray(shown), **options)
    stream = _boxes(bytes(stream))[b"jxlc"]
    grey = layout.startswith("grey")
    if colours is not None and not tags.linear:
        colours = jxlhead.GREY_BITS if grey and colours == jxlhead.SRGB_BITS else colours
        stream = jxlhead.with_colours(stream, colours)
    block = tags.exif.removeprefix(b"Exif\0\0")
    parts = [(b"ftyp", b"jxl \0\0\0\0jxl "), (b"jxll", b"\x0a")]
    parts += [(b"Exif", bytes(4) + block)] if block else []
    parts += [(b"xml ", tags.xmp)] if tags.xmp else []
    parts.append((b"jxlc", stream))
    return SIGNATURE + b"".join(
        struct.pack(">I4s", len(body) + 8, kind) + body for kind, body in parts
    )
