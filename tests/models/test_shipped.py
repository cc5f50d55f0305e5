"""The model that ships: it loads, it is what its card says, it works on a real photograph."""

import json
import re

import numpy as np
import pytest

from tests import restoring
from wxjax import errors, main, models
from wxjax.data import embedded, images
from wxjax.train import weights


def wxjax(*words):
    main.run(["wxjax", *words])


def test_the_weights_are_those_of_the_card_and_small_enough():
    model = models.find(models.DEFAULT)
    variables, _ = weights.load(model.folder / "system")  # checks the hash
    assert model.size < 10e6
    leaves = [x for x in weights.flatten(variables["params"]).values()]
    assert {x.dtype for x in leaves} == {np.dtype(np.float16)}
    assert all(np.isfinite(x).all() for x in leaves)
    assert model.sha256 in model.card.read_text()


def test_an_unknown_model_is_named_with_its_neighbours():
    with pytest.raises(errors.InputError, match="model='wether': expected one of weather"):
        models.find("wether")


def test_models_are_listed_with_size_and_card(capsys):
    wxjax("models")
    said = capsys.readouterr().out
    assert "weather (default): " in said and "card.md" in said and "MB, SHA-256" in said


def test_the_figures_of_the_card_are_those_of_the_rows():
    folder = restoring.ROOT / "experiments" / "weather_model" / "results"
    rows = json.loads((folder / "pairs.json").read_text())
    card = models.find("weather").card.read_text()
    table = dict(re.findall(r"^\| ([\w -]+) \| \d+ \| [\d.]+ \| ([\d.]+) \|", card, re.M))
    assert len(table) >= 12
    for name, figure in table.items():
        found = [row["actual"]["psnr"] for row in rows if row["dataset"].startswith(name)]
        assert abs(np.mean(found) - float(figure)) < 0.051, name


@pytest.fixture(scope="module")
def photograph():
    return embedded.photograph("coffee")


def test_a_clean_photograph_comes_back_bit_for_bit(photograph, tmp_path, capsys):
    path = tmp_path / "coffee.png"
    restoring.save(path, photograph)
    wxjax("restore", str(path), f"--out={tmp_path / 'out'}")
    assert "left as it was" in capsys.readouterr().err
    np.testing.assert_array_equal(restoring.load(tmp_path / "out" / "coffee.png"), photograph)


@pytest.mark.parametrize("kind, gain", [("rain", 0.5), ("snow", 1.5), ("haze", 4.0)])
def test_weather_on_a_photograph_is_taken_out(photograph, tmp_path, capsys, kind, gain):
    from wxjax.data import synthesis

    image, _ = synthesis.degrade(photograph, kind, np.random.default_rng(3), 0.6)
    path = tmp_path / "input.png"
    restoring.save(path, image)
    wxjax("restore", str(path), f"--out={tmp_path / 'out'}")
    said = capsys.readouterr().err
    assert f"input.png: {kind}, 0." in said or f"input.png: {kind}, 1." in said
    restored = restoring.load(tmp_path / "out" / "input.png")
    assert restoring.psnr(restored, photograph) > restoring.psnr(image, photograph) + gain
    record = json.loads((tmp_path / "out" / "input.png.json").read_text())
    assert record["restoration"]["changed"] and record["settings"]["model"] == "weather"


def test_strength_blends_and_route_forces(photograph, tmp_path):
    path = tmp_path / "input.png"
    restoring.save(path, photograph[:128, :160])
    outs = []
    for words in (["--route=derain"], ["--route=derain", "--strength=0"], ["--route=desnow"]):
        out = tmp_path / f"out{len(outs)}"
        wxjax("restore", str(path), f"--out={out}", *words)
        outs.append(restoring.load(out / "input.png").astype(int))
    assert np.abs(outs[0] - outs[2]).max() > 0
    np.testing.assert_array_equal(outs[1], photograph[:128, :160])


def test_a_strength_out_of_range_is_one_line(photograph, tmp_path, capsys):
    path = tmp_path / "input.png"
    restoring.save(path, photograph[:64, :64])
    with pytest.raises(SystemExit) as stop:
        wxjax("restore", str(path), f"--out={tmp_path / 'out'}", "--strength=2")
    assert stop.value.code == 2
    assert "--strength=2.0: expected a number from 0 to 1" in capsys.readouterr().err
    assert images.read(path) is not None and not (tmp_path / "out").exists()
