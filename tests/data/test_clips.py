"""Clips: layouts of the field's sets, the embedded films, falling snow, windows."""

import numpy as np
import pytest
from PIL import Image

from configs.mofme_video import get_config
from wxjax import errors
from wxjax.data import clips, films, pipeline, transforms
from wxjax.data.synthesis import snowfall

RNG = np.random.default_rng(0)


def draw(folder, count, size=(20, 16), suffix=".jpg"):
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = RNG.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i + 1:d}{suffix}")


@pytest.fixture
def rvsd(tmp_path):
    for split, names in (("train", ("00000", "00001")), ("test", ("00002",))):
        for name in names:
            for kind in ("snow", "clean"):
                draw(tmp_path / split / kind / name, 12)
    return tmp_path


def test_rvsd_is_read_by_its_layout_in_natural_order(rvsd):
    found = clips.scan(rvsd)
    assert [(f.split, f.name) for f in found] == [
        ("test", "00002"),
        ("train", "00000"),
        ("train", "00001"),
    ]
    assert [p.stem for p in found[0].inputs] == [str(i) for i in range(1, 13)]
    assert {f.dataset for f in found} == {"rvsd"} and {f.kind for f in found} == {"snow"}
    source = clips.Folder(clips.within(found, "train"), frames=5)
    assert len(source) == 2 and source[0]["image"].shape == (5, 16, 20, 3)
    assert source[0]["target"].shape == (5, 16, 20, 3) and int(source[0]["degradation"]) == 2
    assert clips.within(found, "val_router")[0].name == "00000"


def test_nturain_is_read_by_its_layout(tmp_path):
    for name in ("a1_Rain", "a1_GT"):
        draw(tmp_path / "Dataset_Testing_Synthetic" / name, 3)
    draw(tmp_path / "Dataset_Testing_RealRain" / "ra1_Rain", 2)
    real, synthetic = sorted(clips.scan(tmp_path), key=lambda film: len(film.inputs))
    assert synthetic.name == "a1" and len(synthetic.targets) == 3 and not real.targets
    assert {real.dataset, synthetic.dataset} == {"nturain"} and synthetic.kind == "rain"


def test_real_nturain_frames_are_read(real_data):
    (film,) = clips.scan(real_data / "video" / "nturain_a1")
    example = clips.Folder([film])[0]
    assert example["image"].shape == example["target"].shape and example["kind"] == "rain"


def test_a_frame_without_truth_and_a_folder_without_clips_are_named(rvsd, tmp_path_factory):
    (rvsd / "test" / "clean" / "00002" / "7.jpg").unlink()
    with pytest.raises(errors.InputError, match="1 of 12 frames have no truth .* first 7.jpg"):
        clips.scan(rvsd)
    with pytest.raises(errors.InputError, match="RVSD.*NTURain"):
        clips.scan(tmp_path_factory.mktemp("empty"))


def test_frames_of_two_sizes_are_refused(tmp_path):
    draw(tmp_path / "a" / "input", 2)
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "input" / "3.jpg")
    with pytest.raises(errors.InputError, match="frames of 2 sizes"):
        clips.Folder(clips.scan(tmp_path))[0]


def test_snow_falls_and_hides_nothing_for_long():
    clean = np.full((6, 64, 80, 3), 60, np.uint8)
    snowy, record = snowfall.degrade(clean, np.random.default_rng(1), 0.8)
    again, _ = snowfall.degrade(clean, np.random.default_rng(1), 0.8)
    np.testing.assert_array_equal(snowy, again)
    assert record["severity"] == 0.8 and (snowy[0] != snowy[1]).any()
    # Most of the time a place is free: the middle of a few frames is nearly their least.
    least, middle, most = snowy.min(0), np.median(snowy, 0), snowy.max(0).astype(float)
    assert (middle - least).mean() < 0.3 * (most - least).mean() and (most - least).mean() > 10


def test_the_embedded_splits_share_no_picture():
    used = {split: set(films.SPLITS[split]) for split in ("train", "test")}
    assert not used["train"] & used["test"]
    drift = films.DRIFT[0]
    assert drift not in films.PHOTOGRAPHS["train"] and drift not in films.PHOTOGRAPHS["val_router"]


def test_embedded_clips_depend_on_their_number_alone():
    one, other = (films.Clips("train", crop=40, count=4, frames=3) for _ in range(2))
    _ = other[0]
    np.testing.assert_array_equal(one[2]["image"], other[2]["image"])
    assert one[2]["image"].shape == one[2]["target"].shape == (3, 40, 40, 3)
    assert repr(one) == repr(other) != repr(films.Clips("train", crop=40, count=4, seed=1))


def test_test_frames_are_a_films_and_lie_within_one_scene():
    source = clips.open(get_config("default").data, "test")
    for i in range(len(source)):
        clean = source[i]["target"].astype(int)
        steps = np.abs(np.diff(clean, axis=0)).mean((1, 2, 3))
        assert steps.max() < 30 and len(clean) == 29 and steps.min() > 0


def test_a_clips_window_is_the_same_in_every_frame():
    frames = np.arange(4 * 12 * 12, dtype=np.uint8).reshape(4, 12, 12, 1).repeat(3, -1)
    element = {"id": "a", "image": frames, "target": frames, "degradation": np.int32(2)}
    element |= {"severity": np.float32(0.5), "index": np.int32(0)}
    window = transforms.ClipWindow((6,), num_steps=1, batch_size=1, seed=3, augment="dihedral")
    out = window.map_with_index(5, element)
    np.testing.assert_array_equal(out["image"], out["target"])
    assert out["image"].shape == (4, 6, 6, 3)
    gaps = np.rint(np.diff(out["image"][..., 0], axis=0) * 255) % 256
    assert len(np.unique(gaps)) == 1  # 144 codes from frame to frame, wherever the window lies


def test_batches_of_clips_have_an_axis_of_frames():
    source = films.Clips("val_router", crop=40, count=2, frames=2)
    batch = next(
        pipeline.train_batches(
            source, crops=(32,), batch_size=2, seed=0, num_steps=2, augment="flip", threads=0
        )
    )
    assert batch["image"].shape == batch["target"].shape == (2, 2, 32, 32, 3)
