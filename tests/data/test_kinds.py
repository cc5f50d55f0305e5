"""Every kind of picture: read as stored, written as itself or what stands for it."""

import dataclasses
import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data import more_samples, samples
from wxjax import errors
from wxjax.data import images, transfer
from wxjax.data.formats import kinds

EVERY = pytest.mark.parametrize("name", sorted(more_samples.ALL))
BOTH = samples.ALL | more_samples.ALL


def picture(name: str) -> images.Picture:
    return images.decode(BOTH[name][0], name)


def again(one: images.Picture) -> images.Picture:
    return images.decode(images.encode(dataclasses.replace(one, changed=True)), one.name)


@EVERY
def test_the_samples_read_are_the_samples_stored(name):
    _, truth, _ = more_samples.ALL[name]
    one = picture(name)
    assert sorted(one.size) == sorted((samples.WIDTH, samples.HEIGHT))
    if truth is not None:
        assert one.pixels.dtype == truth.dtype
        np.testing.assert_array_equal(one.pixels, truth)


@EVERY
def test_identity_gives_every_byte_back_or_every_pixel(name):
    data, _, tolerance = more_samples.ALL[name]
    one = picture(name)
    same = images.with_rgb(one, images.to_rgb(one))
    if one.written_as == one.format:
        assert images.encode(same) == data and not same.costs
        return
    fresh = images.decode(images.encode(same), "fresh")
    assert fresh.format == one.written_as
    assert any(f"{one.format} written as {fresh.format}" in cost for cost in same.costs)
    if name == "alpha.heic":
        assert "transparency laid over white" in same.costs
        return
    difference = np.abs(images.to_rgb(fresh) - images.to_rgb(one)).max()
    assert difference <= (tolerance + 6) / 255 if tolerance else difference == 0


@EVERY
def test_a_picture_written_anew_keeps_pixels_depth_and_layout(name):
    _, _, tolerance = more_samples.ALL[name]
    one = picture(name)
    if one.written_as != one.format:
        return
    fresh = again(one)
    assert (fresh.format, fresh.layout, fresh.size) == (one.format, one.layout, one.size)
    assert fresh.pixels.dtype == one.pixels.dtype
    np.testing.assert_allclose(fresh.pixels.astype(float), one.pixels, atol=tolerance)
    assert fresh.header.bits == (16 if name == "10.ppm" else one.header.bits)
    assert fresh.space == one.space


@EVERY
def test_changed_colours_arrive(name):
    _, _, tolerance = more_samples.ALL[name]
    one = picture(name)
    wanted = images.to_rgb(one) * np.float32(0.7) + np.float32(0.1)
    fresh = images.decode(images.encode(images.with_rgb(one, wanted)), name)
    if one.layout.endswith("premultiplied"):  # black where alpha is nothing
        return
    bits = 8 if fresh.pixels.dtype == np.uint8 else min(fresh.header.bits, 16)
    top = 2**bits - 1
    if one.format != fresh.format and fresh.layout != one.layout and "alpha" in one.layout:
        return  # laid over white
    if one.layout.startswith("grey") and one.pixels.dtype == np.float32:
        tolerance = 1
    steps = 2 * tolerance + 6 * (fresh.format == "JPEG" != one.format) + 0.51
    span = fresh.span if fresh.header.linear else (0, 1)
    if span == one.span or not one.header.linear:
        near = steps / top + 2e-3 * one.header.linear + 2e-4
        np.testing.assert_allclose(images.to_rgb(fresh), wanted, atol=near)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_is_turned_once(orientation):
    photo = Image.fromarray(samples.smooth(3))
    out = io.BytesIO()
    photo.save(out, "AVIF", quality=100, subsampling="4:4:4", exif=samples.exif(orientation))
    one = images.decode(out.getvalue(), "turned.avif")
    stored, _ = samples.turned("PNG", orientation)
    expected = images.to_rgb(images.decode(stored, "turned.png"))
    np.testing.assert_allclose(images.to_rgb(one), expected, atol=4 / 255)
    fresh = again(one)
    assert fresh.header.orientation == 1 and fresh.size == one.size
    with Image.open(io.BytesIO(images.encode(dataclasses.replace(one, changed=True)))) as seen:
        assert seen.size == one.size and seen.getexif().get(0x0112, 1) == 1


def test_a_heic_is_upright_and_its_metadata_go_into_the_jpeg():
    one = picture("turned.heic")
    assert one.size == (samples.HEIGHT, samples.WIDTH) and one.written_as == "JPEG"
    with Image.open(io.BytesIO(images.encode(one))) as seen:
        block = seen.getexif()
        assert seen.size == one.size and block[0x0112] == 1 and block[0x0110] == "Kamera"
        inner = block.get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003]) == one.size
        assert block[0x0131].startswith("wxjax ")
    assert "HEIC written as JPEG, quality 95" in one.costs


def test_a_deep_heic_says_what_eight_bits_lose_and_png_loses_nothing():
    one = picture("10.heic")
    assert one.pixels.dtype == np.uint16 and "10 bits written as 8" in one.costs
    deep = images.aimed(one, "PNG")
    fresh = images.decode(images.encode(deep), "deep.png")
    np.testing.assert_array_equal(fresh.pixels, one.pixels)
    assert not any("bits" in cost for cost in deep.costs)


WORDS = ["jpg", "png", "tif", "webp", "avif", "jxl", "exr", "bmp", "ppm", "qoi", "tga"]
SOURCES = ["8-rgb.png", "16-rgb.tif", "8-rgba.png", "16-grey-alpha.png", "cmyk.tif", "444.jpg",
           "float.tif", "float.exr", "alpha.exr", "16.jxl", "10.avif", "palette-alpha.png",
           "16-premultiplied.tif", "8-grey.tif"]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", SOURCES)
def test_any_kind_is_written_as_any_other(word, name):
    one = images.aimed(picture(name), transfer.target(word))
    fresh = images.decode(images.encode(dataclasses.replace(one, changed=True)), name)
    kind = kinds.NAMED[fresh.format]
    assert fresh.format == kinds.FORMATS[word] and fresh.size == one.size
    assert fresh.pixels.dtype in kind.depths and fresh.layout in kind.layouts
    assert fresh.header.orientation == 1
    deeper = {np.uint8: 1, np.uint16: 2, np.float32: 4}
    less = deeper[fresh.pixels.dtype.type] < deeper[one.pixels.dtype.type]
    said = " ".join(one.costs)
    assert not less or "written as" in said
    if "alpha" not in one.layout and "premultiplied" not in one.layout and "float" not in name:
        lossy = 14 if word in ("jpg", "webp", "avif", "jxl") else 1.01
        near = lossy / 255 if fresh.pixels.dtype == np.uint8 or lossy > 2 else 1e-3
        np.testing.assert_allclose(images.to_rgb(fresh), images.to_rgb(one), atol=near)


@pytest.mark.parametrize("word", ["png", "tif", "webp", "avif", "jxl"])
def test_another_kind_keeps_exif_and_xmp(word):
    one = images.aimed(picture("444.jpg"), transfer.target(word))
    tags = kinds.NAMED[one.written_as].codec.metadata(images.encode(one))
    block = Image.Exif()
    block.load(b"Exif\0\0" + tags.exif)
    assert block[0x0110].startswith("Kamera ")
    assert block.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
    assert block.get_ifd(0x8825)[1] == "N" and b'dc:title="Nebel"' in tags.xmp


def test_a_format_that_cannot_be_written_is_refused_with_the_choices():
    for word in ("heic", "gif", "jp2", "pngg"):
        with pytest.raises(errors.InputError, match="--format='" + word + "': expected one of"):
            transfer.target(word)


def pages(*arrays: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for array in arrays:
            writer.write(array, metadata=None, contiguous=False, **options)
    return out.getvalue()


def test_every_page_of_a_tiff_is_restored_at_its_own_depth():
    grey, deep = samples.smooth(1)[..., 0], samples.smooth(3, 65535, np.uint16)
    data = pages(grey, deep[:12], grey[::-1])
    one = images.decode(data, "pages.tif")
    assert len(one.more) == 2 and images.encode(one) == data
    new = [images.with_rgb(page, 1 - images.to_rgb(page)) for page in (one, *one.more)]
    fresh = images.encode(images.assemble(new[0], new[1:]))
    with tifffile.TiffFile(io.BytesIO(fresh)) as file:
        found = [page.asarray() for page in file.pages]
        assert all(page.tags[305].value.startswith("wxjax") for page in file.pages)
    np.testing.assert_array_equal(found[0], 255 - grey)
    np.testing.assert_array_equal(found[1], 65535 - deep[:12])
    np.testing.assert_array_equal(found[2], 255 - grey[::-1])
    with pytest.raises(errors.InputError, match="3 pages.*expected one"):
        images.single(one)
    with pytest.raises(errors.InputError, match="3 pages.*expected one for PNG"):
        images.encode(images.aimed(one, "PNG"))


def test_overviews_are_left_out_and_said_and_pages_count_against_the_limit():
    grey = samples.smooth(1)[..., 0]
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(grey, metadata=None)
        writer.write(grey[::2, ::2], metadata=None, subfiletype=1)
    one = images.decode(out.getvalue(), "overview.tif")
    assert not one.more and not one.costs
    half = images.with_rgb(one, images.to_rgb(one) / 2)
    assert "embedded previews left out: they showed the picture before" in half.costs
    assert len(tifffile.TiffFile(io.BytesIO(images.encode(half))).pages) == 1
    with pytest.raises(errors.InputError, match="on 3 pages is .*max_pixels"):
        images.decode(pages(grey, grey, grey), "pages.tif", max_pixels=2 * grey.size)


def test_pages_in_a_ring_end():
    data = bytearray(pages(samples.smooth(1)[..., 0], samples.smooth(1)[..., 0]))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        first, second = (page.offset for page in file.pages)
        count = int.from_bytes(data[second : second + 2], "little")
    data[second + 2 + 12 * count : second + 6 + 12 * count] = first.to_bytes(4, "little")
    with pytest.raises(errors.InputError, match="its pages are a ring"):
        images.decode(bytes(data), "ring.tif")


@EVERY
def test_a_file_cut_anywhere_is_an_error_or_close(name):
    data = more_samples.ALL[name][0]
    for cut in [*(len(data) * part // 12 for part in range(12)), len(data) - 1]:
        try:
            images.decode(data[:cut], name)
        except errors.InputError as error:
            assert f"cannot read {name!r}" in str(error) and "\n" not in str(error)


def test_the_kinds_agree_with_what_can_be_decoded():
    for kind in kinds.KINDS:
        named = [n for n in BOTH if "." + n.rsplit(".", 1)[1] in kind.suffixes]
        assert named and all(kinds.of(BOTH[n][0]) is kind for n in named), kind.name
        assert kind.writes in kinds.NAMED and kinds.NAMED[kind.writes].depths
    assert len(kinds.SUFFIXES) == sum(len(kind.suffixes) for kind in kinds.KINDS)


def test_a_16_bit_jpeg_xl_is_not_written_as_linear_light():
    one = images.aimed(picture("16-rgb.tif"), "JPEG XL")
    fresh = images.decode(images.encode(one), "fresh.jxl")
    np.testing.assert_array_equal(fresh.pixels, one.pixels)
    assert fresh.space is None and fresh.header.cicp == (1, 13)
    source = images.decode(imagecodecs.jpegxl_encode(one.pixels, lossless=True), "linear.jxl")
    assert source.space is not None  # the encoder's own mark for 16 bits: linear
