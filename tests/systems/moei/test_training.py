"""The weather model's training from the command line: stopped, gone on, restoring."""

import json

import numpy as np
import pytest

from tests import restoring
from wxjax import files, main
from wxjax.data import embedded, photographs
from wxjax.train import checkpoint, weights


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    names = ("coffee", "rocket", "china", "chelsea")
    paths = [embedded._locate(name, embedded.PHOTOGRAPHS[name].file) for name in names]
    photographs.build(paths, folder)
    stored = [path.name for path in paths]
    files.write_json(folder / "split.json", {"trained": stored[:2], "held_out": stored[2:]})
    return folder


def train(store, workdir, *words):
    config = f"--config.data.root={store}"
    main.run(["wxjax", "--config=configs/weather.py:tiny", config, f"--workdir={workdir}", *words])


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "weather"
    train(store, workdir)
    return workdir


def test_a_run_ends_in_a_system_that_restores(run, tmp_path):
    variables, about = weights.load(run / "system")
    assert set(variables["params"]) == {"backbone", "experts", "router"}
    assert set(variables["params"]["backbone"]) == {"encoder"}  # no leaf twice
    assert about["system"] == "weather"
    path = tmp_path / "a.png"
    restoring.save(path, embedded.photograph("coffee")[:90, :120])
    main.run(["wxjax", "restore", str(path), f"--model={run}", f"--out={tmp_path / 'out'}"])
    record = json.loads((tmp_path / "out" / "a.png.json").read_text())
    assert record["restoration"]["route"] in ("dense", "dehaze", "derain", "desnow", "leave")
    assert len(record["restoration"]["p"]) == 4


def test_what_labels_say_is_of_the_routes_themselves(run):
    found = json.loads((run / "router" / "labels.json").read_text())
    assert sum(entry["count"] for entry in found.values()) == 16
    for entry in found.values():
        assert len(entry["psnr"]) == 5 and len(entry["best"]) == 4
        assert abs(sum(entry["best"]) - 1) < 0.01


def test_a_stopped_training_ends_equal_to_the_bit(store, run, tmp_path):
    workdir = tmp_path / "weather"
    words = ["--config.stages.joint.num_steps=2", "--config.stages.anneal.num_steps=0"]
    train(store, workdir, *words)
    (workdir / "config.json").unlink()  # a longer training is another config
    train(store, workdir)
    one, other = (
        weights.flatten(checkpoint.load_variables(folder / "joint", 4)) for folder in (run, workdir)
    )
    for name, leaf in one.items():
        np.testing.assert_array_equal(leaf, other[name], err_msg=name)
