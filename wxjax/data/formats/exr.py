"""OpenEXR: linear light in half or float, every attribute of the header carried over.

One part of scan lines or tiles with channels Y or R, G, B, and A beside them.
"""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from wxjax.data.formats.container import Broken, Change, Header, Layout, Metadata, Samples
from wxjax.data.formats.settle import NAME

try:
    import OpenEXR
except ImportError:  # no wheel for this machine
    OpenEXR = None

_LOCK = threading.Lock()
AVAILABLE = OpenEXR is not None
SIGNATURE = b"\x76\x2f\x31\x01"
_SHAPES = {  # channels -> layout, alpha premultiplied by the format's own rule
    "Y": ("grey", "Y"), "YA": ("grey+premultiplied", "YA"),
    "BGR": ("rgb", "RGB"), "ABGR": ("rgb+premultiplied", "RGBA"),
}  # fmt: skip
_REC709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
_OWN = {"channels", "dataWindow", "displayWindow", "tiles", "chunkCount", "preview", "type"}
_CHANNELS = b"channels\0chlist\0"
_PREVIEW = b"preview\0preview\0"


def recognise(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """What the library prints of damage, which is no line of this program's."""
    said = io.StringIO()
    with _LOCK, contextlib.redirect_stdout(said), open(os.devnull, "wb") as nowhere:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _open(data: bytes, *, head: bool) -> Any:
    try:
        with _quiet() as said:
            file = OpenEXR.File(io.BytesIO(data), separate_channels=True, header_only=head)
        if "Exception raised" in said.getvalue():
            reason = said.getvalue().strip().splitlines()[-1].partition(" - ")[2]
            raise Broken(f"damaged ({reason})")
    except Broken:
        raise
    except (RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise Broken(f"damaged ({reason})") from error
    if len(file.parts) != 1:
        raise Broken(f"{len(file.parts)} parts; expected one. Save the parts as files of their own")
    return file


def _key(names: Any) -> str:
    return "YA" if sorted(names) == ["A", "Y"] else "".join(sorted(names))


def _bits(data: bytes) -> int:
    """Depth of the channels by the header's own list; raises Broken for integers."""
    at = data.index(_CHANNELS) + len(_CHANNELS) + 4 if _CHANNELS in data else len(data)
    kinds = set()
    while at < len(data) and data[at]:
        at = data.index(b"\0", at) + 1
        kinds.add(int.from_bytes(data[at : at + 4], "little"))
        at += 16
    if not kinds <= {1, 2}:
        raise Broken("integer channels; expected half or float")
    return 16 if kinds == {1} else 32


def _names(found: dict) -> list[str]:
    return [getattr(channel, "name", channel) for channel in found["channels"]]


def header(data: bytes) -> Header:
    found = _open(data, head=True).header()
    names = _names(found)
    key = _key(names)
    if key not in _SHAPES:
        shown = ", ".join(sorted(names)[:8])
        raise Broken(f"channels {shown}; expected R, G, B or Y, with or without A")
    least, most = found["dataWindow"]
    width, height = (int(b - a + 1) for a, b in zip(least, most, strict=True))
    if width < 1 or height < 1 or width > 2**24 or height > 2**24:
        raise Broken(f"impossible header ({width}x{height})")
    bits = _bits(data)
    costs, notices = [], []
    if _PREVIEW in data[:65536]:
        costs.append("embedded preview left out: it showed the picture before")
    points = found.get("chromaticities")
    if points is not None and not np.allclose(np.ravel(points), _REC709, atol=2e-3):
        notices.append("primaries other than sRGB's: kept, not applied")
    mode = f"{bits}-bit float {'grey' if 'Y' in key else 'RGB'}" + "+alpha" * ("A" in key)
    return Header(
        width, height, mode, bits, 1, tuple(notices), tuple(costs), None, None, linear=True
    )


def decode(data: bytes) -> tuple[Samples, Layout]:
    """Linear light at 32 bits."""
    file = _open(data, head=False)
    found = file.channels()
    key = _key(found)
    layout, order = _SHAPES[key]
    planes = [np.asarray(found[name].pixels) for name in order]
    if len({plane.shape for plane in planes}) > 1:
        raise Broken("channels of unlike size (chroma subsampling)")
    answer: Any = layout
    return np.stack([plane.astype(np.float32) for plane in planes], -1), answer


def metadata(data: bytes) -> Metadata:
    """Nothing that other kinds hold but that the samples are linear."""
    return Metadata(lost=("EXR attributes left out",), linear=True)


def encode(data: bytes, pixels: Samples, layout: Layout, change: Change) -> bytes:
    """An EXR with these samples, of the depth and with the attributes of `data`."""
    found = dict(_open(data, head=True).header())
    kept = {name: value for name, value in found.items() if name not in _OWN}
    least, most = found["dataWindow"]
    kept |= _windows(found, least, most, change.scale)
    half = header(data).bits == 16
    return _written(pixels, layout, kept, half)


def _windows(found: dict, least: Any, most: Any, scale: int) -> dict:
    """Data and display window, each pixel `scale` pixels wide."""
    start = np.asarray(least) * scale
    end = (np.asarray(most) + 1) * scale - 1
    first, last = (np.asarray(part) for part in found["displayWindow"])
    pair = lambda a, b: (np.asarray(a, np.int32), np.asarray(b, np.int32))
    return {
        "dataWindow": pair(start, end),
        "displayWindow": pair(first * scale, (last + 1) * scale - 1),
    }


def create(pixels: Samples, layout: Layout, tags: Metadata) -> bytes:
    """An EXR of linear light at 32 bits."""
    return _written(pixels, layout, {}, half=False)


def _written(pixels: Samples, layout: Layout, attributes: dict, half: bool) -> bytes:
    key = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    kind = np.float16 if half else np.float32
    with np.errstate(over="ignore"):
        planes = {name: np.ascontiguousarray(pixels[..., i].astype(kind))
                  for i, name in enumerate(key)}  # fmt: skip
    head = {"compression": OpenEXR.ZIP_COMPRESSION, **attributes, "type": OpenEXR.scanlineimage}
    head["software"] = NAME.decode()
    lossy = {OpenEXR.B44_COMPRESSION, OpenEXR.B44A_COMPRESSION, OpenEXR.PXR24_COMPRESSION,
             OpenEXR.DWAA_COMPRESSION, OpenEXR.DWAB_COMPRESSION}  # fmt: skip
    if head["compression"] in lossy:
        head["compression"] = OpenEXR.ZIP_COMPRESSION
    out = io.BytesIO()
    try:
        OpenEXR.File(head, planes).write(out)
    except (RuntimeError, ValueError, TypeError) as error:
        raise Broken(str(error).splitlines()[0]) from error
    return out.getvalue()
