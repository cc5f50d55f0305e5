"""`wxjax attribute` from the command line."""

import json

import numpy as np
from PIL import Image

from tests.recipes.conftest import slip, wxjax


def test_attribute_writes_a_picture_and_a_complete_map(tiny):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(tiny / "hazy.png")
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(tiny / "clear.png")
    words = ("attribute", "hazy.png", "--workdir=run", "--window=4,40,8", "--clear=clear.png")
    done = wxjax(*words, "--steps=8", "--out=map", cwd=tiny)
    assert done.returncode == 0, done.stderr
    assert "the map sums to" in done.stdout and "map/hazy-attribution.png" in done.stdout
    assert Image.open(tiny / "map/hazy-attribution.png").size == (60, 40)
    record = json.loads((tiny / "map/hazy-attribution.json").read_text())
    assert record["residual"] < 0.05 and 0 <= record["outside"] <= 1
    assert record["window"] == {"y": 4, "x": 40, "size": 8}

    wrong = slip("attribute", "hazy.png", "--workdir=run", "--window=4,58,8", cwd=tiny)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
    assert "within the picture of 40 rows and 60 columns" in wrong.stderr
