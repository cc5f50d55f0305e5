"""HEIC and HEIF, read only: no free encoder is at hand; metadata go into the kind written.

The decoder (libheif through pi-heif) turns and crops as the file says (ISO/IEC 23008-12).
"""

import io
from typing import Any

import numpy as np

from wxjax.data.formats import isobmff
from wxjax.data.formats.avif import FILM
from wxjax.data.formats.container import Broken, Header, Layout, Metadata, Samples

try:
    import pi_heif
except ImportError:  # no wheel for this machine
    pi_heif = None

AVAILABLE = pi_heif is not None
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}
_ALPHA = ("urn:mpeg:hevc:2015:auxid:1", "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")


def recognise(data: bytes) -> bool:
    found = set(isobmff.brands(data))
    return bool(found & _BRANDS) and not found & {b"avif", b"avis"}


def _open(data: bytes) -> Any:
    kinds = {kind for kind, _, _ in isobmff.boxes(data, 0, len(data))}
    if b"moov" in kinds:
        raise Broken("animated; expected a still picture. " + FILM)
    try:
        return pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    except (ValueError, EOFError, SyntaxError, RuntimeError) as error:
        raise Broken(f"damaged ({str(error).splitlines()[0].rstrip('.')})") from error


def header(data: bytes) -> Header:
    found = _open(data)
    width, height = found.size
    bits = int(found.info.get("bit_depth", 8))
    notices, costs = [], []
    if len(found) > 1:
        notices.append(f"holds {len(found)} pictures: the primary one only")
        costs.append("further pictures left out")
    kinds = {kind for kind, _, _ in isobmff.boxes(data, 0, len(data))}
    if b"mpvd" in kinds:
        costs.append("film of a motion photo left out")
    if any(kind not in _ALPHA for kind in isobmff.say(data).aux):
        costs.append("gain map or depth left out: of the picture before")
    mode = f"{bits}-bit {'grey' if found.mode.startswith('L') else 'RGB'}"
    mode += "+alpha" if "A" in found.mode or "a" in found.mode else ""
    numbers = isobmff.say(data).cicp
    cicp = numbers[:2] if numbers else None
    return Header(width, height, mode, bits, 1, tuple(notices), tuple(costs), None, cicp)


def decode(data: bytes) -> tuple[Samples, Layout]:
    """8-bit samples, or 10- and 12-bit ones stretched to 16; upright."""
    found = _open(data)
    try:
        pixels = np.array(found)  # a copy: the decoder's memory goes with `found`
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError) as error:
        raise Broken(f"damaged ({str(error).splitlines()[0].rstrip('.')})") from error
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.dtype == np.uint16 and not found.mode.startswith("L"):
        bits = int(found.info.get("bit_depth", 8))
        pixels = pixels >> (16 - bits)  # it fills up with zeros
        top = 2**bits - 1
        pixels = ((pixels.astype(np.uint32) * 65535 * 2 + top) // (2 * top)).astype(np.uint16)
    base = {1: "grey", 2: "grey+alpha", 3: "rgb", 4: "rgb+alpha"}[pixels.shape[2]]
    if found.mode.endswith("a") or found.premultiplied_alpha:
        base = base.replace("alpha", "premultiplied")
    layout: Any = base
    return pixels, layout


def metadata(data: bytes) -> Metadata:
    """EXIF, XMP and profile, for a file of another kind; its previews stay behind."""
    said = isobmff.say(data)
    return Metadata(said.exif, said.xmp, said.icc)
