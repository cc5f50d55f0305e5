"""What a file says of its pixels stays true when they change: kinds of fault, not one file each."""

import dataclasses
import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data import samples
from wxjax.data import images
from wxjax.data.formats import exif, jpeg, photoshop, png, settle, trailer
from wxjax.data.formats.container import Change

PHOTO = Image.fromarray(samples.smooth(3))
PREVIEW = "embedded preview left out: it showed the picture before"


def block(kind: int, value: int, order: str = "<", *, extra: tuple = ()) -> bytes:
    """An EXIF block with an orientation of a TIFF type, and more entries."""
    letter = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}[kind]
    entry = struct.pack(order + "HHI", 0x112, kind, 1) + struct.pack(order + letter, value).ljust(4)
    entries = [entry.replace(b" ", b"\0"), *extra]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(entries) + bytes(4)


def inverted(one: images.Picture) -> images.Picture:
    return images.with_rgb(one, 1 - images.to_rgb(one))


def larger(one: images.Picture, scale: int = 4) -> images.Picture:
    rgb = images.to_rgb(one)
    return images.enlarged(one, rgb.repeat(scale, 0).repeat(scale, 1), scale)


def jpeg_with(*segments: tuple[int, bytes], after: bytes = b"", **options) -> bytes:
    data = samples.pillow(PHOTO, "JPEG", **options)
    parts = b"".join(struct.pack(">BBH", 0xFF, m, len(b) + 2) + b for m, b in segments)
    return data[:2] + parts + data[2:] + after


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [1, 3, 4, 6, 8, 9])
@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_of_any_integer_type_is_reset_once(container, kind, order):
    tags = block(kind, 6, order)
    data = samples.pillow(PHOTO, container, exif=b"Exif\0\0" + tags, xmp=b"")
    one = images.decode(data, "six")
    assert one.header.orientation == 6 and one.size == (21, 34)
    fresh = images.encode(one)
    assert images.decode(fresh).header.orientation == 1
    with Image.open(io.BytesIO(fresh)) as seen:
        assert seen.getexif()[0x0112] == 1 and seen.size == (21, 34)


def test_an_orientation_that_stands_twice_is_reset_twice():
    twice = block(4, 6, extra=(struct.pack("<HHIHH", 0x112, 3, 1, 6, 0),))
    new = settle.block(twice, Change(6, 1, (21, 34)))
    shape, at = exif.first(new)
    found = [e for e in exif.directory(new, shape, at)[0] if e.tag == exif.ORIENTATION]
    assert len(found) == 2 and all(exif.number(e, shape) == 1 for e in found)


def test_an_orientation_in_imagemagicks_text_is_applied_and_moves_to_its_chunk():
    raw = b"Exif\0\0" + block(4, 6)
    text = b"\nexif\n" + b"%8d\n" % len(raw) + raw.hex().encode() + b"\n"
    body = b"Raw profile type exif\0\0" + zlib.compress(text)
    plain = png.encode(b"", samples.smooth(3), "rgb")
    data = plain[:33] + samples.chunk(b"zTXt", body) + plain[33:]
    one = images.decode(data, "magick.png")
    assert one.size == (21, 34)
    found = png.chunks(images.encode(one))
    names = [name for name, _ in found]
    assert b"zTXt" not in names and exif.orientation(dict(found)[b"eXIf"]) == 1


def test_the_software_tag_names_this_program_where_pixels_changed_only():
    for container, tag in (("JPEG", 0x0131), ("WEBP", 0x0131), ("TIFF", 0x0131)):
        for tags in (samples.exif(), b""):
            options = {"lossless": True} if container == "WEBP" else {}
            data = samples.pillow(PHOTO, container, exif=tags, **options)
            one = images.decode(data, "photo")
            with Image.open(io.BytesIO(images.encode(inverted(one)))) as seen:
                found = seen.getexif()
                assert found[tag] == settle.NAME.decode()
                assert not tags or found[0x0110].startswith("Kamera")
    data = samples.ALL["8-rgb.png"][0]
    with Image.open(io.BytesIO(images.encode(inverted(images.decode(data, "p.png"))))) as seen:
        assert seen.text["Software"] == settle.NAME.decode()


def test_a_camera_s_software_is_replaced_and_nothing_else_moves():
    made = Image.Exif()
    made[0x0131], made[0x010F], made[0x927C] = "firmware 1.0 of a camera", "Maker", b"notes"
    made[0x0112] = 8
    new = settle.block(made.tobytes(), Change(8, 1, (21, 34)))
    again = Image.Exif()
    again.load(new)
    assert again[0x0131] == settle.NAME.decode() and again[0x010F] == "Maker"
    assert again[0x0112] == 1


def test_chunks_that_depend_on_the_old_pixels_go_and_are_named():
    names = [b"iDOT", b"abCD", b"sPLT", b"abCd", b"prVt", b"caBX"]
    plain = samples.ALL["8-rgb.png"][0]
    at = plain.index(b"IDAT") - 4
    parts = b"".join(samples.chunk(name, b"body") for name in names)
    data = plain[:at] + parts + plain[at:]
    one = images.decode(data, "shot.png")
    assert images.encode(images.with_rgb(one, images.to_rgb(one))) == data
    changed = inverted(one)
    found = [name for name, _ in png.chunks(images.encode(changed))]
    assert not {b"iDOT", b"abCD", b"sPLT", b"caBX"} & set(found)
    assert {b"abCd", b"prVt", b"iCCP", b"eXIf", b"pHYs"} <= set(found)
    assert "chunks about the old pixels left out: abCD, caBX, iDOT, sPLT" in changed.costs


FILM = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(range(256)) * 40
CAMERA = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description GCamera:MicroVideo="1" '
    b'GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="%d" dc:title="Nebel"/></x:xmpmeta>'
)
DIRECTORY = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description hdrgm:Version="1.0" '
    b'GCamera:MotionPhoto="1" dc:title="Nebel"><Container:Directory><rdf:Seq>'
    b'<rdf:li><Container:Item Item:Mime="image/jpeg" Item:Semantic="Primary"/></rdf:li>'
    b'<rdf:li><Container:Item Item:Semantic="GainMap" Item:Length="%d"/></rdf:li>'
    b'<rdf:li><Container:Item Item:Semantic="MotionPhoto" Item:Length="%d"/></rdf:li>'
    b"</rdf:Seq></Container:Directory></rdf:Description></x:xmpmeta>"
)


def xmp_of(data: bytes) -> bytes:
    return jpeg.metadata(data).xmp


def test_the_film_of_a_motion_photo_stays_where_its_offset_says():
    data = jpeg_with(xmp=CAMERA % len(FILM), after=FILM)
    changed = inverted(images.decode(data, "MVIMG.jpg"))
    fresh = images.encode(changed)
    assert fresh.endswith(FILM) and b'MicroVideoOffset="%d"' % len(FILM) in fresh
    assert any("kept as they were" in notice for notice in changed.notices)
    assert not any("left out" in cost for cost in changed.costs)
    assert images.decode(fresh).pixels.shape == changed.pixels.shape


def test_a_gain_map_goes_with_the_words_that_announce_it_and_the_film_stays():
    small = samples.pillow(PHOTO.resize((17, 10)), "JPEG")
    mpf = (0xE2, b"MPF\0II*\0" + bytes(20))
    iso = (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")
    data = jpeg_with(mpf, iso, xmp=DIRECTORY % (len(small), len(FILM)), after=small + FILM)
    changed = inverted(images.decode(data, "ultra.jpg"))
    fresh = images.encode(changed)
    assert fresh.endswith(FILM) and small not in fresh and b"MPF\0" not in fresh
    assert b"21496" not in fresh
    assert b"hdrgm" not in fresh and b"GainMap" not in fresh and b'dc:title="Nebel"' in fresh
    assert b"MotionPhoto" in fresh and b'Item:Semantic="Primary"' in fresh
    assert any("gain map" in cost for cost in changed.costs)
    without = inverted(images.decode(jpeg_with(mpf, xmp=DIRECTORY % (9, 9), after=small), "u.jpg"))
    fresh = images.encode(without)
    assert b"MotionPhoto" not in fresh and b"Item:" not in fresh and b"Nebel" in fresh


def test_a_trailer_of_samsung_stays_and_one_of_unknown_kind_goes_and_is_said():
    samsung = b"MotionPhoto_Data" + FILM + b"SEFH" + bytes(20) + b"SEFT"
    for after, kept in ((samsung, True), (b"unknown" * 99, False), (bytes(512), None)):
        changed = inverted(images.decode(jpeg_with(xmp=b"", after=after), "trail.jpg"))
        fresh = images.encode(changed)
        assert fresh.endswith(after if kept else b"\xff\xd9")
        assert any("693 bytes behind" in cost for cost in changed.costs) == (kept is False)


def test_the_end_of_a_picture_is_found_behind_previews_and_further_scans():
    data = jpeg_with(progressive=True, after=b"rest")
    assert data[trailer.end(data, 2) :] == b"rest"
    preview = samples.pillow(PHOTO, "JPEG")
    data = jpeg_with((0xEF, preview), after=b"rest")
    assert data[trailer.end(data, 2) :] == b"rest"


def irb(number: int, body: bytes) -> bytes:
    head = b"8BIM" + struct.pack(">HHI", number, 0, len(body))
    return head + body + b"\0" * (len(body) % 2)


THUMB = samples.pillow(PHOTO, "JPEG")
RESOURCES = irb(1028, b"iptc of a press agency") + irb(1036, bytes(28) + THUMB) + irb(1033, b"old")


def test_photoshops_thumbnail_goes_and_iptc_stays_in_every_container():
    segment = (0xED, photoshop.SIGNATURE + RESOURCES)
    raw = b"\n8bim\n%8d\n" % len(RESOURCES) + RESOURCES.hex().encode() + b"\n"
    plain = samples.ALL["8-rgb.png"][0]
    text = samples.chunk(b"tEXt", b"Raw profile type 8bim\0" + raw)
    out = io.BytesIO()
    tag = [(34377, 1, len(RESOURCES), RESOURCES, True), (37724, 7, 6, b"layers", True)]
    tifffile.imwrite(out, samples.smooth(3), photometric="rgb", extratags=tag, metadata=None)
    for data in (jpeg_with(segment), plain[:33] + text + plain[33:], out.getvalue()):
        changed = inverted(images.decode(data, "ps"))
        fresh = images.encode(changed)
        wanted = b"iptc of a press agency"
        assert THUMB not in fresh and THUMB.hex().encode() not in fresh
        assert wanted in fresh or wanted.hex().encode() in fresh
        assert PREVIEW in changed.costs and b"layers" not in fresh
        assert PREVIEW not in inverted(images.decode(fresh, "again")).costs


def test_resources_over_several_segments_are_one_block():
    long = irb(1028, b"i" * 70_000) + irb(1036, bytes(28) + THUMB)
    mark = photoshop.SIGNATURE
    pieces = [(0xED, mark + long[at : at + 60_000]) for at in range(0, len(long), 60_000)]
    fresh = images.encode(inverted(images.decode(jpeg_with(*pieces), "ps.jpg")))
    assert not photoshop.has_thumbnail(jpeg._photoshop(jpeg.segments(fresh)))
    assert jpeg._photoshop(jpeg.segments(fresh)) == irb(1028, b"i" * 70_000)


def test_a_thumbnail_in_xmp_goes_and_credentials_go():
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description dc:title="Nebel"><xmp:Thumbnails>'
        b"<rdf:Alt><rdf:li xmpGImg:image='AAAA'/></rdf:Alt></xmp:Thumbnails></rdf:Description>"
        b"</x:xmpmeta>"
    )
    changed = inverted(images.decode(jpeg_with((0xEB, b"JP\0\1c2pa"), xmp=packet), "x.jpg"))
    fresh = images.encode(changed)
    assert b"Thumbnails" not in fresh and b"Nebel" in fresh and b"c2pa" not in fresh
    assert PREVIEW in changed.costs and any("credentials" in cost for cost in changed.costs)


def test_the_bytes_of_a_preview_leave_the_file():
    tags = samples.exif().removeprefix(b"Exif\0\0")
    count = struct.unpack_from(">H", tags, 8)[0]
    link, start = 10 + 12 * count, len(tags)
    second = struct.pack(">H", 2) + struct.pack(">HHII", 0x201, 4, 1, start + 30)
    second += struct.pack(">HHII", 0x202, 4, 1, len(THUMB)) + bytes(4)
    tags = tags[:link] + struct.pack(">I", start) + tags[link + 4 :] + second + THUMB
    fresh = settle.block(tags, Change())
    assert THUMB not in fresh and not exif.has_thumbnail(fresh)


def test_sizes_follow_an_enlargement_in_every_container():
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:ImageWidth="34" '
        b'exif:PixelYDimension="21"><exif:PixelXDimension>34</exif:PixelXDimension>'
        b"</rdf:Description></x:xmpmeta>"
    )
    for container in ("JPEG", "PNG", "WEBP"):
        for orientation in (1, 6):
            tags = samples.exif(orientation)
            data = samples.pillow(PHOTO, container, exif=tags, xmp=packet)
            if container == "PNG":
                text = samples.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
                data = data[:33] + text + data[33:]
            fresh = images.encode(larger(images.decode(data, "small")))
            with Image.open(io.BytesIO(fresh)) as seen:
                inner = seen.getexif().get_ifd(0x8769)
                assert seen.size == ((136, 84) if orientation == 1 else (84, 136))
                assert (inner[0xA002], inner[0xA003]) == seen.size
                assert seen.getexif()[0x011A] == (1200 if orientation == 1 else 600)
            w, h = (136, 84) if orientation == 1 else (84, 136)
            assert b'tiff:ImageWidth="%d"' % w in fresh
            assert b'PixelYDimension="%d"' % h in fresh and b"Dimension>%d<" % w in fresh


def geotiff(point: bool = False) -> bytes:
    keys = (1, 1, 0, 1, 1025, 0, 1, 2 if point else 1)
    matrix = (30.0, 0, 0, 5e5, 0, -30.0, 0, 4e6, 0, 0, 0, 0, 0, 0, 0, 1.0)
    polynomials = (-1.0, -1.0, 10.0, 20.0, 1, 2, 3, 11.0, 21.0, 1, 1, 1, *[0.5] * 80)
    tags = [
        (33550, 12, 3, (30.0, 30.0, 0.0), True),
        (33922, 12, 12, (0, 0, 0, 5e5, 4e6, 0, 10, 5, 0, 5e5 + 300, 4e6 - 150, 0), True),
        (34264, 12, 16, matrix, True),
        (34735, 3, 8, keys, True),
        (50844, 12, 92, polynomials, True),
    ]
    out = io.BytesIO()
    tifffile.imwrite(out, samples.smooth(1, 65535, np.uint16)[..., 0], extratags=tags)
    return out.getvalue()


@pytest.mark.parametrize("point", [False, True])
def test_a_geotiff_covers_the_same_ground_when_enlarged(point):
    fresh = images.encode(larger(images.decode(geotiff(point), "geo.tif")))
    with tifffile.TiffFile(io.BytesIO(fresh)) as file:
        page = file.pages[0]
        scale, ties, matrix, rpc = (page.tags[t].value for t in (33550, 33922, 34264, 50844))
        assert page.shape == (84, 136) and file.series[0].shape == (84, 136)
    assert scale == (7.5, 7.5, 0)
    shift = 1.5 if point else 0  # the middle of the first new pixel lies left of the old one's
    assert ties[:2] == (shift, shift) and ties[6:8] == (40 + shift, 20 + shift)
    new = np.array(matrix).reshape(4, 4)
    for old, at in (((0, 0), (shift, shift)), ((10, 5), (40 + shift, 20 + shift))):
        ground = (5e5 + 30 * old[0], 4e6 - 30 * old[1])
        np.testing.assert_allclose((new @ (*at, 0, 1))[:2], ground)
    assert rpc[2:4] == (41.5, 81.5) and rpc[7:9] == (44.0, 84.0)


def test_a_microscopes_sizes_follow_an_enlargement():
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org"><Pixels SizeX="34" '
        'SizeY="21" PhysicalSizeX="0.5" PhysicalSizeY="0.5"/></OME>'
    )
    out = io.BytesIO()
    tifffile.imwrite(out, samples.smooth(1)[..., 0], description=text, metadata=None)
    fresh = images.encode(larger(images.decode(out.getvalue(), "cell.tif")))
    with tifffile.TiffFile(io.BytesIO(fresh)) as file:
        found = file.pages[0].tags[270].value
    assert 'SizeX="136" SizeY="84" PhysicalSizeX="0.125"' in found


def test_a_place_in_the_picture_is_turned_and_enlarged_with_it():
    made = Image.Exif()
    made[0x0112] = 6
    made.get_ifd(0x8769)[0x9214] = (10, 5, 8, 2)
    one = images.decode(samples.pillow(PHOTO, "JPEG", exif=made.tobytes()), "six.jpg")
    for scale, expected in ((1, (15, 10, 2, 8)), (4, (60, 40, 8, 32))):
        found = larger(one, scale) if scale > 1 else one
        with Image.open(io.BytesIO(images.encode(found))) as seen:
            assert seen.getexif().get_ifd(0x8769)[0x9214] == expected


def test_a_jpeg_s_density_follows_turn_and_enlargement_and_an_aspect_does_not():
    for unit, expected in ((1, (1200, 600)), (0, (300, 150))):
        data = bytearray(samples.pillow(PHOTO, "JPEG"))
        at = data.index(b"JFIF\0")
        data[at + 7] = unit
        fresh = images.encode(larger(images.decode(bytes(data), "dpi.jpg")))
        at = fresh.index(b"JFIF\0")
        assert struct.unpack_from(">HH", fresh, at + 8) == expected


def test_unknown_parts_survive_and_a_change_can_be_undone():
    data = jpeg_with((0xEA, b"something of a maker"), (0xFE, b"a comment"))
    one = images.decode(data, "x.jpg")
    fresh = images.encode(dataclasses.replace(one, changed=True))
    assert b"something of a maker" in fresh and b"a comment" in fresh


def test_an_orientation_in_xmp_alone_was_never_applied_and_stays():
    data = samples.pillow(PHOTO, "JPEG", exif=b"", xmp=samples.XMP % 6)
    one = images.decode(data, "xmp.jpg")
    assert one.size == (34, 21)
    assert b'tiff:Orientation="6"' in images.encode(inverted(one))


@pytest.mark.parametrize("container", ["PNG", "WEBP"])
def test_bytes_behind_a_picture_go_and_are_said(container):
    options = {"lossless": True} if container == "WEBP" else {}
    data = samples.pillow(PHOTO, container, **options) + FILM
    changed = inverted(images.decode(data, "trail"))
    assert f"{len(FILM)} bytes behind the picture left out" in changed.costs
    assert FILM not in images.encode(changed)


def test_photoshops_thumbnail_inside_an_exif_block_goes():
    head = struct.pack("<HHI", 34377, 7, len(RESOURCES)) + struct.pack("<I", 38)
    tags = block(3, 1, extra=(head,)) + RESOURCES
    assert len(tags) == 38 + len(RESOURCES) and exif.has_thumbnail(tags)
    fresh = settle.block(tags, Change())
    assert THUMB not in fresh and b"iptc of a press agency" in fresh
    assert not exif.has_thumbnail(fresh)


def test_imagejs_pixel_size_follows_an_enlargement():
    out = io.BytesIO()
    tifffile.imwrite(out, samples.smooth(1)[..., 0], imagej=True, resolution=(2.0, 2.0),
                     metadata={"unit": "um"})  # fmt: skip
    fresh = images.encode(larger(images.decode(out.getvalue(), "cell.tif")))
    with tifffile.TiffFile(io.BytesIO(fresh)) as file:
        over, under = file.pages[0].tags[282].value
    assert over / under == 8.0


def test_a_turned_geotiff_loses_the_position_of_its_stored_rows_and_says_so():
    data = bytearray(geotiff())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        at = file.pages[0].tags[305].offset  # Software becomes an orientation
    data[at : at + 12] = struct.pack("<HHIHH", 274, 3, 1, 6, 0)
    one = images.decode(bytes(data), "turned.tif")
    assert one.size == (21, 34) and any("position on the ground" in cost for cost in one.costs)
    with tifffile.TiffFile(io.BytesIO(images.encode(one))) as file:
        assert 33550 not in file.pages[0].tags and file.pages[0].tags[274].value == 1
