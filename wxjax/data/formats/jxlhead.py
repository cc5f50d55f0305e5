"""The head of a JPEG XL codestream, bit by bit (ISO/IEC 18181-1, annex D).

No decoder at hand says the turn, the depth or the colours; the first bits do.
"""

from typing import NamedTuple

from wxjax.data.formats.container import Broken

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZES = ((1, 9), (1, 13), (1, 18), (1, 30))
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_GREY, _RGB, _XYB = 1, 0, 2
_CUSTOM = 2
_SPOT, _CFA, _ALPHA = 2, 5, 0


class Head(NamedTuple):
    """Size as shown before the turn, depth, colours; see the names.

    Attributes:
      icc: whether a profile, which only the decoder reads, says the colours.
      cicp: primaries and transfer in H.273's numbers; a gamma is transfer 2.
      lossless: whether samples are stored as they were, not as XYB.
      colours: where the bits that say the colours begin and end, from the first behind the
        signature; (0, 0) where there are none.
    """

    width: int
    height: int
    orientation: int
    bits: int
    floating: bool
    animated: bool
    grey: bool
    alpha: bool
    channels: int
    icc: bool
    cicp: tuple[int, int] | None
    lossless: bool
    colours: tuple[int, int] = (0, 0)
    extra: bool = False


class _Bits:
    def __init__(self, data: bytes):
        data = data[:4096]
        self._value, self._left, self.at = int.from_bytes(data, "little"), 8 * len(data), 0

    def take(self, count: int) -> int:
        if count > self._left:
            raise Broken("the file is cut off")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        self.at += count
        return value

    def flag(self) -> bool:
        return bool(self.take(1))

    def number(self, *choices: tuple[int, int]) -> int:
        """Two bits choose (least value, further bits)."""
        least, count = choices[self.take(2)]
        return least + self.take(count)

    def enum(self) -> int:
        return self.number(*_ENUM)


def read(stream: bytes) -> Head:
    """The head of a bare codestream; raises Broken."""
    if stream[:2] != b"\xff\x0a":
        raise Broken("no JPEG XL codestream")
    bits = _Bits(stream[2:])
    width, height = _size(bits)
    if bits.flag():  # all as by default: 8-bit sRGB, coded as XYB
        return Head(
            width, height, 1, 8, False, False, False, False, 0, False, (1, 13), lossless=False
        )
    orientation, animated = 1, False
    if extra := bits.flag():
        orientation = 1 + bits.take(3)
        if bits.flag():
            _size(bits)
        if bits.flag():
            _preview(bits)
        if animated := bits.flag():
            _animation(bits)
    depth, floating = _depth(bits)
    bits.flag()  # 16 bits suffice inside
    channels = bits.number((0, 0), (1, 0), (2, 4), (1, 12))
    alpha = any([_channel(bits) == _ALPHA for _ in range(channels)])
    xyb = bits.flag()
    start = bits.at
    icc, grey, cicp = _colours(bits)
    return Head(
        width, height, orientation, depth, floating, animated, grey, alpha, channels, icc, cicp,
        not xyb, (start, bits.at), extra,
    )  # fmt: skip


def colour_bits(stream: bytes) -> tuple[int, int]:
    """(value, count) of the bits that say the colours."""
    start, end = read(stream).colours
    value = int.from_bytes(stream[2:4098], "little") >> start
    return value & ((1 << (end - start)) - 1), end - start


# Transfer curve of sRGB, primaries and white of sRGB, relative intent: all as by default.
SRGB_BITS = (1, 1)
GREY_BITS = (14100, 15)  # the same for grey, spelt out


def with_colours(stream: bytes, new: tuple[int, int]) -> bytes:
    """A codestream whose samples, stored as they are, mean other colours.

    Raises Broken where what follows the colours is not as the encoder at hand writes it.
    """
    head = read(stream)
    start, end = head.colours
    whole = int.from_bytes(stream[2:4098], "little")
    if not end or head.icc:
        raise Broken("its colours cannot be said")
    # Tone mapping by default where there are extra fields, no extension, no transform.
    rest, count = (0b1001, 4) if head.extra else (0b100, 3)
    if whole >> end & ((1 << count) - 1) != rest:
        raise Broken("its colours cannot be said")
    value, size = new
    value = (whole & ((1 << start) - 1)) | value << start | rest << (start + size)
    behind = -(-(end + count) // 8)  # frames begin at a full byte
    head_bytes = -(-(start + size + count) // 8)
    return stream[:2] + value.to_bytes(head_bytes, "little") + stream[2 + behind :]


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()
    side = lambda: 8 * (bits.take(5) + 1) if small else bits.number(*_SIZES)
    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    over, under = _RATIOS[ratio - 1]
    return height * over // under, height


def _preview(bits: _Bits) -> None:
    small = bits.flag()
    sizes = (
        ((16, 0), (32, 0), (1, 5), (33, 9)) if small else ((1, 6), (65, 8), (321, 10), (1345, 12))
    )
    bits.number(*sizes)
    if not bits.take(3):
        bits.number(*sizes)


def _animation(bits: _Bits) -> None:
    bits.number((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.number((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.number((0, 0), (0, 3), (0, 16), (0, 32))
    bits.flag()


def _depth(bits: _Bits) -> tuple[int, bool]:
    if bits.flag():
        depth = bits.number((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
        return depth, True
    return bits.number((8, 0), (10, 0), (12, 0), (1, 6)), False


def _channel(bits: _Bits) -> int:
    if bits.flag():
        return _ALPHA
    kind = bits.enum()
    _depth(bits)
    bits.number((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.number((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.take(8)
    if kind == _ALPHA:
        bits.flag()
    elif kind == _SPOT:
        bits.take(64)
    elif kind == _CFA:
        bits.number((1, 0), (0, 2), (3, 4), (19, 8))
    return kind


def _colours(bits: _Bits) -> tuple[bool, bool, tuple[int, int] | None]:
    """(whether a profile follows, whether grey, the numbers)."""
    if bits.flag():
        return False, False, (1, 13)
    icc, space = bits.flag(), bits.enum()
    if icc or space == _XYB:
        return icc, space == _GREY, None
    primaries = 1
    if bits.enum() == _CUSTOM:
        _point(bits)
    if space != _GREY:
        primaries = {11: 12}.get(primaries := bits.enum(), primaries)
        for _ in range(3 if primaries == _CUSTOM else 0):
            _point(bits)
    if bits.flag():
        gamma = 1e7 / max(1, bits.take(24))
        transfer = 4 if abs(gamma - 2.2) < 0.01 else 2
    else:
        transfer = bits.enum()
    bits.enum()  # rendering intent
    return False, space == _GREY, (primaries, transfer)


def _point(bits: _Bits) -> None:
    for _ in range(2):
        bits.number((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
