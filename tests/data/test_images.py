"""Pictures leave with everything they came with, and nothing wrong comes in."""

import dataclasses
import io
import os
import struct
import tracemalloc

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.data import samples
from wxjax import errors
from wxjax.data import images

EVERY = pytest.mark.parametrize("name", sorted(samples.ALL))
FORMATS = pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])


def picture(name: str) -> images.Picture:
    return images.decode(samples.ALL[name][0], name)


def written(one: images.Picture) -> images.Picture:
    """The picture encoded as if every pixel had changed, and read again."""
    return images.decode(images.encode(dataclasses.replace(one, changed=True)), one.name)


def from_pixels(pixels: np.ndarray) -> images.Picture:
    return images.decode(samples.png(pixels), "made.png")


def tags(data: bytes) -> dict:
    """What Pillow, a second reader, finds beside the pixels."""
    with Image.open(io.BytesIO(data)) as image:
        block = image.getexif()
        inner = {tag: dict(block.get_ifd(tag)) for tag in (0x8769, 0x8825)}
        outer = {tag: block.get(tag) for tag in (0x0110, 0x0112, 0x011A, 0x011B, 65000)}
        xmp = image.info.get("xmp", block.get(700))
        return {
            "icc": image.info.get("icc_profile"),
            "exif": (outer, inner),
            "xmp": xmp.encode() if isinstance(xmp, str) else xmp,
            "dpi": image.info.get("dpi"),
        }


@EVERY
def test_the_samples_read_are_the_samples_stored(name):
    _, truth, _ = samples.ALL[name]
    one = picture(name)
    assert one.pixels.shape[:2] == (samples.HEIGHT, samples.WIDTH)
    if truth is not None:
        assert one.pixels.dtype == truth.dtype
        np.testing.assert_array_equal(one.pixels, truth)


@EVERY
def test_identity_gives_every_byte_back(name):
    data, _, _ = samples.ALL[name]
    one = picture(name)
    assert images.encode(images.with_rgb(one, images.to_rgb(one))) == data


@EVERY
def test_a_picture_written_anew_keeps_pixels_depth_and_tags(name):
    data, _, tolerance = samples.ALL[name]
    one, again = picture(name), written(picture(name))
    assert (again.format, again.layout, again.size) == (one.format, one.layout, one.size)
    assert again.pixels.dtype == one.pixels.dtype
    if tolerance == 0:
        np.testing.assert_array_equal(again.pixels, one.pixels)
    np.testing.assert_allclose(again.pixels, one.pixels, atol=tolerance)
    fresh = images.encode(dataclasses.replace(one, changed=True))
    if "float" not in name and name != "12-rgb.tif":  # Pillow knows neither
        assert tags(fresh) == tags(data)


@EVERY
def test_changed_colours_arrive_and_alpha_stays(name):
    _, _, tolerance = samples.ALL[name]
    one = picture(name)
    wanted = images.to_rgb(one) * np.float32(0.7) + np.float32(0.1)
    changed = images.with_rgb(one, wanted)
    again = images.decode(images.encode(changed), name)
    if "alpha" in one.layout or "premultiplied" in one.layout:
        np.testing.assert_array_equal(again.pixels[..., -1], one.pixels[..., -1])
    if "float" in name:  # has a rule of its own, below
        return
    depth = 65535 if again.pixels.dtype == np.uint16 else 255
    weight = again.pixels[..., 3:] / depth if one.layout == "rgb+premultiplied" else 1
    steps = 2 * tolerance + (1.01 if one.layout == "cmyk" else 0.51)
    np.testing.assert_allclose(images.to_rgb(again) * weight, wanted * weight, atol=steps / depth)


@pytest.mark.parametrize("orientation", range(1, 9))
@FORMATS
def test_orientation_is_applied_once_and_alike_in_every_format(kind, orientation):
    data, stored = samples.turned(kind, orientation)
    one = images.decode(data, "turned")
    reference = Image.fromarray(np.arange(stored[..., 0].size, dtype=np.int32).reshape(
        stored.shape[:2]))  # fmt: skip
    reference.getexif()[0x0112] = orientation
    places = np.asarray(ImageOps.exif_transpose(reference))
    expected = stored.reshape(-1, 3)[places]
    np.testing.assert_array_equal(one.pixels, expected)
    out = images.encode(images.with_rgb(one, images.to_rgb(one)))
    if orientation == 1:
        assert out == data
    again = images.decode(out, "again")
    assert again.header.orientation == 1
    difference = np.abs(again.pixels.astype(float) - expected)
    assert difference.max() <= (8 if kind == "JPEG" else 0) and difference.mean() < 1
    found = tags(out)
    assert found["exif"][0][0x0112] == 1
    assert b'tiff:Orientation="1"' in found["xmp"]
    assert found["icc"] == samples.ICC
    if kind != "TIFF":  # the TIFF sample has no EXIF directory
        size = {tag: found["exif"][1][0x8769][tag] for tag in (0xA002, 0xA003)}
        assert (size[0xA002], size[0xA003]) == again.size
    assert found["exif"][0][0x011A] == (150 if orientation >= 5 else 300)


def test_exif_in_a_tiff_is_turned_with_the_picture():
    photo = Image.fromarray(samples.smooth(3))
    one = images.decode(samples.pillow(photo, "TIFF", 6), "six.tif")
    found = tags(images.encode(one))
    inner = found["exif"][1]
    assert (inner[0x8769][0xA002], inner[0x8769][0xA003]) == (samples.HEIGHT, samples.WIDTH)
    assert inner[0x8769][0x9003] == "2024:01:02 03:04:05" and inner[0x8825][1] == "N"


def test_a_jpeg_is_coded_again_with_its_own_tables_and_sampling():
    for name in ("coarse.jpg", "422.jpg", "444.jpg", "420.jpg", "progressive.jpg"):
        before = Image.open(io.BytesIO(samples.ALL[name][0]))
        fresh = images.encode(dataclasses.replace(picture(name), changed=True))
        after = Image.open(io.BytesIO(fresh))
        used = [before.quantization[part[3]] for part in before.layer]
        assert [after.quantization[part[3]] for part in after.layer] == used
        assert [part[1:3] for part in after.layer] == [part[1:3] for part in before.layer]
        assert after.info.get("progressive") == before.info.get("progressive")


def test_a_thumbnail_of_the_old_picture_is_left_out_with_a_notice():
    block = samples.exif().removeprefix(b"Exif\0\0")
    (count,) = struct.unpack_from(">H", block, 8)
    link = 10 + 12 * count
    body = (
        block[:link] + struct.pack(">I", len(block)) + block[link + 4 :] + struct.pack(">HI", 0, 0)
    )
    photo = Image.fromarray(samples.smooth(3))
    one = images.decode(samples.pillow(photo, "JPEG", exif=b"Exif\0\0" + body), "thumb.jpg")
    assert one.notices == ()
    changed = images.with_rgb(one, 1 - images.to_rgb(one))
    assert changed.notices == ("embedded preview left out: it showed the picture before",)
    assert images.decode(images.encode(changed)).header.costs == ()


def test_what_no_rule_knows_is_carried_over_as_bytes():
    data = bytearray(samples.ALL["420.jpg"][0])
    foreign = b"\xff\xed\x00\x10Photoshop 3.0\0" + b"\xff\xfe\x00\x09comment"
    data[2:2] = foreign
    for name, source in (("420.jpg", bytes(data)), ("8-rgb.png", samples.ALL["8-rgb.png"][0])):
        one = images.decode(source, name)
        fresh = images.encode(images.with_rgb(one, 1 - images.to_rgb(one)))
        assert (samples.chunk(b"prVt", b"private chunk") if "png" in name else foreign) in fresh
    assert dict(tags(samples.ALL["16-rgb.tif"][0])["exif"][0])[65000] == "private"


def test_rounding_is_half_up_at_the_depth_of_the_file():
    eight = images.with_rgb(
        from_pixels(np.zeros((1, 4, 3), np.uint8)),
        np.array([0.5, 0.49, 1.5, 300], np.float32)[None, :, None] / np.full(3, 255, np.float32),
    )
    np.testing.assert_array_equal(eight.pixels[0, :, 0], [1, 0, 2, 255])
    sixteen = images.with_rgb(
        from_pixels(np.zeros((1, 3, 3), np.uint16)),
        np.array([-1, 1.4, 256.6], np.float32)[None, :, None] / np.full(3, 65535, np.float32),
    )
    np.testing.assert_array_equal(sixteen.pixels[0, :, 0], [0, 1, 257])


def test_grey_stays_grey_by_the_mean_of_the_channels():
    one = from_pixels(np.full((1, 1, 1), 10, np.uint8))
    coloured = np.array([[[30, 60, 120]]], np.float32) / 255
    np.testing.assert_array_equal(images.with_rgb(one, coloured).pixels, [[[70]]])


def test_cmyk_keeps_black_where_the_colour_allows_it():
    one = picture("cmyk.tif")
    ink = np.zeros_like(one.pixels)
    ink[...] = (51, 102, 0, 51)  # C .2, M .4, Y 0, K .2 -> R .64, G .48, B .8
    one = dataclasses.replace(one, pixels=ink)
    np.testing.assert_allclose(images.to_rgb(one)[0, 0], [0.64, 0.48, 0.8], atol=1e-6)
    darker = np.broadcast_to(np.float32([0.32, 0.4, 0.8]), (*ink.shape[:2], 3))
    np.testing.assert_array_equal(images.with_rgb(one, darker).pixels[0, 0], [153, 128, 0, 51])
    brighter = np.broadcast_to(np.float32([1, 0.5, 0.5]), (*ink.shape[:2], 3))
    np.testing.assert_array_equal(images.with_rgb(one, brighter).pixels[0, 0], [0, 128, 128, 0])


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 4), st.tuples(*[st.floats(0, 1, width=32)] * 3))
def test_any_colour_can_be_said_in_cmyk(ink, colour):
    one = picture("cmyk.tif")
    pixels = np.broadcast_to(np.uint8(ink), one.pixels.shape)
    one = dataclasses.replace(one, pixels=np.ascontiguousarray(pixels))
    wanted = np.broadcast_to(np.float32(colour), (*pixels.shape[:2], 3))
    again = images.to_rgb(images.with_rgb(one, wanted))
    np.testing.assert_allclose(again, wanted, atol=1.01 / 255)


def test_an_unchanged_pixel_keeps_its_stored_value_beside_changed_ones():
    for name in ("float.tif", "16-premultiplied.tif", "cmyk.tif", "16-rgb.png"):
        one = picture(name)
        rgb = images.to_rgb(one)
        rgb[10:] = 1 - rgb[10:]
        changed = images.with_rgb(one, rgb)
        np.testing.assert_array_equal(changed.pixels[:10], one.pixels[:10])
        assert changed.changed and not np.array_equal(changed.pixels[10:], one.pixels[10:])


def test_float_samples_outside_the_range_keep_their_excess():
    one = picture("float.tif")
    rgb = images.to_rgb(one)
    y, x = np.argwhere(np.isfinite(one.pixels[..., 0]) & (one.pixels[..., 0] > 1.2))[0]
    rgb[y, x] -= np.float32(0.25)
    changed = images.with_rgb(one, rgb)
    low, high = one.span  # the least and the greatest value are black and white
    finite = one.pixels[np.isfinite(one.pixels)]
    assert (low, high) == (finite.min(), finite.max())
    expected = one.pixels[y, x, 0] - 0.25 * (high - low)
    np.testing.assert_allclose(changed.pixels[y, x, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_before_the_cast(value):
    one = picture("8-rgb.png")
    rgb = images.to_rgb(one)
    rgb[3, 4, 1] = value
    with pytest.raises(errors.InputError, match=r"'8-rgb.png': .* 1 values that are NaN or inf"):
        images.with_rgb(one, rgb)


def test_a_result_of_another_size_is_refused():
    with pytest.raises(errors.InputError, match=r"restored to \(2, 2, 3\), expected \(21, 34, 3\)"):
        images.with_rgb(picture("8-rgb.png"), np.zeros((2, 2, 3), np.float32))


def test_a_dark_16_bit_picture_is_not_taken_for_8_bit():
    one = picture("16-rgb-dark.png")
    assert one.pixels.dtype == np.uint16 and one.pixels.max() < 257
    assert images.to_rgb(one).max() < 0.004


def bomb(kind: str) -> bytes:
    side = 30_000
    if kind == "PNG":
        head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        parts = ((b"IHDR", head), (b"IDAT", b""), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(samples.chunk(*part) for part in parts)
    if kind == "JPEG":
        data = bytearray(samples.ALL["444.jpg"][0])
        at = data.index(b"\xff\xc0\x00\x11\x08")
        data[at + 5 : at + 9] = struct.pack(">HH", side, side)
        return bytes(data)
    if kind == "TIFF":
        data = bytearray(samples.ALL["8-rgb.tif"][0])
        with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
            places = [file.pages[0].tags[tag].valueoffset for tag in (256, 257, 278)]
        for at in places:
            struct.pack_into("<H", data, at, side)
        return bytes(data)
    extent = (side - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + extent * 2
    return b"RIFF" + struct.pack("<I", len(body)) + body


@FORMATS
def test_a_bomb_is_refused_by_its_header_before_memory_is_taken(kind):
    data = bomb(kind)
    assert len(data) < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(errors.InputError, match="30000x30000 is 900 megapixels, over .* 400"):
            images.decode(data, "bomb")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_the_pixel_limit_is_an_option():
    data, _, _ = samples.ALL["8-rgb.png"]
    assert images.decode(data, max_pixels=samples.HEIGHT * samples.WIDTH).size == (34, 21)
    with pytest.raises(errors.InputError, match="max_pixels"):
        images.decode(data, max_pixels=samples.HEIGHT * samples.WIDTH - 1)


@EVERY
def test_a_file_cut_anywhere_is_an_error_or_whole(name):
    data, _, _ = samples.ALL[name]
    whole = images.decode(data, name).pixels
    for cut in [*(len(data) * part // 16 for part in range(16)), len(data) - 1, len(data) - 2]:
        try:
            pixels = images.decode(data[:cut], name).pixels
        except errors.InputError as error:
            assert f"cannot read {name!r}" in str(error)
        else:
            np.testing.assert_array_equal(pixels, whole)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(samples.ALL)), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_flipped_byte_never_escapes_as_another_kind_of_error(name, place, flip):
    data = bytearray(samples.ALL[name][0])
    data[int(place * len(data))] ^= flip
    try:
        images.encode(dataclasses.replace(images.decode(bytes(data), name), changed=True))
    except errors.InputError as error:
        assert name in str(error)


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_flipped_byte_in_a_png_is_always_noticed(place, flip):
    data = bytearray(samples.ALL["16-rgb.png"][0])
    data[int(place * len(data))] ^= flip
    with pytest.raises(errors.InputError, match="cannot read"):
        images.decode(bytes(data), "flipped.png")


def test_text_an_empty_file_and_a_missing_one_are_named_in_one_line(tmp_path):
    text, empty, odd = (tmp_path / name for name in ("text.png", "empty.png", "pipe.png"))
    text.write_text("not a picture")
    empty.touch()
    os.mkfifo(odd)
    (tmp_path / "folder.png").mkdir()
    cases = {
        text: "not a picture of a kind read here",
        empty: "the file is empty",
        odd: "not a regular file",
        tmp_path / "folder.png": "not a regular file",
        tmp_path / "none.png": "No such file",
    }
    for path, reason in cases.items():
        with pytest.raises(errors.InputError) as caught:
            images.read(path)
        assert str(path) in str(caught.value) and reason in str(caught.value)
        assert "\n" not in str(caught.value)


@FORMATS
def test_a_single_pixel_is_a_picture(kind, tmp_path):
    path = tmp_path / "one"
    image = Image.fromarray(np.uint8([[[10, 200, 30]]]))
    path.write_bytes(samples.pillow(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    one = images.read(path)
    inverted = images.with_rgb(one, 1 - images.to_rgb(one))
    images.write(path, inverted)
    np.testing.assert_allclose(images.read(path).pixels, 255 - one.pixels, atol=3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "AVIF"])
def test_an_animation_is_refused_in_one_line(kind):
    first, second = (Image.new("RGB", (8, 6), colour) for colour in ("red", "blue"))
    out = io.BytesIO()
    first.save(out, kind, save_all=True, append_images=[second])
    with pytest.raises(errors.InputError, match="animated.*expected a still.*film") as caught:
        images.decode(out.getvalue(), "many")
    assert "\n" not in str(caught.value)


def test_strips_that_are_jpegs_are_seen_as_another_reader_sees_them():
    data = samples.ALL["jpeg.tif"][0]
    expected = tifffile.imread(io.BytesIO(data))
    np.testing.assert_array_equal(picture("jpeg.tif").pixels, expected)
    for options in ({"photometric": "rgb"}, {"photometric": "minisblack"}):
        pixels = samples.smooth(3 if options["photometric"] == "rgb" else 1)
        data = samples.tiff(pixels, compression="jpeg", tile=(16, 16), **options)
        seen = images.decode(data, "tiles.tif").pixels
        np.testing.assert_array_equal(seen.squeeze(), tifffile.imread(io.BytesIO(data)))


def test_a_depth_and_a_predictor_that_do_not_fit_are_refused():
    data = bytearray(samples.ALL["16-rgb-lzw.tif"][0])
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        at = file.pages[0].tags[258].valueoffset
    data[at : at + 6] = struct.pack("<HHH", 1, 1, 1)  # crashes the interpreter in tifffile
    with pytest.raises(errors.InputError, match="predictor 2 for 1-bit samples"):
        images.decode(bytes(data), "odd.tif")


def test_an_oddity_is_refused_in_words():
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((4, 4, 7), np.uint8), photometric="rgb", planarconfig="contig")
    with pytest.raises(errors.InputError, match="7 channels; expected at most one beside"):
        images.decode(out.getvalue(), "seven.tif")
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((4, 4), np.int32), metadata=None)
    with pytest.raises(errors.InputError, match="32-bit, format 2; expected 1 to 16-bit"):
        images.decode(out.getvalue(), "signed.tif")


def test_a_name_that_lies_about_the_format_is_noticed():
    one = images.decode(samples.ALL["444.jpg"][0], "photo.png")
    assert one.format == "JPEG" and one.notices == ("a JPEG in spite of its name",)


NAMES = [
    "with space.png",
    'it\'s "so".png',
    ";rm -rf *.png",
    "-leading.png",
    "new\nline.png",
    "n" * 251 + ".png",
    "é.png",
    "e\u0301.png",
    "😀.png",
    os.fsdecode(b"\xff\xfe.png"),
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_a_file_system_takes_is_read_and_written(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(samples.ALL["8-rgb.png"][0])
    images.write(path, dataclasses.replace(images.read(path), changed=True))
    np.testing.assert_array_equal(images.read(path).pixels, samples.smooth(3))
