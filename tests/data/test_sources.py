"""Folders, meta.jsonl, selections, inventories."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from wxjax import errors
from wxjax.data import layouts, records, sources


def picture(path, value=0, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return noise


def pair(root, raw, gt, value=0):
    picture(root / raw, value)
    return picture(root / gt, value + 1000)


def test_pairs_go_by_stem_and_not_by_order(tmp_path):
    truths = {}
    for i, (name, suffix) in enumerate([("b", "png"), ("a10", "png"), ("a9", "webp")]):
        picture(tmp_path / "input" / f"{name}.{suffix}", i)
        truths[name] = picture(tmp_path / "gt" / f"{name}.png", 10 + i)
    source = sources.path(tmp_path)
    assert [source[i]["id"] for i in range(3)] == ["a10", "a9", "b"]
    for i in range(3):
        np.testing.assert_array_equal(source[i]["target"], truths[source[i]["id"]])
        assert source[i]["degradation"] == -1 and source[i]["index"] == i


def test_missing_partners_are_listed_on_both_sides(tmp_path):
    pair(tmp_path, "input/a.png", "gt/a.png")
    picture(tmp_path / "input/lonely.png")
    picture(tmp_path / "gt/orphan.png")
    with pytest.raises(errors.InputError) as caught:
        sources.path(tmp_path)
    message = str(caught.value)
    assert "2 pictures without partner: input/lonely.png, gt/orphan.png" in message


def test_input_alone_has_no_targets(tmp_path):
    picture(tmp_path / "input/a.png")
    assert "target" not in sources.path(tmp_path)[0]


def test_two_pictures_with_one_stem_are_refused(tmp_path):
    picture(tmp_path / "input/a.png")
    picture(tmp_path / "input/a.webp")
    with pytest.raises(errors.InputError, match=r"a\.png and a\.webp share a stem"):
        sources.path(tmp_path)


def test_another_size_is_an_error_at_reading_and_not_a_resize(tmp_path):
    picture(tmp_path / "input/a.png", size=(12, 10))
    picture(tmp_path / "gt/a.png", size=(10, 10))
    source = sources.path(tmp_path)
    with pytest.raises(errors.InputError, match=r"gt/a\.png is 10x10, input/a\.png is 12x10"):
        source[0]


def test_sixteen_bit_truth_and_alpha_are_read_as_8_bit_rgb(tmp_path):
    import cv2

    (tmp_path / "input").mkdir()
    (tmp_path / "gt").mkdir()
    deep = np.full((6, 5, 3), 65535 // 3, np.uint16)
    cv2.imwrite(str(tmp_path / "gt/a.png"), deep)
    Image.new("RGBA", (5, 6), (10, 20, 30, 0)).save(tmp_path / "input/a.png")
    example = sources.path(tmp_path)[0]
    assert np.all(example["target"] == 85) and example["image"].shape == (6, 5, 3)
    np.testing.assert_array_equal(example["image"][0, 0], [10, 20, 30])


@pytest.mark.parametrize(
    ("raw", "gt", "degradation", "split", "scene"),
    [
        ("SOTS/indoor/hazy/1400_1.png", "SOTS/indoor/gt/1400.png", "haze", "", "SOTS-indoor-1400"),
        ("outdoor/hazy/0001_0.8_0.2.jpg", "outdoor/clear/0001.png", "haze", "", "outdoor-0001"),
        ("train/in/im_0001_s80_a04.png", "train/gt/im_0001.png", "rain", "train", "train-im_0001"),
        ("Rain100L/rainy/rain-001.png", "Rain100L/norain/norain-001.png", "rain", "", None),
        ("Rain100H/input/1.png", "Rain100H/target/1.png", "rain", "", None),
        ("test_a/data/0_rain.png", "test_a/gt/0_clean.png", "rain", "test", None),
        ("test/Snow100K-S/synthetic/x.png", "test/Snow100K-S/gt/x.png", "snow", "test", None),
        ("Train/Snow/1.tif", "Train/Gt/1.tif", "snow", "train", None),
        ("cloud_L3/7.png", "clear/7.png", "haze", "", "7"),
        ("test_raindrop/input/3_rain.png", "test_raindrop/gt/3_clean.png", "rain", "test", None),
        ("val_calib/input/q.png", "val_calib/gt/q.png", "unknown", "val_calib", None),
    ],
)
def test_the_fields_usual_folders_are_recognised(tmp_path, raw, gt, degradation, split, scene):
    truth = pair(tmp_path, raw, gt)
    source = sources.path(tmp_path)
    (row,) = source.rows
    assert (row.degradation, row.split) == (degradation, split)
    assert scene is None or row.scene_id == scene
    if not raw.endswith(".jpg"):
        np.testing.assert_array_equal(source[0]["target"], truth)


def test_levels_of_8kdehaze_share_a_scene_and_carry_a_severity(tmp_path):
    picture(tmp_path / "clear/7.png")
    for level in (1, 2, 3, 4):
        picture(tmp_path / f"cloud_L{level}/7.png", level)
    rows = layouts.scan(tmp_path)
    assert {row.scene_id for row in rows} == {"7"} and len({row.id for row in rows}) == 4
    assert [row.severity for row in rows] == [0.25, 0.5, 0.75, 1.0]


def allweather(root):
    for name, value in (("im_0300_s80_a04", 1), ("im_0310_s80_a04", 2), ("3_rain", 3)):
        gt = name.replace("_rain", "_clean")
        pair(root, f"train/input/{name}.png", f"train/gt/{gt}.png", value)
    pair(root, "train/input/beautiful_smile_01.png", "train/gt/beautiful_smile_01.png", 4)
    pair(root, "test_rain/input/im_0310_s80_a04.png", "test_rain/gt/im_0310_s80_a04.png", 5)
    pair(root, "test_snow/input/city.png", "test_snow/gt/city.png", 6)


def test_the_known_leak_of_allweather_is_left_out_of_training_alone(tmp_path):
    allweather(tmp_path)
    rows = {row.id: row for row in layouts.scan(tmp_path)}
    assert "train-im_0310_s80_a04" not in rows and "test_rain-im_0310_s80_a04" in rows
    assert rows["train-im_0300_s80_a04"].degradation == "rain"
    assert rows["train-3_rain"].degradation == "rain"
    assert rows["train-beautiful_smile_01"].degradation == "snow"
    assert len(layouts.scan(tmp_path, leaks="keep")) == len(rows) + 1


def test_an_unknown_folder_says_what_is_expected(tmp_path):
    with pytest.raises(errors.InputError, match="no pictures recognised; expected input/ with gt/"):
        sources.path(tmp_path)
    with pytest.raises(errors.InputError, match="expected a folder or a meta.jsonl"):
        sources.path(tmp_path / "nowhere")


def plain(root, count=40):
    for i in range(count):
        pair(root, f"input/{i:03d}.png", f"gt/{i:03d}.png", i)
    return sources.path(root)


def test_unsplit_folders_are_shared_out_completely_and_without_overlap(tmp_path):
    source = plain(tmp_path)
    parts = []
    for split in ("train", "val_router", "val_calib", "test"):
        try:
            parts += [row.id for row in sources.within(source, split).rows]
        except errors.InputError as error:
            assert "no example of" in str(error)
    assert sorted(parts) == sorted(row.id for row in source.rows)


def test_a_single_validation_split_is_halved_by_scene(tmp_path):
    rows = [
        records.Record(str(i), "d", f"scene{i // 2}", "val", "a.png", w=1, h=1) for i in range(60)
    ]
    source = sources.Pairs(rows, tmp_path)
    router = {row.scene_id for row in sources.within(source, "val_router").rows}
    calib = {row.scene_id for row in sources.within(source, "val_calib").rows}
    assert not router & calib and len(router | calib) == 30
    assert len(sources.within(source, "val")) == 60


def test_validation_comes_out_of_train_where_none_is_named(tmp_path):
    rows = [records.Record(str(i), "d", str(i), "train", "a.png") for i in range(300)]
    source = sources.Pairs([*rows, records.Record("t", "d", "t", "test", "a.png")], tmp_path)
    sizes = {s: len(sources.within(source, s)) for s in ("train", "val_router", "val_calib")}
    assert sum(sizes.values()) == 300 and sizes["train"] > 240 and min(sizes.values()) > 3
    assert len(sources.within(source, "test")) == 1


def test_jsonl_is_found_in_its_folder_and_read_relative_to_it(tmp_path):
    source = plain(tmp_path, 3)
    rows = [dataclasses.replace(row, split="test", w=12, h=10) for row in source.rows]
    records.write(tmp_path / "meta.jsonl", rows)
    assert len(sources.path(tmp_path)) == len(sources.path(tmp_path / "meta.jsonl")) == 3
    assert len(sources.jsonl(tmp_path / "meta.jsonl", "test")) == 3
    config = ConfigDict({"name": "path", "root": str(tmp_path)})
    assert sources.open(config, "test")[1]["id"] == "001"
    with pytest.raises(errors.InputError, match="split='train': no example"):
        sources.open(config, "train")


def test_a_record_with_another_size_is_refused_at_reading(tmp_path):
    row = dataclasses.replace(plain(tmp_path, 1).rows[0], w=99, h=10)
    with pytest.raises(errors.InputError, match="its record says 99x10"):
        sources.Pairs([row], tmp_path)[0]


def test_a_selection_counts_anew_and_knows_its_kinds(tmp_path):
    source = sources.embedded("test", count=9)
    rain = sources.only(source, "rain")
    assert len(rain) == 3 and sources.kinds(rain) == ["rain"] * 3
    assert [rain[i]["index"] for i in range(3)] == [0, 1, 2]
    assert len(sources.severities(rain)) == 3
    with pytest.raises(errors.InputError, match="degradation='rian'.*Did you mean 'rain'"):
        sources.only(source, "rian")
    with pytest.raises(errors.InputError, match="no example of"):
        sources.only(source, "mixed")


def test_the_config_opens_by_name():
    config = ConfigDict({"name": "embedded", "count": 6, "crop": 32, "degradations": ("snow",)})
    source = sources.open(config, "train")
    assert len(source) == 2 and source[0]["image"].shape == (32, 32, 3)
    with pytest.raises(errors.InputError, match="Did you mean 'embedded'"):
        sources.open(ConfigDict({"name": "embeded"}), "train")
    with pytest.raises(errors.InputError, match="config.data.root"):
        sources.open(ConfigDict({"name": "path"}), "train")


def test_a_changed_data_set_is_refused_with_the_difference(tmp_path):
    stored = sources.inventory(plain(tmp_path, 4))
    sources.check_unchanged(sources.path(tmp_path), stored)
    (tmp_path / "input/000.png").rename(tmp_path / "input/renamed.png")
    (tmp_path / "gt/000.png").rename(tmp_path / "gt/renamed.png")
    picture(tmp_path / "gt/001.png", 5, size=(11, 10))
    with pytest.raises(errors.InputError) as caught:
        sources.check_unchanged(sources.path(tmp_path), stored)
    for part in ("added 1 (renamed)", "removed 1 (000)", "changed 1 (001)", "new workdir"):
        assert part in str(caught.value)
    with pytest.raises(errors.InputError, match="other content or order"):
        sources.check_unchanged(sources.path(tmp_path), stored["fingerprint"])


def test_the_name_of_a_source_is_the_same_in_another_process(tmp_path):
    source = plain(tmp_path, 2)
    code = (
        "from wxjax.data import sources; import sys;"
        "print(repr(sources.path(sys.argv[1]))); print(repr(sources.embedded('test')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split("\n")[:2] == [repr(source), repr(sources.embedded("test"))]


def test_the_real_pairs_beside_the_project_are_read(real_data):
    source = sources.path(real_data / "weather")
    assert len(source) > 40 and set(sources.kinds(source)) == {"haze", "rain", "snow"}
    small = next(i for i, row in enumerate(source.rows) if "r100l" in row.id)
    example = source[small]
    assert example["image"].shape == example["target"].shape and example["kind"] == "rain"


def test_a_spread_is_even_and_never_more_than_there_is():
    source = [{"id": letter} for letter in "abcdefghij"]
    chosen = sources.spread(source, 4)
    assert [chosen[i]["id"] for i in range(len(chosen))] == ["a", "d", "g", "j"]
    assert sources.spread(source, 0) is source and sources.spread(source, 10) is source
