"""Wide gamut, HDR and measured values: carried through a model and back, or refused in words."""

import dataclasses
import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data import more_samples, samples
from wxjax import errors
from wxjax.data import images, sources, spaces
from wxjax.data.formats import isobmff, png

P3 = spaces.of_numbers(12, 13)
ADOBE = imagecodecs.cms_profile("adobergb")
GREY = imagecodecs.cms_profile("gray", gamma=1.8)
PHOTO = samples.smooth(3)


def tagged(container: str, icc: bytes, pixels: np.ndarray = PHOTO) -> bytes:
    if container == "TIFF16":
        out = io.BytesIO()
        deep = pixels.astype(np.uint16) * 257
        tifffile.imwrite(out, deep, photometric="rgb", iccprofile=icc, metadata=None)
        return out.getvalue()
    if container == "PNG16":
        plain = samples.png(pixels.astype(np.uint16) * 257)
        old = samples.chunk(b"iCCP", b"icc\0\0" + zlib.compress(samples.ICC))
        return plain.replace(old, samples.chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc)))
    options = {"lossless": True} if container == "WEBP" else {"quality": 100}
    options |= {"subsampling": "4:4:4"} if container in ("JPEG", "AVIF") else {}
    return samples.pillow(Image.fromarray(pixels), container, icc_profile=icc, **options)


def reference(pixels: np.ndarray, icc: bytes) -> np.ndarray:
    """Another way to sRGB: Little CMS through Pillow, at 8 bits."""
    from PIL import ImageCms

    srgb = ImageCms.createProfile("sRGB")
    own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    made = ImageCms.profileToProfile(Image.fromarray(pixels), own, srgb, renderingIntent=1)
    return np.asarray(made) / 255


@pytest.mark.parametrize("container", ["JPEG", "PNG16", "TIFF16", "WEBP", "AVIF"])
@pytest.mark.parametrize("icc", [P3, ADOBE], ids=["p3", "adobe"])
def test_a_model_sees_srgb_and_the_file_keeps_its_own_colours(container, icc):
    one = images.decode(tagged(container, icc), "wide")
    assert one.space is not None and images.to_bytes(one) is None
    shown = images.to_rgb(one)
    apart = np.abs(shown - np.clip(reference(PHOTO, icc), 0, 1)) * 255
    assert apart.mean() < 1 and np.percentile(apart, 98) < 6
    assert images.encode(images.with_rgb(one, shown)) == one.source
    darker = images.with_rgb(one, shown * np.float32(0.8) + np.float32(0.05))
    fresh = images.decode(images.encode(darker), "fresh")
    assert fresh.space == one.space and fresh.pixels.dtype == one.pixels.dtype
    inside = ((shown > 0.004) & (shown < 0.996)).all(-1)
    lossy = 6 if container in ("JPEG", "AVIF") else 0.6
    bits = 65535 if fresh.pixels.dtype == np.uint16 else 255
    wanted = shown * 0.8 + 0.05
    apart = np.abs(images.to_rgb(fresh)[inside] - wanted[inside]) * bits
    assert apart.mean() < 1.2 * lossy + bits / 6e4 and np.percentile(apart, 98) < 5 * lossy + 13


def test_a_colour_that_srgb_cannot_show_keeps_its_saturation():
    red = np.zeros((4, 4, 3), np.uint8)
    red[...] = (255, 0, 0)
    one = images.decode(tagged("PNG16", P3, red), "red.png")
    shown = images.to_rgb(one)
    assert one.space.to_srgb(np.float32([[[1, 0, 0]]])).min() < -0.1 and shown.min() == 0
    slightly = shown - np.float32([0.004, 0, 0])
    fresh = images.with_rgb(one, slightly).pixels
    assert fresh[0, 0, 0] > 64000 and fresh[0, 0, 1:].max() < 200  # clipped first: (59000, 12000)


def test_grey_with_a_grey_profile_is_seen_and_written_by_it():
    grey = samples.smooth(1)
    data = samples.pillow(Image.fromarray(grey[..., 0]), "JPEG", icc_profile=GREY, quality=100)
    one = images.decode(data, "grey.jpg")
    unit = one.pixels / 255.0
    np.testing.assert_allclose(
        images.to_rgb(one), spaces.encode(unit**1.8).repeat(3, -1), atol=6e-3
    )
    half = images.with_rgb(one, images.to_rgb(one) * np.float32(0.5))
    linear = spaces.decode(images.to_rgb(one)[..., :1] * 0.5)
    np.testing.assert_allclose(half.pixels / 255, linear ** (1 / 1.8), atol=6e-3)


def chunked(*parts: tuple[bytes, bytes]) -> bytes:
    plain = png.encode(b"", samples.smooth(3, 65535, np.uint16), "rgb")
    return plain[:33] + b"".join(samples.chunk(*part) for part in parts) + plain[33:]


def test_numbers_and_gamma_of_a_png_are_colours_too():
    p3 = images.decode(chunked((b"cICP", bytes([12, 13, 0, 1]))), "p3.png")
    srgb = images.decode(chunked((b"cICP", bytes([1, 13, 0, 1]))), "srgb.png")
    usual = images.decode(chunked((b"gAMA", struct.pack(">I", 45455))), "usual.png")
    linear = images.decode(chunked((b"gAMA", struct.pack(">I", 100000))), "linear.png")
    assert p3.space is not None and srgb.space is None and usual.space is None
    unit = linear.pixels / 65535
    np.testing.assert_allclose(images.to_rgb(linear), spaces.encode(unit), atol=2e-3)
    fresh = png.chunks(images.encode(images.with_rgb(p3, images.to_rgb(p3) / 2)))
    assert (b"cICP", bytes([12, 13, 0, 1])) in fresh


def test_a_cameras_adobe_rgb_without_a_profile_is_known_by_its_mark():
    made = Image.Exif()
    made.get_ifd(0x8769)[0xA001] = 0xFFFF
    block = made.tobytes().removeprefix(b"Exif\0\0")
    at = len(block)
    inner = struct.pack(">H", 1) + struct.pack(">HHI4s", 1, 2, 4, b"R03\0") + bytes(4)
    # the Interoperability directory, linked from an EXIF directory written by hand
    tags = b"MM\0*" + struct.pack(">I", 8)
    tags += struct.pack(">HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)
    tags += struct.pack(">HHHII", 1, 0xA005, 4, 1, 44) + bytes(4) + inner
    assert at and len(tags) == 44 + len(inner)
    data = samples.pillow(Image.fromarray(PHOTO), "JPEG", icc_profile=None, exif=b"Exif\0\0" + tags)
    one = images.decode(data, "dcf.jpg")
    assert one.space is not None
    own = images.decode(tagged("JPEG", ADOBE), "adobe.jpg")
    assert np.abs(images.to_rgb(one) - images.to_rgb(own)).mean() < 3 / 255
    plain = images.decode(samples.pillow(Image.fromarray(PHOTO), "JPEG", icc_profile=None), "p")
    assert plain.space is None


def test_hdr_is_refused_in_one_line_by_numbers_and_by_profile():
    deep = samples.smooth(3, 1023, np.uint16)
    avif = imagecodecs.avif_encode(deep, level=90, bitspersample=10, primaries=9, transfer=16)
    for data, kind in (
        (avif, "PQ"),
        (chunked((b"cICP", bytes([9, 18, 0, 1]))), "HLG"),
        (chunked((b"cICP", bytes([12, 16, 0, 1]))), "PQ"),
        (chunked((b"iCCP", b"icc\0\0" + zlib.compress(hdr_profile(18)))), "HLG"),
    ):
        with pytest.raises(
            errors.InputError, match=rf"HDR \({kind}\); expected standard"
        ) as caught:
            images.decode(data, "hdr")
        assert "\n" not in str(caught.value)


def hdr_profile(transfer: int) -> bytes:
    """A profile whose only tag is the numbers."""
    head = bytearray(P3[:128])
    return (
        bytes(head)
        + struct.pack(">I4sII", 1, b"cicp", 144, 12)
        + b"cicp"
        + bytes(4)
        + bytes([9, transfer, 0, 1])
    )


def test_a_damaged_profile_is_kept_and_said():
    broken = ADOBE[:200] + bytes(100)
    one = images.decode(tagged("WEBP", broken), "broken.webp")
    assert one.space is None
    assert any("profile kept, not applied" in notice for notice in one.notices)
    fresh = images.encode(images.with_rgb(one, images.to_rgb(one) / 2))
    assert images.decode(fresh).notices == one.notices


def test_avif_keeps_its_numbers():
    data = imagecodecs.avif_encode(PHOTO, level=95, primaries=12, transfer=13)
    one = images.decode(data, "p3.avif")
    assert one.space is not None
    fresh = images.encode(images.with_rgb(one, images.to_rgb(one) / 2))
    assert isobmff.say(fresh).cicp[:2] == (12, 13)


def test_another_kind_gets_a_profile_or_srgb():
    one = images.decode(imagecodecs.avif_encode(PHOTO, level=95, primaries=12, transfer=13), "a")
    as_png = images.decode(images.encode(images.aimed(one, "PNG")), "p.png")
    assert as_png.space is not None
    np.testing.assert_allclose(images.to_rgb(as_png), images.to_rgb(one), atol=1e-3)
    as_bmp = images.aimed(one, "BMP")
    assert "colours converted to sRGB" in as_bmp.costs
    fresh = images.decode(images.encode(as_bmp), "p.bmp")
    np.testing.assert_allclose(images.to_rgb(fresh), images.to_rgb(one), atol=0.51 / 255)


def celsius(**options) -> bytes:
    y, x = np.mgrid[:48, :64]
    degrees = 20 + 15 * (0.5 + 0.5 * np.sin(x / 7) * np.cos(y / 5))
    out = io.BytesIO()
    tifffile.imwrite(out, degrees.astype(np.float32), **options)
    return out.getvalue()


def test_temperatures_are_seen_over_their_own_range_and_come_back():
    one = images.decode(celsius(), "celsius.tif")
    low, high = one.span
    assert (low, high) == (one.pixels.min(), one.pixels.max())
    shown = images.to_rgb(one)
    assert shown.min() == 0 and shown.max() == 1
    assert any("seen as 0 to 1, and scaled back" in notice for notice in one.notices)
    large = images.enlarged(one, shown.repeat(4, 0).repeat(4, 1), 4)
    np.testing.assert_allclose(large.pixels, one.pixels.repeat(4, 0).repeat(4, 1), atol=1e-4)
    fresh = images.decode(images.encode(large), "large.tif")
    np.testing.assert_array_equal(fresh.pixels, large.pixels)
    dim = images.with_rgb(one, shown * np.float32(0.5))
    np.testing.assert_allclose(dim.pixels, (one.pixels - low) / 2 + low, atol=1e-4)
    assert images.summary(dim)["range"] == [low, high]


def test_missing_data_stay_and_do_not_set_the_range():
    data = bytearray(celsius(extratags=[(42113, 2, 6, "-9999", True)]))
    one = images.decode(bytes(data), "nodata.tif")
    pixels = one.pixels.copy()
    pixels[:8, :8] = -9999
    one = dataclasses.replace(one, pixels=pixels)
    assert one.span[0] >= 20
    large = images.enlarged(one, (images.to_rgb(one) * 0.5).repeat(2, 0).repeat(2, 1), 2)
    assert (large.pixels[:16, :16] == -9999).all() and large.pixels[16:].min() >= 20
    changed = images.with_rgb(one, 1 - images.to_rgb(one))
    assert (changed.pixels[:8, :8] == -9999).all() and changed.pixels[8:].min() >= 19.9


def test_a_range_beyond_float_is_refused():
    one = images.decode(celsius(), "far.tif")
    one = dataclasses.replace(one, pixels=one.pixels * np.float32([[[1e30]]]))
    one.pixels[0, 0] = -3.4e38
    with pytest.raises(errors.InputError, match="mark for missing data"):
        images.to_rgb(one)


def test_pairs_of_measured_values_are_refused_for_their_scales_differ(tmp_path):
    (tmp_path / "t.tif").write_bytes(celsius())
    with pytest.raises(errors.InputError, match="expected values 0 to 1. Scale all of them alike"):
        sources.read_uint8(tmp_path / "t.tif")


def test_linear_light_is_seen_as_codes_and_highlights_stay():
    light = samples.smooth(3).astype(np.float32) / 255
    light[3, 3] = 40.0  # a lamp: one pixel of 714
    one = images.decode(more_samples.exr({"RGB": light}), "lamp.exr")
    low, high = one.span
    assert low == 0 and 1 <= high < 40
    shown = images.to_rgb(one)
    np.testing.assert_allclose(shown[10:], spaces.encode(light[10:] / high), atol=1e-6)
    changed = images.with_rgb(one, shown * np.float32(0.9))
    assert changed.pixels[3, 3].min() > 30
    inside = (light < high).all(-1)
    wanted = spaces.decode(shown * 0.9)[inside] * high
    np.testing.assert_allclose(changed.pixels[inside], wanted, atol=1e-5)
    large = images.enlarged(one, shown.repeat(4, 0).repeat(4, 1), 4)
    np.testing.assert_allclose(large.pixels, light.repeat(4, 0).repeat(4, 1), rtol=1e-3, atol=1e-4)
