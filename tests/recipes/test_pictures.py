"""`wxjax plan` and what restore may take: the same words, the same pixels."""

import json

import numpy as np
import pytest
from PIL import Image

from wxjax import commands, errors, settings


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(autouse=True)
def cache(monkeypatch):
    """The command must not move the tests' compilation cache."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "as it is")


def run(*words):
    commands.main(["wxjax", *map(str, words)])


def test_a_plan_is_printed_and_nothing_is_written(tiny, photo, capsys):
    run("plan", photo, f"--workdir={tiny / 'run'}")
    said = capsys.readouterr().out
    assert "photo.png: 200x150, 12 tiles, 520 tokens" in said  # 20 x 26 of 8 px
    assert "memory" in said and "GiB" in said and "s/MP" in said and "way" in said
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


def test_an_untrained_network_can_be_planned_with(photo, capsys):
    run("plan", photo, "--config=configs/moei.py:tiny", "--memory=64GiB")
    assert "12 tiles" in capsys.readouterr().out


def test_devices_and_budgets_change_no_pixel(tiny, photo, tmp_path):
    for name, words in {"plain": (), "four": ("--devices=4", "--memory=64GiB")}.items():
        run("restore", photo, f"--out={tmp_path / name}", f"--workdir={tiny / 'run'}", *words)
    plain, four = (np.asarray(Image.open(tmp_path / n / "photo.png")) for n in ("plain", "four"))
    assert np.abs(plain.astype(int) - four).max() <= 1
    record = json.loads((tmp_path / "four" / "photo.png.json").read_text())["restoration"]
    assert record["latency_ms"] > 0 and 0 <= record["pmax"] <= 1


def test_a_budget_that_cannot_hold_the_picture_says_what_would(tiny, photo, tmp_path, capsys):
    workdir = f"--workdir={tiny / 'run'}"
    with pytest.raises(errors.InputError, match=r"200x150 takes .* with one tile at a time"):
        run("plan", photo, workdir, "--memory=1MiB")
    with pytest.raises(SystemExit) as stop:
        run("restore", photo, workdir, "--memory=1MiB", f"--out={tmp_path / 'out'}")
    assert stop.value.code == 2 and "Allow more with --memory" in capsys.readouterr().err
    with pytest.raises(errors.InputError, match="--memory='much': expected a number and KiB"):
        run("plan", photo, workdir, "--memory=much")


def test_more_devices_than_there_are_is_one_line(tiny, photo):
    with pytest.raises(errors.InputError, match="mesh.devices=9: expected 0"):
        run("plan", photo, f"--workdir={tiny / 'run'}", "--devices=9")


def test_flags_of_other_commands_stay_what_they_were():
    call = settings.parse(["wxjax", "restore", "x.png"], commands.COMMANDS)
    assert call.flags.memory is None and call.flags.devices is None
