"""Infrared super-resolution from the command line: trained, resumed, compared, used."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.recipes.conftest import slip, wxjax
from wxjax import files

TINY = "--config=configs/irsr.py:tiny"
CHEAP = ("--config.model.kind=edsr",)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a trained `edsr` and `linear`, and frames of 8 and 16 bits."""
    folder = tmp_path_factory.mktemp("infrared")
    for kind in ("edsr", "linear"):
        done = wxjax(TINY, f"--config.model.kind={kind}", f"--workdir={kind}", cwd=folder)
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"report: {kind}/index.html" in done.stdout
    rng = np.random.default_rng(0)
    (folder / "frames").mkdir()
    coarse = rng.uniform(0, 1, (6, 7)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(coarse).resize((76, 70), Image.Resampling.BICUBIC))
    smooth = np.clip(smooth, 0, 1)
    Image.fromarray(np.rint(smooth * 255).astype(np.uint8)).save(folder / "frames" / "a.png")
    deep = np.rint(7000 + smooth * 900).astype(np.uint16)
    Image.fromarray(deep).save(folder / "frames" / "deep.png")
    return folder


def test_a_run_measures_itself_beside_bicubic_and_keeps_how_frames_were_made_small(place):
    made = files.read_json(place / "edsr" / "frames.json")
    assert set(made["ways"]) == {"bicubic", "edsr"} and made["frames"] == 4
    assert set(made["kinds"]) == {"photo", "thermal"} and not made["warnings"]
    entry = made["ways"]["edsr"]
    assert entry["psnr"]["low"] <= entry["psnr"]["mean"] <= entry["psnr"]["high"]
    about = files.read_json(place / "edsr" / "system" / "weights.json")["metadata"]
    assert about["degradation"] == "pillow-bicubic" and about["scale"] == 4
    text = (place / "edsr" / "report.md").read_text()
    assert "Against bicubic" in text and "samples/00.png" in text


def test_a_run_stopped_half_way_ends_equal_to_the_bit(place):
    shutil.copytree(place / "edsr", place / "half")
    shutil.rmtree(place / "half" / "system")
    steps = sorted((place / "half" / "network" / "checkpoints").glob("[0-9]*"),
                   key=lambda p: int(p.name))  # fmt: skip
    assert len(steps) == 2
    shutil.rmtree(steps[-1])
    done = wxjax(TINY, *CHEAP, "--workdir=half", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    hashes = [files.sha256(place / run / "system" / "weights.npz") for run in ("edsr", "half")]
    assert hashes[0] == hashes[1]


def test_frames_come_back_four_times_as_large_at_their_own_depth(place):
    done = wxjax("restore", "frames", "--out=large", "--model=linear", cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, dtype in (("a.png", np.uint8), ("deep.png", np.uint16)):
        small = np.asarray(Image.open(place / "frames" / name))
        large = np.asarray(Image.open(place / "large" / name))
        assert large.dtype == dtype and large.shape == (4 * small.shape[0], 4 * small.shape[1])
        shrunk = large.reshape(small.shape[0], 4, small.shape[1], 4).mean((1, 3))
        assert np.abs(shrunk - small).max() < 0.06 * np.iinfo(dtype).max * np.ptp(
            small / np.iinfo(dtype).max
        ) + 2  # fmt: skip
    record = files.read_json(place / "large" / "a.png.json")
    assert record["settings"]["scale"] == 4
    assert record["settings"]["degradation"] == "pillow-bicubic"
    assert (record["picture"]["width"], record["picture"]["height"]) == (4 * 76, 4 * 70)


def test_runs_are_compared_on_pairs_and_a_wrong_degradation_is_said(place):
    done = wxjax("shrink", "frames", "--out=pairs", cwd=place)
    assert done.returncode == 0 and "2 pairs" in done.stdout
    words = ("compare", "linear", "edsr", "--out=table")
    done = wxjax(*words, "--data=pairs", cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    made = files.read_json(place / "table" / "frames.json")
    assert list(made["ways"]) == ["bicubic", "linear", "edsr"] and not made["warnings"]
    assert "linear" in done.stdout and (place / "table" / "index.html").exists()
    hard = wxjax("shrink", "frames", "--out=hard", "--degradation=real-esrgan", cwd=place)
    assert hard.returncode == 0
    done = wxjax("evaluate", "--workdir=linear", "--data=hard", "--out=hard-table", cwd=place)
    assert done.returncode == 0 and "was trained on pillow-bicubic" in done.stdout
    assert files.read_json(place / "hard-table" / "frames.json")["warnings"]


def test_slips_are_one_line(place):
    for words, message in (
        (("compare",), "expected workdirs"),
        (("compare", "nowhere"), "no config.json"),
        (("compare", "edsr:x", "--data=frames"), "expected DIR or DIR:STEPS"),
        (("compare", "linear", "--data=nowhere"), "expected a folder of frames"),
        (("restore", "film.mp4", "--model=edsr"), "enlarges pictures"),
        (("restore", "frames", "--model=edsr", "--route=derain", "--out=x"), "takes no --route"),
        (("shrink", "frames"), "--out=DIR"),
    ):
        done = slip(*words, cwd=place)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.nightly
def test_the_default_method_runs_from_training_to_one_and_four_steps(place):
    done = wxjax(TINY, "--workdir=diffusion", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    done = wxjax("compare", "diffusion:1", "diffusion:4", "--out=steps", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    ways = files.read_json(place / "steps" / "frames.json")["ways"]
    assert list(ways) == ["bicubic", "diffusion, 1 step", "diffusion, 4 steps"]
    # Four steps of training leave it where it began, at bicubic.
    assert all(abs(entry["psnr_gain"]["mean"]) < 1 for n, entry in ways.items() if n != "bicubic")
