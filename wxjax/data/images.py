"""Pictures in and out with nothing lost but the weather.

What happens to each kind of file is in `docs/files.md`, made from the table in
`formats/kinds.py`; how samples are shown to a model and taken back is in `shown.py`.
A file whose pixels did not change is copied byte for byte, unless it has to be turned
upright or is written as another kind.
"""

import dataclasses
import functools
import os
import pathlib
import stat
import warnings
from collections.abc import Sequence

import numpy as np

from wxjax import errors, files
from wxjax.data import colour, shown, transfer
from wxjax.data.formats import kinds, tiff, webp
from wxjax.data.formats.container import Broken, Change, Header, Layout, Samples, turn
from wxjax.data.shown import enlarged as enlarged
from wxjax.data.shown import to_bytes as to_bytes
from wxjax.data.shown import to_rgb as to_rgb
from wxjax.data.shown import with_bytes as with_bytes
from wxjax.data.shown import with_rgb as with_rgb
from wxjax.data.spaces import Space

SUFFIXES = kinds.SUFFIXES
MAX_PIXELS = 400_000_000


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded file, or a page of one, upright, with the bytes it came from.

    Attributes:
      name: the file, for messages.
      format: a name of `formats/kinds.py`, by content, not by the file's name.
      header: what the file says of itself.
      pixels: `[h w c]` uint8, uint16 or float32, turned upright.
      layout: what the channels are.
      source: the whole file.
      changed: whether `pixels` differ from those in `source`.
      page: which page of the file it is.
      more: the further pages.
      scale: how many times as large as in `source` it is.
      drawn: the span that a model saw, where `pixels` are its answer.
      target: the kind to write, where it is not `format`.
    """

    name: str
    format: str
    header: Header
    pixels: Samples
    layout: Layout
    source: bytes
    changed: bool = False
    page: int = 0
    more: tuple["Picture", ...] = ()
    scale: int = 1
    drawn: tuple[float, float] | None = None
    target: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def written_as(self) -> str:
        """The kind that `encode` writes."""
        return self.target or kinds.NAMED[self.format].writes

    @property
    def copied(self) -> bool:
        """Whether writing copies the source byte for byte."""
        same = not self.changed and self.header.orientation == 1 and self.scale == 1
        return same and self.written_as == self.format and all(p.copied for p in self.more)

    @functools.cached_property
    def span(self) -> tuple[float, float]:
        """The stored values that a model sees as 0 and 1."""
        return self.drawn or shown.span(self)

    @functools.cached_property
    def _colours(self) -> tuple[Space | None, str]:
        return colour.space(self.format, self.source, self.header, self.layout, self.page)

    @property
    def space(self) -> Space | None:
        """The colour space, None where it is sRGB."""
        return self._colours[0]

    @property
    def change(self) -> Change:
        """What is new beside the colours."""
        return Change(self.header.orientation, self.scale, self.size)

    @functools.cached_property
    def costs(self) -> tuple[str, ...]:
        """What writing loses; nothing where the source is copied."""
        if self.copied:
            return ()
        pages = [cost for page in self.more for cost in page.header.costs]
        found = [*self.header.costs, *pages, *transfer.costs(self)]
        return tuple(dict.fromkeys(found))

    @property
    def notices(self) -> tuple[str, ...]:
        """What the reader of a record should know, losses included."""
        wrong = SUFFIXES.get(pathlib.PurePath(self.name).suffix.lower(), self.format)
        said = (f"a {self.format} in spite of its name",) if wrong != self.format else ()
        said += self.header.notices + (() if not self._colours[1] else (self._colours[1],))
        if self.span != (0.0, 1.0):
            low, high = self.span
            said += (f"values from {low:.6g} to {high:.6g} seen as 0 to 1, and scaled back",)
        return said + self.costs


def read(path: os.PathLike | str, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decodes a picture of any kind in `formats/kinds.py` and turns it upright.

    Raises:
      InputError: naming the file, where it is missing, no regular file, of no known kind,
        animated, in HDR, cut off, corrupted, or larger than `max_pixels` by its header
        (nothing is allocated then).
    """
    return decode(load(path), os.fspath(path), max_pixels=max_pixels)


def load(path: os.PathLike | str) -> bytes:
    """A regular file's bytes; InputError where there is none (a pipe would block for ever)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise errors.InputError(f"cannot read {str(path)!r}: not a regular file.")
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise files.explain(error, path, "read") from error


def decode(data: bytes, name: str = "picture", *, max_pixels: int = MAX_PIXELS) -> Picture:
    """As `read`, for bytes at hand; `name` is for messages."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(data, name, max_pixels)
    except (Broken, errors.InputError) as error:
        raise errors.InputError(f"cannot read {name!r}: {str(error).rstrip('.')}.") from error
    except MemoryError as error:
        raise errors.InputError(f"cannot read {name!r}: it does not fit in memory.") from error
    except Exception as error:  # decoders raise what they like on damaged bytes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise errors.InputError(f"cannot read {name!r}: damaged ({reason}).") from error


def _decoded(data: bytes, name: str, max_pixels: int) -> Picture:
    kind = kinds.of(data)
    pages = tiff.count(data) if kind.codec is tiff else 1
    heads = [tiff.header(data, i) if kind.codec is tiff else kind.codec.header(data)
             for i in range(pages)]  # fmt: skip
    total = sum(head.width * head.height for head in heads)
    if total > max_pixels:
        size = f"{heads[0].width}x{heads[0].height}" + (f" on {pages} pages" if pages > 1 else "")
        raise Broken(
            f"{size} is {total / 1e6:.0f} megapixels, over the limit of "
            f"{max_pixels / 1e6:.0f} (max_pixels, --max-pixels on the command line)"
        )
    found = []
    for page, head in enumerate(heads):
        colour.refuse_hdr(kind.name, data, head)
        pixels, layout = tiff.decode(data, page) if kind.codec is tiff else kind.codec.decode(data)
        if pixels.shape[:2] != (head.height, head.width):
            raise Broken("its header and its pixels disagree about the size")
        upright = turn(pixels, head.orientation)
        found.append(Picture(name, kind.name, head, upright, layout, data, page=page))
    return dataclasses.replace(found[0], more=tuple(found[1:]))


def single(picture: Picture) -> Picture:
    """The picture itself; InputError where the file holds several pages.

    For readers that take one picture a file: the others are not left out in silence.
    """
    if picture.more:
        pages = len(picture.more) + 1
        cure = "Save its pages as files of their own."
        raise errors.bad(repr(picture.name), f"{pages} pages", "expected one", cure)
    return picture


def header(path: os.PathLike | str) -> Header:
    """What a file says of itself; no pixel is decoded. Raises InputError as `read`."""
    return _header(load(path), os.fspath(path))


def _header(data: bytes, name: str) -> Header:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kinds.of(data).codec.header(data)
    except Broken as error:
        raise errors.InputError(f"cannot read {name!r}: {str(error).rstrip('.')}.") from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise errors.InputError(f"cannot read {name!r}: damaged ({reason}).") from error


def size(path: os.PathLike | str) -> tuple[int, int]:
    """Width and height, upright, by the header."""
    found = header(path)
    turned = found.orientation in (5, 6, 7, 8)
    return (found.height, found.width) if turned else (found.width, found.height)


def eight_bits(path: os.PathLike | str) -> bool:
    """Whether `to_bytes` will find the picture's own bytes fit for a model."""
    data = load(path)
    found = _header(data, os.fspath(path))
    fits = found.mode == "8-bit RGB"
    return fits and colour.space(kinds.of(data).name, data, found, "rgb", 0)[0] is None


def assemble(first: Picture, more: Sequence[Picture]) -> Picture:
    """The pages of one file, each restored by itself, as one picture again."""
    return dataclasses.replace(first, more=tuple(more))


def encode(picture: Picture) -> bytes:
    """The file's bytes: the source itself where nothing changed, else anew.

    Raises:
      InputError: where the kind to write cannot hold the picture.
    """
    if picture.copied:
        return picture.source
    codec = kinds.NAMED[picture.format].codec
    try:
        if picture.written_as != picture.format:
            return transfer.encode(picture)
        if codec is tiff:
            pages = [(p.pixels, p.layout, p.change) for p in (picture, *picture.more)]
            return tiff.encode_pages(picture.source, pages)
        given = picture.source, picture.pixels, picture.layout, picture.change
        if codec is webp:
            return webp.encode(*given, changed=picture.changed)
        return codec.encode(*given)
    except (Broken, OSError, MemoryError, ValueError, OverflowError) as error:
        raise errors.InputError(f"cannot encode {picture.name!r}: {error}.") from error


def write(path: os.PathLike | str, picture: Picture) -> pathlib.Path:
    """Writes the picture under its final name only when complete; raises InputError.

    Returns:
      The name: `path`, with another ending where a kind is read here and not written.
    """
    path = pathlib.Path(path)
    if picture.written_as != picture.format and not picture.target:
        path = path.with_suffix(kinds.NAMED[picture.written_as].suffixes[0])
    files.write_bytes(path, encode(picture))
    return path


def aimed(picture: Picture, target: str) -> Picture:
    """The picture to be written as a kind of `formats/kinds.py`; its own where it is empty."""
    return dataclasses.replace(picture, target=target)


def summary(picture: Picture) -> dict:
    """The file's side of a record: format, stored mode, depth, size, notices."""
    width, height = picture.size
    return {
        "format": picture.format,
        "written_as": picture.written_as,
        "mode": picture.header.mode,
        "bits": picture.header.bits,
        "pages": 1 + len(picture.more),
        "width": width,
        "height": height,
        "orientation_applied": picture.header.orientation,
        "converted_to_srgb": picture.space is not None,
        "range": list(picture.span) if picture.pixels.dtype == np.float32 else None,
        "copied": picture.copied,
        "notices": list(picture.notices),
    }
