"""AllWeather through TFDS: array_record files, no TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

from tests.data.test_sources import allweather
from wxjax import errors
from wxjax.data import sources


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    from wxjax.data.builders import allweather as builder

    root = tmp_path_factory.mktemp("allweather")
    allweather(root / "manual")
    builder.prepare(root / "manual", root / "tfds")
    return root


def test_a_prepared_split_gives_the_pictures_of_the_folder(prepared):
    folder = sources.within(sources.folder(prepared / "manual"), "test")
    source = sources.tfds("allweather", "test", prepared / "tfds")
    examples = {source[i]["id"]: source[i] for i in range(len(source))}
    assert len(source) == len(folder) == 2
    for i in range(2):
        expected = folder[i]
        found = examples[expected["id"]]
        np.testing.assert_array_equal(found["image"], expected["image"])
        np.testing.assert_array_equal(found["target"], expected["target"])
        assert found["degradation"] == expected["degradation"] and found["scene"]
    assert sorted(sources.kinds(source)) == ["rain", "snow"]
    assert {e["dataset"] for e in examples.values()} == {
        "allweather-test_rain",
        "allweather-test_snow",
    }


def test_the_known_leak_is_not_in_it(prepared):
    from wxjax.data.builders import allweather as builder

    found = set()
    for split in builder.Allweather(data_dir=str(prepared / "tfds")).info.splits:
        found |= set(sources.tfds("allweather", split, prepared / "tfds").items())
    assert "train-im_0300_s80_a04" in found and "train-im_0310_s80_a04" not in found


def test_what_is_not_prepared_or_unknown_is_named(tmp_path):
    with pytest.raises(errors.InputError, match="Prepare it once"):
        sources.tfds("allweather", "train", tmp_path)
    with pytest.raises(errors.InputError, match="Did you mean 'allweather'"):
        sources.tfds("alweather", "train", tmp_path)


def test_tensorflow_is_not_imported():
    code = "import sys, wxjax.data.builders.allweather; print('tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_data_layer_starts_without_tfds_sklearn_and_skimage():
    code = (
        "import sys; from wxjax.data import sources; sources.embedded('test', count=3)[0];"
        "print([m for m in ('tensorflow_datasets', 'sklearn', 'skimage', 'jax', 'matplotlib') "
        "if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
