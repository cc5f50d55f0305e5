"""Folders of infrared frames: every layout read, split by scene, at its own depth."""

import numpy as np
import pytest
from PIL import Image

from wxjax import errors
from wxjax.systems.irsr.data import frames

RNG = np.random.default_rng(0)


def put(path, shape=(16, 20), dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, np.iinfo(dtype).max, shape, dtype)).save(path)


def layout(root, names):
    for name in names:
        put(root / name)
    return frames.folder(root)


LAYOUTS = {
    "m3fd": (["Ir/00001.png", "Ir/00002.png", "Vis/00001.png", "Vis/00002.png"], 2),
    "flir": (
        [
            "images_thermal_train/data/video-abc-frame-000001-x.jpg",
            "images_thermal_val/data/video-def-frame-000002-y.jpg",
            "images_rgb_train/data/video-abc-frame-000001-z.jpg",
        ],
        2,
    ),
    "kaist": (
        [
            "set00/V000/lwir/I00000.jpg",
            "set06/V001/lwir/I00000.jpg",
            "set00/V000/visible/I00000.jpg",
        ],
        2,
    ),
    "cvc14": (
        [
            "Day/FIR/Train/FramesPos/2014_05_01_a.tif",
            "Night/FIR/NewTest/FramesNeg/2014_05_02_b.tif",
            "Day/Visible/Train/FramesPos/2014_05_01_a.tif",
        ],
        2,
    ),
    "tno": (
        [
            "Athena/soldier/IR_soldier.bmp",
            "Athena/soldier/VIS_soldier.bmp",
            "TriclobsLWIR/a/thermal.png",
        ],
        2,
    ),
    "frames": (["a.png", "below/b.png", ".hidden/c.png"], 2),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_and_only_its_thermal_frames_read(tmp_path, name):
    files, count = LAYOUTS[name]
    if name == "tno":
        files = [file.replace(".bmp", ".png") for file in files]
    found = layout(tmp_path, files)
    assert found.name == name and len(found) == count
    example = found[0]
    assert example["target"].shape == (16, 20, 1) and "image" not in example
    words = ("vis/", "rgb", "visible", "vis_", ".hidden")
    assert not any(word in str(f.path.relative_to(tmp_path)).lower() for f in found.found
                   for word in words)  # fmt: skip


def test_splits_are_the_folders_and_no_scene_is_in_two(tmp_path):
    found = layout(tmp_path / "kaist", LAYOUTS["kaist"][0])
    assert [f.split for f in found.found] == ["train", "test"]
    names = [f"images_thermal_train/data/video-{s}-frame-{i}-x.jpg" for s in "abcdefghijklmnop"
             for i in range(2)]  # fmt: skip
    names += ["images_thermal_val/data/video-z-frame-1-x.jpg"]
    flir = layout(tmp_path / "flir", names)
    train, val, test = (frames.within(flir, split) for split in ("train", "val", "test"))
    assert len(train) == 32 and len(val) == len(test) == 1  # val stands for the test as well
    loose = layout(tmp_path / "loose", [f"{i}.png" for i in range(60)])
    parts = {s: {f.scene for f in frames.within(loose, s).found} for s in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == 60 and not parts["train"] & parts["test"]


def test_pairs_go_by_name_and_lose_what_the_small_frame_does_not_cover(tmp_path):
    put(tmp_path / "HR" / "a.png", (18, 23))
    put(tmp_path / "LR" / "ax4.png", (4, 5))
    (example,) = list(frames.folder(tmp_path))
    assert example["image"].shape == (4, 5, 1) and example["target"].shape == (16, 20, 1)
    put(tmp_path / "LR" / "bx4.png", (4, 5))
    with pytest.raises(errors.InputError, match="HR and LR do not go together: b in one"):
        frames.folder(tmp_path)
    put(tmp_path / "HR" / "b.png", (16, 30))
    with pytest.raises(errors.InputError, match="30x16.*5x4.*factor of 4"):
        list(frames.folder(tmp_path))
    only = frames.folder(tmp_path / "HR" / "..")
    assert len(only) == 2


def test_depth_and_grey_are_kept_and_floats_are_not_stretched(tmp_path):
    deep = RNG.integers(7000, 9000, (8, 8), np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(RNG.integers(0, 255, (8, 8), np.uint8)).convert("RGB").save(
        tmp_path / "equal.png"
    )
    put(tmp_path / "colour.png", (8, 8, 3))
    found = {example["id"]: example["target"] for example in frames.folder(tmp_path)}
    np.testing.assert_array_equal(found["deep"][..., 0], deep)
    assert found["equal"].shape == (8, 8, 1) and found["colour"].shape == (8, 8, 3)
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(errors.InputError, match="'floats': expected 8 or 16 bits"):
        list(frames.folder(tmp_path))


def test_a_folder_without_frames_is_named(tmp_path):
    with pytest.raises(errors.InputError, match="no frames found"):
        frames.folder(tmp_path)
    with pytest.raises(errors.InputError, match="expected a folder"):
        frames.folder(tmp_path / "none")
