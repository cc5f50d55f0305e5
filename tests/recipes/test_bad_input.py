"""Fifteen kinds of bad input: one clear line each, exit code 2, nothing half-written."""

import json
import os
import resource
import shutil
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.recipes.conftest import wxjax
from wxjax import files


@pytest.fixture()
def place(tiny, tmp_path):
    """A folder with the trained `run` and one good picture."""
    (tmp_path / "run").symlink_to(tiny / "run")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "good.png")
    return tmp_path


def refused(done, message):
    assert done.returncode == 2, (done.returncode, done.stderr[-1500:])
    assert message in done.stderr, done.stderr[-1500:]
    assert "Traceback" not in done.stderr


def leftovers(folder):
    return [p for p in folder.rglob("*") if p.is_file() and "run" not in p.parts]


def truncated_jpeg(path):
    Image.open(path.parent / "good.png").save(path, quality=90)
    path.write_bytes(path.read_bytes()[:400])


def bomb(path):
    """A PNG whose header promises 30000 x 30000 pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


PICTURES = {
    "missing.png": (lambda path: None, "missing.png"),
    "truncated.jpg": (truncated_jpeg, "truncated.jpg"),
    "text.png": (lambda path: path.write_text("not a picture at all"), "text.png"),
    "empty.png": (lambda path: path.write_bytes(b""), "empty.png"),
    "bomb.png": (bomb, "900"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_bad_picture_is_named_and_leaves_nothing(place, name):
    make, message = PICTURES[name]
    make(place / name)
    done = wxjax("restore", name, "--out=out", "--model=identity", cwd=place)
    refused(done, message)
    assert name in done.stderr
    assert leftovers(place / "out") == []


def test_a_picture_of_one_pixel_is_restored(place):
    Image.new("RGB", (1, 1), (10, 20, 30)).save(place / "one.png")
    done = wxjax("restore", "one.png", "--out=out", "--workdir=run", cwd=place)
    assert done.returncode == 0, done.stderr[-1500:]
    assert Image.open(place / "out" / "one.png").size == (1, 1)


def test_not_a_number_in_a_picture(place):
    values = np.full((20, 20, 3), 0.5, np.float32)
    values[3, 4] = np.nan
    tifffile.imwrite(place / "nan.tif", values, photometric="rgb")
    done = wxjax("restore", "nan.tif", "--out=out", "--workdir=run", cwd=place)
    refused(done, "nan.tif")
    assert leftovers(place / "out") == []


def test_an_output_that_cannot_be_written(place):
    (place / "file").write_text("x")
    done = wxjax("restore", "good.png", "--out=file/out", "--model=identity", cwd=place)
    refused(done, "a part of the path is a file, not a folder")


def test_a_full_disk(place):
    big = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    Image.fromarray(big).save(place / "big.png")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = wxjax("restore", "big.png", "--out=out", "--model=identity", cwd=place, preexec_fn=limit)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-1500:]
    assert "limit" in done.stderr or "full" in done.stderr
    assert not [p for p in leftovers(place / "out") if p.suffix == ".png"]


def test_a_misspelt_config_key(place):
    done = wxjax("--config=configs/moei.py:tiny", "--config.data.bach_size=2", cwd=place)
    refused(done, "batch_size")


def test_a_value_of_the_wrong_type(place):
    refused(
        wxjax("--config=configs/moei.py:tiny", "--config.seed=many", cwd=place),
        "--config.seed='many': expected",
    )


def test_a_wrong_line_of_meta_jsonl(place):
    (place / "meta.jsonl").write_text('{"id": "a", "severity": 7}\n')
    done = wxjax("evaluate", "--data=meta.jsonl", "--out=results", "--workdir=run", cwd=place)
    refused(done, "meta.jsonl:1")
    assert not (place / "results").exists()


def test_a_truth_of_another_size(place):
    for kind, size in (("input", (40, 40)), ("gt", (41, 40))):
        (place / "pairs" / kind).mkdir(parents=True)
        Image.new("RGB", size).save(place / "pairs" / kind / "a.png")
    done = wxjax("evaluate", "--data=pairs", "--out=results", "--workdir=run", cwd=place)
    refused(done, "gt/a.png is 41x40, input/a.png is 40x40")
    assert not (place / "results" / "summary.json").exists()


def test_weights_of_another_model(place, tiny):
    os.unlink(place / "run")
    shutil.copytree(tiny / "run", place / "run")
    config = files.read_json(place / "run" / "config.json")
    config["model"]["dims"] = [8, 24]
    (place / "run" / "config.json").write_text(json.dumps(config))
    done = wxjax("restore", "good.png", "--out=out", "--workdir=run", cwd=place)
    refused(done, "belong to another model")
    assert leftovers(place / "out") == []


def test_no_such_command(place):
    refused(wxjax("restroe", "good.png", cwd=place), "Did you mean 'restore'")


def test_no_trained_run(place):
    refused(wxjax("restore", "good.png", "--workdir=nowhere", cwd=place), "no trained run")
