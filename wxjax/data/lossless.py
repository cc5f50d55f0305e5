"""Which films lost nothing to their codec."""

from typing import Any

LOSSLESS = frozenset(
    "ffv1 ffvhuff huffyuv hymt utvideo magicyuv lagarith rawvideo png apng qtrle v210 v210x r210 "
    "r10k v308 v408 v410 avrp zmbv fraps cllc sheervideo ylc bmp tiff dpx targa msrle zlib".split()
)

# Codecs of which every packet is one whole frame.
WHOLE = LOSSLESS | frozenset("prores dnxhd cfhd mjpeg dvvideo jpeg2000".split())


def exact_h264(context: Any) -> bool:
    """Whether an H.264 stream was encoded without loss, as its parameter set says."""
    data = bytes(context.extradata or b"")
    start = data.find(b"\x67\xf4")  # a sequence parameter set of profile 244
    if context.name != "h264" or start < 0:
        return False
    bits = "".join(f"{byte:08b}" for byte in data[start + 4 : start + 40])
    place = 0

    def number() -> int:
        nonlocal place
        zeros = bits.find("1", place) - place
        value = int(bits[place + zeros : place + 2 * zeros + 1] or "1", 2) - 1
        place += 2 * zeros + 1
        return value

    number()  # the set's own number
    chroma = number()
    place += chroma == 3  # 4:4:4 says whether its planes are apart
    number(), number()  # depths
    return bits[place : place + 1] == "1"
