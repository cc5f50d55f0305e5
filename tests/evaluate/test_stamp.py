"""Rows are measured again when anything changes that they depend on, and only then."""

from ml_collections import ConfigDict

from wxjax import files
from wxjax.evaluate import stamp


def run(config, tmp_path, **depends):
    calls = []
    stamp.once(ConfigDict(config), tmp_path, lambda: calls.append(1), depends or {"weights": "a"})
    return len(calls)


def config(**changes):
    return {
        "evaluate": {"protocol": "default"},
        "tiles": {"tile": 64},
        "stages": {"n": 1},
    } | changes


def test_an_outcome_that_stands_is_not_measured_again(tmp_path):
    assert run(config(), tmp_path) == 1 and run(config(), tmp_path) == 0
    assert run(config(stages={"n": 2}), tmp_path) == 0  # the weights' hash says it


def test_every_part_that_it_depends_on_asks_for_it_again(tmp_path):
    assert run(config(), tmp_path) == 1
    assert run(config(), tmp_path, weights="b") == 1
    assert run(config(tiles={"tile": 32}), tmp_path, weights="b") == 1
    assert run(config(tiles={"tile": 32}, sampling={"steps": 4}), tmp_path, weights="b") == 0
    assert run(config(tiles={"tile": 32}, sampling={"steps": 1}), tmp_path, weights="b") == 1


def test_an_older_stamp_that_names_fewer_parts_still_stands(tmp_path):
    files.write_json(tmp_path / stamp.NAME, {"weights": "a", "tiles": {"tile": 64}})
    assert run(config(), tmp_path) == 0
    assert run(config(tiles={"tile": 65}), tmp_path) == 1


def test_a_run_that_was_killed_is_measured_again(tmp_path):
    def fails():
        raise KeyboardInterrupt

    try:
        stamp.once(ConfigDict(config()), tmp_path, fails, {})
    except KeyboardInterrupt:
        pass
    assert run(config(), tmp_path) == 1
