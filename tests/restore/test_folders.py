"""Folders: what is read, what is left out and said, and how outputs are named."""

import io
import json
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data import heic, more_samples, samples
from wxjax import errors
from wxjax.data import images, layouts, passed
from wxjax.data.formats.kinds import SUFFIXES
from wxjax.restore import listing, photo
from wxjax.systems.irsr.data import frames
from wxjax.systems.reid.data import gallery

BOTH = samples.ALL | more_samples.ALL


def put(folder, **named):
    for name, data in named.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def holiday(folder):
    photograph = samples.ALL["444.jpg"][0]
    put(folder, a_jpg=photograph, b_bmp=BOTH["24.bmp"][0], c_gif=BOTH["still.gif"][0],
        sub__d_avif=BOTH["8.avif"][0], IMG_HEIC=heic.EIGHT, IMG2_DNG=b"II*\0" + bytes(64),
        old_psd=b"8BPS", sub__b_cr2=b"II", notes_txt=b"x", a_xmp=b"x", Thumbs_db=b"x")  # fmt: skip
    (folder / "._a.jpg").write_bytes(b"x")
    (folder / "README").write_bytes(b"x")
    (folder / "sub" / "link").symlink_to(folder)


def run(*words, cwd):
    command = [sys.executable, "-m", "wxjax.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_the_command_reads_every_kind_and_names_once_what_it_leaves_out(tmp_path):
    holiday(tmp_path / "holiday")
    done = run("restore", "holiday", "--model=identity", "--out=o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = sorted(str(p.relative_to(tmp_path / "o")) for p in (tmp_path / "o").rglob("*.*")
                   if p.is_file() and p.suffix != ".json")  # fmt: skip
    assert names == ["IMG.jpg", "a.jpg", "b.bmp", "c.png", "sub/d.avif"]
    wanted = "left out: 1 .cr2, 1 .dng, 1 .psd, 1 linked folder, 1 without ending (not read here)"
    assert done.stderr.count("left out: ") == 1 and wanted in done.stderr
    assert "lost: HEIC written as JPEG, quality 95" in done.stderr
    assert "5 restored, 0 were up to date, 0 failed" in done.stderr


def test_a_format_and_a_limit_on_the_command_line(tmp_path):
    put(tmp_path / "in", a_jpg=samples.ALL["444.jpg"][0], b_png=samples.ALL["16-rgb.png"][0])
    done = run("restore", "in", "--model=identity", "--out=o", "--format=tiff", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "o").glob("*.tif")) == ["a.tif", "b.tif"]
    assert images.read(tmp_path / "o" / "b.tif").pixels.dtype == np.uint16
    record = json.loads((tmp_path / "o" / "a.tif.json").read_text())
    assert record["picture"]["written_as"] == "TIFF" and record["settings"]["format"] == "TIFF"
    again = run("restore", "in", "--model=identity", "--out=o", "--format=tiff", cwd=tmp_path)
    assert "0 restored, 2 were up to date" in again.stderr
    small = run("restore", "in", "--model=identity", "--out=s", "--max-pixels=500", cwd=tmp_path)
    assert small.returncode == 2 and "over the limit" in small.stderr
    for word in ("--format=heic", "--max-pixels=many", "--max-pixels=0"):
        refused = run("restore", "in", "--model=identity", "--out=x", word, cwd=tmp_path)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr
        assert "expected" in refused.stderr and not (tmp_path / "x" / "a.jpg").exists()


def test_outputs_that_would_meet_get_both_endings(tmp_path):
    photograph = samples.ALL["444.jpg"][0]
    put(tmp_path / "in", a_heic=heic.EIGHT, a_JPG=photograph, b_heic=heic.EIGHT, b_heif=heic.TEN,
        c_gif=BOTH["still.gif"][0])  # fmt: skip
    report = photo.restore([tmp_path / "in"], tmp_path / "o", photo.identity, settings={},
                           progress=False)  # fmt: skip
    names = sorted(path.name for path in report.done)
    assert names == ["a.JPG", "a.heic.jpg", "b.heic.jpg", "b.heif.jpg", "c.png"]
    assert report.lost["GIF written as PNG"] == 1 and not report.failed


def test_a_file_is_written_as_its_name_says_where_its_own_kind_is_not(tmp_path):
    put(tmp_path / "in", a_jpg=heic.EIGHT, b_png=heic.TEN, c_heic=samples.ALL["8-rgb.png"][0])
    photo.restore([tmp_path / "in"], tmp_path / "o", photo.identity, settings={}, progress=False)
    kinds = {p.name: images.read(p).format for p in (tmp_path / "o").iterdir()
             if p.suffix != ".json" and not p.name.startswith(".")}  # fmt: skip
    assert kinds == {"a.jpg": "JPEG", "b.png": "PNG", "c.jpg": "JPEG"}


def test_pages_are_restored_and_recorded_one_by_one(tmp_path):
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for _ in range(3):
            writer.write(samples.smooth(3), photometric="rgb", metadata=None, contiguous=False)
    (tmp_path / "p.tif").write_bytes(out.getvalue())
    invert = lambda rgb: (1 - rgb, {"route": "dense"})
    photo.restore([tmp_path / "p.tif"], tmp_path / "o", invert, settings={}, progress=False)
    found = tifffile.imread(tmp_path / "o" / "p.tif", key=slice(None))
    np.testing.assert_array_equal(found, 255 - np.stack([samples.smooth(3)] * 3))
    record = json.loads((tmp_path / "o" / "p.tif.json").read_text())
    assert record["picture"]["pages"] == 3 and len(record["restoration"]["pages"]) == 3


def test_a_result_with_nan_is_tried_once_in_float32_and_then_named(tmp_path):
    (tmp_path / "a.png").write_bytes(samples.ALL["8-rgb.png"][0])
    calls = []

    def bad(rgb):
        calls.append("first")
        return np.full_like(rgb, np.nan), {}

    def exact():
        calls.append("exact")
        return lambda rgb: (rgb / 2, {"route": "again"})

    bad.exact = exact
    options = dict(settings={}, progress=False)
    report = photo.restore([tmp_path / "a.png"], tmp_path / "o", bad, **options)
    assert len(report.done) == 1 and calls == ["first", "exact"]
    record = json.loads((tmp_path / "o" / "a.png.json").read_text())
    assert "a first result was not finite: restored in float32" in record["picture"]["notices"]
    bad.exact = lambda: bad
    report = photo.restore([tmp_path / "a.png"], tmp_path / "p", bad, **options)
    assert len(report.failed) == 1 and "NaN or infinite" in report.failed[0].reason
    assert str(tmp_path / "a.png") in report.failed[0].reason
    assert not (tmp_path / "p" / "a.png").exists()


def test_a_named_file_of_another_kind_is_told_of_films_too(tmp_path):
    put(tmp_path, a_avif=BOTH["8.avif"][0], old_raw=b"x")
    _, failures = listing.find([tmp_path / "old.raw"])
    assert ".heic" in failures[0].reason and "films: .mp4" in failures[0].reason


def pairs(root, endings=("png", "png"), names=("a", "b"), sides=("input", "gt")):
    for name in names:
        for side, ending in zip(sides, endings, strict=True):
            path = root / side / f"{name}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = {"jfif": "JPEG", "jpg": "JPEG"}.get(ending.lower(), ending.upper())
            Image.new("RGB", (8, 6), "red").save(path, kind)


@pytest.mark.parametrize("ending", ["bmp", "jfif", "avif", "qoi", "tga", "gif", "ppm", "PNG"])
def test_pairs_of_every_readable_ending_are_recognised(ending, tmp_path):
    pairs(tmp_path, (ending, ending))
    assert len(layouts.scan(tmp_path)) == 2
    assert len(frames.folder(tmp_path / "gt")) == 2


def test_pairs_meet_whatever_their_unicode_form_and_letter_case(tmp_path):
    for side, form in (("input", "NFC"), ("gt", "NFD")):
        pairs(
            tmp_path, ("png",), [unicodedata.normalize(form, n) for n in ("café", "zoë")], (side,)
        )
    pairs(tmp_path, ("png", "PNG"), ["Case"], ("input", "gt"))
    (tmp_path / "gt" / "Case.PNG").rename(tmp_path / "gt" / "cASE.png")
    rows = layouts.scan(tmp_path)
    assert len(rows) == 3 and all(row.path_gt for row in rows)
    assert all((tmp_path / row.path_gt).is_file() for row in rows)


def test_what_pairs_leave_out_is_counted_and_said_once(tmp_path, capsys):
    pairs(tmp_path)
    pairs(tmp_path, names=("n1", "n2"), sides=("input/more", "gt/more"))
    put(tmp_path / "input", **{f"{i}_DNG": b"raw" for i in range(3)})
    layouts.scan(tmp_path)
    layouts.scan(tmp_path)
    said = capsys.readouterr().err
    wanted = "left out: 3 .dng, 2 in gt/more/, 2 in input/more/ (not read here)"
    assert said.count(wanted) == 1
    (tmp_path / "empty" / "input").mkdir(parents=True)
    (tmp_path / "empty" / "input" / "a.cr2").write_bytes(b"raw")
    with pytest.raises(errors.InputError, match="Left out: 1 .cr2"):
        layouts.scan(tmp_path / "empty")


def shots(root, bands):
    for band, ending in bands.items():
        for number in range(4):
            path = root / "test" / band / f"{number // 2:04d}_c{number % 2 + 1}_{number}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if ending in ("raw", "mat"):
                path.write_bytes(b"counts")
            else:
                grey = np.full((16, 8), 40 + number, np.uint8)
                Image.fromarray(grey).save(path)


def test_bands_of_every_ending_are_read_and_a_full_one_is_never_absent(tmp_path):
    shots(tmp_path / "good", {"RGB": "jpg", "NI": "webp", "TI": "tif"})
    options = dict(modalities=("rgb", "nir", "tir"), size=(16, 8))
    found = gallery.read(tmp_path / "good", "folder", "test", **options)
    assert len(found) == 4 and found[0]["present"].all()
    query = gallery.one_shot(
        str(next((tmp_path / "good/test/RGB").iterdir())), ("rgb", "nir", "tir")
    )
    assert all(path is not None for path in query.files)
    shots(tmp_path / "bad", {"RGB": "jpg", "TI": "raw"})
    with pytest.raises(errors.InputError, match=r"TI': 4 files \(.raw\) and no picture; expected"):
        gallery.read(tmp_path / "bad", "folder", "test", **options)
    shots(tmp_path / "odd", {"RGB": "jpg"})
    for path in (tmp_path / "odd/test/RGB").iterdir():
        other = tmp_path / "odd/test/TI" / f"thermal-{path.name}"
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(path.read_bytes())
    with pytest.raises(errors.InputError, match="no picture of .* has the name of one in another"):
        gallery.read(tmp_path / "odd", "folder", "test", **options)


def test_every_reader_takes_its_endings_from_one_table():
    from wxjax.systems.reid.data import layouts as identity_layouts
    from wxjax.systems.tod.data import day

    for reader in (layouts.SUFFIXES, frames.SUFFIXES, identity_layouts.PICTURES, images.SUFFIXES,
                   day.SUFFIXES):  # fmt: skip
        assert reader is SUFFIXES
    assert not set(passed.NOTES) & set(SUFFIXES)


def test_a_thermal_band_of_few_levels_is_said(tmp_path, capsys):
    shots(tmp_path, {"RGB": "jpg"})
    counts = np.random.default_rng(0).integers(7000, 8000, (16, 8)).astype(np.uint16)
    (tmp_path / "test/TI").mkdir()
    for path in (tmp_path / "test/RGB").iterdir():
        tifffile.imwrite(tmp_path / "test/TI" / f"{path.stem}.tif", counts)
    gallery.read(tmp_path, "folder", "test", modalities=("rgb", "tir"), size=(16, 8))
    assert "levels when read; stretch its counts" in capsys.readouterr().err


def test_noise_is_no_tga(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(200):
        data = bytearray(rng.integers(0, 256, 400, np.uint8).tobytes())
        data[1:3], data[16] = b"\0\2", 24
        with pytest.raises(errors.InputError, match="not a picture|megapixels"):
            images.decode(bytes(data), f"{number}.jpg")
