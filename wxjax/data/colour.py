"""Which colour space a file's samples are in: profile, numbers, gamma, or a camera's mark."""

from wxjax.data import spaces
from wxjax.data.formats import exif, kinds, png, tiff
from wxjax.data.formats.container import Broken, Header, Layout
from wxjax.data.spaces import Space

_ADOBE_MARK = (exif.EXIF, exif.INTEROP, 1)  # "R03": Adobe RGB without a profile (DCF 2.0)


def profile(name: str, data: bytes, page: int = 0) -> bytes:
    """The ICC profile of a file, or one made of what else it says; empty where nothing does."""
    codec = kinds.NAMED[name].codec
    if codec is tiff:
        return tiff.profile(data, page)
    if codec is png:
        return png.profile(data)
    return codec.metadata(data).icc


def icc(name: str, data: bytes, header: Header, layout: Layout, page: int = 0) -> bytes:
    """The profile by which the samples are to be seen; empty where they are sRGB or untagged."""
    if header.linear:
        return b""
    if name == "PNG" and header.cicp:  # numbers come before a profile (PNG 3rd ed., 4.3)
        return spaces.of_numbers(*header.cicp)
    if found := profile(name, data, page):
        return found
    if header.cicp:
        return spaces.of_numbers(*header.cicp)
    if header.gamma:
        return spaces.of_gamma(*header.gamma, layout.startswith("grey"))
    if name in ("JPEG", "WebP", "AVIF", "HEIC"):
        mark = exif.text(kinds.NAMED[name].codec.metadata(data).exif, _ADOBE_MARK)
        if mark[:3] == b"R03":
            return spaces.of_gamma(563 / 256, spaces.D65, spaces.ADOBE)
    return b""


def space(
    name: str, data: bytes, header: Header, layout: Layout, page: int
) -> tuple[Space | None, str]:
    """The space of a file's samples, None where it is sRGB; and why a profile is not applied."""
    found = icc(name, data, header, layout, page)
    if layout == "cmyk":
        return None, "colour profile kept, not applied (CMYK)" if found[16:20] == b"CMYK" else ""
    grey = layout.startswith("grey") and found[16:20] == b"GRAY"
    return spaces.of_profile(found, grey)


def refuse_hdr(name: str, data: bytes, header: Header) -> None:
    """Raises Broken for PQ and HLG, whose white is no white: the network knows none such."""
    transfer = header.cicp[1] if header.cicp else spaces.hdr(profile(name, data))
    if transfer in spaces.HDR:
        raise Broken(
            f"HDR ({spaces.HDR[transfer]}); expected standard range. "
            "Convert it to SDR first (sRGB or Display P3)"
        )
