"""meta.jsonl: what is refused, and how it is said."""

import json
import re

import pytest

from wxjax import errors
from wxjax.data import records

GOOD = {
    "id": "a",
    "dataset": "set",
    "scene_id": "s1",
    "split": "train",
    "path_raw": "input/a.png",
    "path_gt": "gt/a.png",
    "w": 8,
    "h": 6,
    "degradation": "haze",
    "severity": 0.5,
    "capture_id": None,
    "hash": "0123456789abcdef",
    "tile_cfg": {"tile": 512, "overlap": 64},
    "crop_border": 0,
}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_is_written_is_what_is_read(tmp_path):
    rows = [records.parse(GOOD, "x:1"), records.parse({**GOOD, "id": "b", "path_gt": None}, "x:2")]
    records.write(tmp_path / "meta.jsonl", rows)
    assert records.read(tmp_path / "meta.jsonl") == rows


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("id", "", "a text that is not empty"),
        ("split", "trian", "one of train, val"),
        ("w", 0, "at least 1"),
        ("h", 2.5, "at least 1"),
        ("w", True, "at least 1"),
        ("degradation", "fog", "one of haze, rain, snow"),
        ("severity", 1.2, "from 0 to 1"),
        ("severity", "high", "from 0 to 1"),
        ("hash", "xyz", "16 hexadecimal digits"),
        ("tile_cfg", {"tile": 512}, '"overlap"'),
        ("crop_border", -1, "at least 0"),
        ("path_raw", 3, "the path of a picture"),
    ],
)
def test_a_wrong_line_names_file_line_field_value_and_rule(tmp_path, field, value, rule):
    path = write(tmp_path / "meta.jsonl", GOOD, {**GOOD, "id": "b", field: value})
    with pytest.raises(errors.InputError) as caught:
        records.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:2: {field}={value!r}: expected") and rule in message


def test_a_missing_or_misspelt_field_is_named(tmp_path):
    short = {name: value for name, value in GOOD.items() if name != "scene_id"}
    with pytest.raises(errors.InputError, match="meta.jsonl:1: field 'scene_id' is missing"):
        records.read(write(tmp_path / "meta.jsonl", short))
    with pytest.raises(errors.InputError, match="Did you mean 'severity'"):
        records.read(write(tmp_path / "meta.jsonl", {**GOOD, "severty": 1}))


def test_lines_are_counted_with_blank_ones(tmp_path):
    path = tmp_path / "meta.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, "id": ""}) + "\n")
    with pytest.raises(errors.InputError, match=re.escape("meta.jsonl:3: id=''")):
        records.read(path)


def test_an_id_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="id='a': expected to be unique; line 1 has it"):
        records.read(write(tmp_path / "meta.jsonl", GOOD, GOOD))


def test_a_scene_in_two_splits_is_refused(tmp_path):
    other = {**GOOD, "id": "b", "split": "test"}
    with pytest.raises(errors.InputError, match="scene 's1' is in 'train'.*one split a scene"):
        records.read(write(tmp_path / "meta.jsonl", GOOD, other))


def test_a_file_without_records_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="no record"):
        records.read(write(tmp_path / "meta.jsonl"))


def test_splits_follow_their_shares_and_the_name_alone():
    names = [f"scene-{i}" for i in range(4000)]
    found = [records.split_of(name) for name in names]
    assert abs(found.count("train") / 4000 - 0.8) < 0.02
    assert abs(found.count("test") / 4000 - 0.1) < 0.02
    assert found[:50] == [records.split_of(name) for name in names[:50]]
