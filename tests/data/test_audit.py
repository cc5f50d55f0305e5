"""Planted leaks and shifts are found; clean data pass."""

import json

import numpy as np
import pytest
from PIL import Image

from wxjax import errors
from wxjax.data import audit, embedded, records, sources
from wxjax.data.prepare import prepare, summary

NAMES = ("astronaut", "flower", "chelsea", "china", "coffee", "rocket")


def hazed(image):
    return (image * 0.6 + 90).astype(np.uint8)


@pytest.fixture(scope="module")
def scenes():
    return {name: np.array(embedded.photograph(name)[:200, :260]) for name in NAMES}


def fill(root, scenes, shift=None):
    for folder in ("input", "gt"):
        (root / folder).mkdir(parents=True)
    for name, clean in scenes.items():
        raw = (
            np.roll(hazed(clean), shift[1], (0, 1)) if shift and shift[0] == name else hazed(clean)
        )
        Image.fromarray(raw).save(root / "input" / f"{name}.png")
        Image.fromarray(clean).save(root / "gt" / f"{name}.png")


def test_near_duplicates_equal_the_slow_reference():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**63, 40, dtype=np.uint64)
    values[20:30] = values[:10] ^ np.uint64(0b1011)
    hashes = [f"{value:016x}" for value in values]
    groups = [i % 3 for i in range(40)]
    slow = [
        (i, j, bits)
        for i in range(40)
        for j in range(i + 1, 40)
        if groups[i] != groups[j]
        and (bits := (int(hashes[i], 16) ^ int(hashes[j], 16)).bit_count()) <= 4
    ]
    assert slow and audit.near_duplicates(hashes, groups, hamming=4) == slow


def test_a_brighter_smaller_copy_has_nearly_the_same_hash(scenes):
    copy = Image.fromarray(hazed(scenes["china"])).resize((200, 154))
    distance = int(audit.perceptual_hash(scenes["china"]), 16) ^ int(
        audit.perceptual_hash(np.array(copy)), 16
    )
    assert distance.bit_count() <= 4


@pytest.mark.parametrize("shift", [(0, 3), (-3, 0), (4, -2)])
def test_a_planted_shift_is_measured(scenes, shift):
    clean = scenes["china"]
    found = audit.align(np.roll(hazed(clean), shift, (0, 1)), clean)
    assert abs(found.dy - shift[0]) < 0.3 and abs(found.dx - shift[1]) < 0.3
    assert abs(found.off - np.hypot(*shift)) < 0.5


def test_a_planted_turn_is_found(scenes):
    import cv2

    h, w = scenes["coffee"].shape[:2]
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), 2, 1)
    turned = cv2.warpAffine(scenes["coffee"], turn, (w, h), borderMode=cv2.BORDER_REFLECT)
    assert audit.align(turned, scenes["coffee"]).off > 2


def test_aligned_pairs_pass_in_spite_of_the_weather():
    source = sources.embedded("test", count=18)
    for i in range(18):
        example = source[i]
        assert audit.align(example["image"], example["target"]).off < 1, example["id"]


def test_constant_pictures_are_not_off():
    flat = np.full((40, 50, 3), 80, np.uint8)
    assert audit.align(flat, flat).off == 0


def test_prepare_writes_records_that_are_read_back(tmp_path, scenes):
    fill(tmp_path / "haze", scenes)
    report = prepare(tmp_path / "haze", tmp_path / "out", progress=False)
    source = sources.path(tmp_path / "out")
    assert len(source) == report["kept"] == 6 and not report["misaligned"]
    row = source.rows[0]
    assert (row.w, row.h, row.degradation, row.dataset) == (260, 200, "haze", "haze")
    assert 0 < row.severity <= 1 and len(row.hash) == 16
    np.testing.assert_array_equal(source[0]["target"], scenes[row.scene_id])
    assert json.loads((tmp_path / "out/audit.json").read_text()) == report
    assert "6 of 6 pictures kept" in summary(report)
    again = prepare(tmp_path / "haze", tmp_path / "again", progress=False)
    assert again["splits"] == report["splits"]


def test_a_planted_shift_is_listed_and_left_out_of_training(tmp_path, scenes):
    fill(tmp_path / "set/train", scenes, shift=("flower", (0, 3)))
    report = prepare(tmp_path / "set", tmp_path / "out", degradation="haze", progress=False)
    (pair,) = report["misaligned"]
    assert pair["id"] == "train-flower" and abs(pair["off"] - 3) < 0.5
    assert len(records.read(tmp_path / "out/meta.jsonl")) == 5 and "worst 3" in summary(report)


def test_a_shifted_test_pair_is_listed_and_kept(tmp_path, scenes):
    fill(tmp_path / "set/test", scenes, shift=("flower", (0, 3)))
    report = prepare(tmp_path / "set", tmp_path / "out", progress=False)
    assert len(report["misaligned"]) == 1 and report["kept"] == 6


def leak(root, scenes):
    fill(root / "train", scenes)
    copy = {"copied": np.clip(scenes["china"].astype(int) + 6, 0, 255).astype(np.uint8)}
    fill(root / "test", copy)


def test_a_planted_leak_is_refused_and_listed(tmp_path, scenes):
    leak(tmp_path / "set", scenes)
    with pytest.raises(errors.InputError, match=r"train-china \(train\) and test-copied \(test\)"):
        prepare(tmp_path / "set", tmp_path / "out", progress=False)
    assert not (tmp_path / "out/meta.jsonl").exists()
    (found,) = json.loads((tmp_path / "out/audit.json").read_text())["leaks"]
    assert found["ids"] == ["train-china", "test-copied"] and found["bits"] <= 4


def test_a_leak_can_be_dropped_from_training(tmp_path, scenes):
    leak(tmp_path / "set", scenes)
    prepare(tmp_path / "set", tmp_path / "out", on_leak="drop", progress=False)
    ids = {row.id for row in records.read(tmp_path / "out/meta.jsonl")}
    assert "train-china" not in ids and "test-copied" in ids and len(ids) == 6


def test_lookalike_scenes_get_one_split_where_none_is_named(tmp_path, scenes):
    twins = {f"{name}-{i}": clean for name, clean in scenes.items() for i in range(4)}
    fill(tmp_path / "set", twins)
    prepare(tmp_path / "set", tmp_path / "out", progress=False)
    splits = {}
    for row in records.read(tmp_path / "out/meta.jsonl"):
        splits.setdefault(row.scene_id.split("-")[0], set()).add(row.split)
    assert len(splits) == 6 and all(len(found) == 1 for found in splits.values())


def test_unreadable_and_unequal_pictures_are_all_listed(tmp_path, scenes):
    fill(tmp_path / "set", scenes)
    (tmp_path / "set/input/china.png").write_bytes(b"no picture")
    Image.fromarray(scenes["coffee"][:100]).save(tmp_path / "set/gt/coffee.png")
    with pytest.raises(errors.InputError, match="2 of 6 pictures cannot be used"):
        prepare(tmp_path / "set", tmp_path / "out", progress=False)
    failures = json.loads((tmp_path / "out/audit.json").read_text())["failures"]
    assert [failure["id"] for failure in failures] == ["china", "coffee"]
