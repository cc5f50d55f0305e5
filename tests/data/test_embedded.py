"""The default data set: split by photograph, fixed, reproducible."""

import itertools

import numpy as np
import pytest

from wxjax import errors
from wxjax.data import audit, embedded, sources


def test_no_photograph_is_in_two_splits():
    again = ("mixed", "router")  # of test's and of train's photographs
    parts = [set(names) for split, names in embedded.SPLITS.items() if split not in again]
    assert not any(a & b for a, b in itertools.combinations(parts, 2))
    assert set().union(*parts) == set(embedded.PHOTOGRAPHS)
    assert embedded.SPLITS["mixed"] == embedded.SPLITS["test"]
    assert embedded.SPLITS["router"] == embedded.SPLITS["train"]


def test_the_photographs_are_not_near_duplicates():
    names = list(embedded.PHOTOGRAPHS)
    hashes = [audit.perceptual_hash(np.array(embedded.photograph(name))) for name in names]
    assert audit.near_duplicates(hashes, names) == []


def test_an_example_is_what_the_contract_says():
    example = sources.embedded("train", count=4, crop=48)[1]
    assert example["image"].dtype == example["target"].dtype == np.uint8
    assert example["image"].shape == example["target"].shape == (48, 48, 3)
    assert example["degradation"].dtype == np.int32 and example["degradation"] == 1
    assert example["severity"].dtype == np.float32 and 0 <= example["severity"] <= 1
    assert example["id"].endswith("-rain-0001") and example["scene"] in embedded.SPLITS["train"]
    assert (example["image"] != example["target"]).mean() > 0.1


def test_the_test_set_has_every_photograph_kind_and_a_spread_of_strengths():
    source = sources.embedded("test")
    assert len(source) == 45
    cells = {(plan["photo"], plan["kind"]) for plan in source._plans}
    assert len(cells) == 9
    for cell in cells:
        values = [p["strength"] for p in source._plans if (p["photo"], p["kind"]) == cell]
        assert len(values) == 5 and min(values) < 0.2 and max(values) > 0.8
    windows = [(p["photo"], p["kind"], p["window"]) for p in source._plans]
    assert len(set(windows)) == 45
    assert source[1]["id"] == "china-rain-1"
    assert len({source[i]["image"].shape for i in range(45)}) == 2


def test_a_smaller_count_is_the_beginning_of_a_larger_one():
    small, large = sources.embedded("test", count=9, crop=64), sources.embedded("test", crop=64)
    for i in range(9):
        assert small[i]["id"] == large[i]["id"]
        np.testing.assert_array_equal(small[i]["image"], large[i]["image"])


def test_the_seed_changes_training_and_nothing_else():
    a, b = sources.embedded("train", seed=0, count=3), sources.embedded("train", seed=1, count=3)
    assert repr(a) != repr(b)
    a, b = sources.embedded("test", seed=0, count=3), sources.embedded("test", seed=1, count=3)
    assert repr(a) == repr(b)


def test_reading_twice_or_in_another_order_gives_the_same():
    first, second = (sources.embedded("train", count=5, crop=32) for _ in range(2))
    ahead = [first[i]["image"] for i in range(5)]
    back = [second[i]["image"] for i in reversed(range(5))]
    for a, b in zip(ahead, reversed(back), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixed_examples_belong_to_no_expert():
    source = sources.embedded("mixed", count=3, crop=32)
    assert {e["degradation"].item() for e in map(source.__getitem__, range(3))} == {-1}
    assert "haze" in source.record(0) and ("rain" in source.record(0) or "snow" in source.record(0))


def test_the_motorcycle_brings_its_true_depth():
    depth = embedded.distance("motorcycle")
    assert depth.shape == embedded.photograph("motorcycle").shape[:2]
    assert np.isfinite(depth).all() and depth.min() > 0
    assert embedded.distance("astronaut") is None
    assert depth[:60].mean() > 1.2 * depth[-100:].mean()  # the wall is behind the floor


def test_the_line_a_run_prints_names_packages_and_licences():
    line = embedded.describe()
    assert "scikit-image" in line and "CC BY 2.0" in line and "china" in line and "\n" not in line


def test_wrong_values_are_named():
    with pytest.raises(errors.InputError, match="split='tset'.*Did you mean 'test'"):
        sources.embedded("tset")
    with pytest.raises(errors.InputError, match="data.count=0"):
        sources.embedded("train", count=0)
    with pytest.raises(errors.InputError, match="data.crop=1000: expected 16 to 256"):
        sources.embedded("train", crop=1000)
