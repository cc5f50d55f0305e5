"""The time of day end to end, by the command line: train, resume, report, render, bake."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.recipes.conftest import slip, wxjax
from wxjax import files
from wxjax.systems.tod import basis as bases


@pytest.fixture(scope="session")
def view(tmp_path_factory):
    """The folder that holds `run`, the workdir of an undisturbed `:tiny` run."""
    folder = tmp_path_factory.mktemp("tod")
    done = wxjax("--config=configs/tod.py:tiny", "--workdir=run", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "report: run/index.html" in done.stdout
    return folder


def test_a_run_ends_in_rows_a_report_and_a_page_of_the_day(view):
    run = view / "run"
    summary = files.read_json(run / "daytime.json")
    hidden = summary["variants"]["model"]["hidden"]
    assert hidden["hours"] == 12 and hidden["days"] == 8  # 5, 7, ..., 19: the spec's day
    assert summary["variants"]["model"]["given"]["worst"]["psnr"] == 60  # exact to the byte
    assert {"baseline", "previous", "linear", "pchip", "svd8", "ridge"} < set(summary["variants"])
    report = (run / "report.md").read_text()
    assert "Hours that were hidden (prediction)" in report and "Linear interpolation" in report
    assert (run / "figures" / "hidden.png").exists() and (run / "day.html").exists()
    assert {p.stem for p in (run / "figures").iterdir()} >= {"courses", "sun", "terms", "training"}
    pixel = files.read_json(run / "courses.json")["pixels"][0]
    at_noon = dict(map(tuple, pixel["given"]))[12.0]
    assert pixel["made"][48] == pytest.approx(at_noon, abs=0.1)  # 96 moments: 48 is noon
    assert files.read_json(run / "basis.json")["psnr"] > 30


def test_a_run_that_lost_its_end_goes_on_and_ends_the_same(view, tmp_path):
    shutil.copytree(view / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "field" / "checkpoints" / "4")
    shutil.rmtree(tmp_path / "run" / "system")
    done = wxjax("--config=configs/tod.py:tiny", "--workdir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "goes on from step 2" in done.stdout + done.stderr
    first, again = (
        files.read_json(folder / "run" / "system" / "weights.json")["sha256"]
        for folder in (view, tmp_path)
    )
    assert first == again


def test_any_hour_as_a_picture_and_the_day_as_a_film(view):
    done = wxjax("render", "--time=18.25", "--out=evening.png", "--workdir=run", cwd=view)
    assert done.returncode == 0, done.stderr[-3000:]
    with Image.open(view / "evening.png") as picture:
        assert picture.size == (48, 32)
    done = wxjax("render", "--time=6:18:4", "--out=day.mp4", "--baked", "--workdir=run", cwd=view)
    assert done.returncode == 0, done.stderr[-3000:]
    import av

    with av.open(view / "day.mp4") as film:
        assert len(list(film.decode(video=0))) == 4
    (view / "yx.csv").write_text("0,0\n31,47\n")
    words = ("--time=18.25", "--pixels=yx.csv", "--out=colours.csv", "--workdir=run")
    assert wxjax("render", *words, cwd=view).returncode == 0
    colours = np.loadtxt(view / "colours.csv", delimiter=",", skiprows=1)
    corner = np.asarray(Image.open(view / "evening.png"))[31, 47]
    np.testing.assert_allclose(colours[1, 2:] * 255, corner, atol=0.51)
    basis = bases.load(view / "run" / "basis.npz")
    assert basis(12.0).shape == (32, 48, 3)


@pytest.mark.parametrize(
    "words, message",
    [
        (("render", "--out=x.png"), "expected --time and --out"),
        (("render", "--time=noon", "--out=x.png"), "--time='noon': expected an hour"),
        (("render", "--time=7", "--out=x.psd"), "expected .png"),
        (
            (
                "--config=configs/tod.py:tiny",
                "--config.model.field=hash3d",
                "--config.model.hash_times=99",
            ),
            "model.hash_times=99",
        ),
    ],
)
def test_a_slip_is_one_line(view, words, message):
    workdir = "other" if words[0].startswith("--") else "run"
    done = slip(*words, f"--workdir={workdir}", cwd=view)
    assert done.returncode == 2 and message in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.nightly
def test_each_hour_left_out_in_turn_and_a_mask(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 1, (24, 32, 3))
    for hour in (1, 6, 9, 12, 15, 20):
        level = 40 + 180 * max(0.0, np.sin(np.pi * (hour - 6) / 12))
        frame = (base * level).astype(np.uint8)
        frame[:, :8] = rng.integers(0, 256)  # a clock in the picture, masked
        (tmp_path / "view").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "view" / f"x_{hour:02d}.png")
    mask = np.full((24, 32), 255, np.uint8)
    mask[:, :8] = 0
    Image.fromarray(mask).save(tmp_path / "view" / "mask.png")
    done = wxjax(
        "--config=configs/tod.py:tiny", "--config.data.name=folder", "--config.data.root=view",
        "--config.protocol=loo", "--config.model.residual_net=False", "--workdir=run",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = files.read_jsonl(tmp_path / "run" / "per_hour.jsonl")
    hidden = [row for row in rows if row["part"] == "hidden" and row["variant"] == "linear"]
    assert [row["hour"] for row in hidden] == [1, 6, 9, 12, 15, 20]
    # 9 h lies between 6 (level 40) and 12 (220): linear gives 130, the truth is 167.
    nine = next(row for row in hidden if row["hour"] == 9)
    expected = -10 * np.log10(np.mean((base[:, 8:] * (167 - 130) / 255) ** 2))
    assert nine["metrics"]["psnr"] == pytest.approx(expected, abs=0.4)
