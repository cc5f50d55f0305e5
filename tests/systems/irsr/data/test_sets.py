"""The embedded frames, and windows whose small frame is the whole frame's."""

import types

import numpy as np
import pytest

from configs import irsr
from wxjax import errors
from wxjax.data import pipeline
from wxjax.systems.irsr.data import downscale, sets, thermal, windows


def config(**changes):
    return types.SimpleNamespace(**{**irsr.get_config("tiny").data.to_dict(), **changes})


def test_embedded_frames_hang_on_split_seed_and_number_alone():
    make = lambda **kw: sets.Embedded("train", crop=48, count=6, share=0.5, **kw)
    first, again, other = make(), make(), make(seed=1)
    for i in (3, 0):
        np.testing.assert_array_equal(first[i]["target"], again[i]["target"])
    assert np.any(first[2]["target"] != other[2]["target"])
    assert [first[i]["kind"] for i in range(4)] == ["photo", "thermal", "photo", "thermal"]
    assert first[0]["target"].shape == (48, 48, 1) and first[0]["target"].dtype == np.uint8
    held = set(sets.PHOTOGRAPHS["test"]) | set(sets.PHOTOGRAPHS["val"])
    assert not held & set(sets.PHOTOGRAPHS["train"])
    assert repr(first) != repr(other) and repr(first) == repr(again)


def test_a_thermal_scene_has_surfaces_edges_and_a_camera_that_blurs():
    rng = np.random.default_rng(4)
    scenes = [thermal.scene((64, 80), rng) for _ in range(6)]
    for radiance in scenes:
        assert radiance.shape == (64, 80) and 0 <= radiance.min() < radiance.max() <= 1
        steps = np.abs(np.diff(radiance, axis=1))
        assert np.quantile(steps, 0.5) < 0.02 < steps.max()  # smooth inside, sharp between
    frames = [thermal.camera(x, np.random.default_rng(i)) for i, x in enumerate(scenes)]
    sharp = lambda x: np.abs(np.diff(x.astype(float), 2, axis=1)).mean() / np.ptp(x)
    assert np.mean([sharp(f) for f in frames]) < np.mean([sharp(s) for s in scenes])


def test_whole_frames_are_degraded_by_the_name_the_run_records():
    source = sets.open(config(), "test")
    example = source[0]
    assert example["image"].shape == (18, 18, 1) and example["target"].shape == (72, 72, 1)
    assert downscale.identify(example["target"], example["image"], 4) == "pillow-bicubic"
    hard = sets.open(config(degradation="real-esrgan"), "test")
    np.testing.assert_array_equal(hard[1]["image"], hard[1]["image"])
    assert repr(hard) != repr(source)


def test_a_window_is_what_the_whole_frame_has_there():
    frame = sets.Embedded("test", crop=96, count=1, share=1.0)[0]
    whole = downscale.degrade("pillow-bicubic", frame["target"], 4)
    window = windows.ScaledWindow(
        (8,), scale=4, degradation="pillow-bicubic", num_steps=9, batch_size=1, seed=0,
        augment="none",
    )  # fmt: skip
    paired = {**frame, "image": whole}
    for i in range(20):
        out = window.map_with_index(i, paired)
        large = np.rint(out["target"] * 255).astype(np.uint8)
        at = np.argwhere(
            (np.lib.stride_tricks.sliding_window_view(frame["target"][..., 0], (32, 32))
             == large[..., 0]).all((2, 3))
        )  # fmt: skip
        assert (at % 4 == 0).all(1).any()
    # Made of the window and its margin: equal to the whole frame's where those are aligned.
    seen = 0
    for i in range(200):
        out = window.map_with_index(i, frame)
        view = np.lib.stride_tricks.sliding_window_view(frame["target"][..., 0], (32, 32))
        places = np.argwhere((view == np.rint(out["target"] * 255)[..., 0]).all((2, 3)))
        if len(places) == 1 and (places[0] % 4 == 0).all():
            y, x = places[0] // 4
            found = np.rint(out["image"] * 255)
            np.testing.assert_array_equal(found, whole[y : y + 8, x : x + 8])
            seen += 1
    assert seen >= 5


def test_batches_are_pairs_turned_alike_at_any_depth():
    source = sets.open(config(), "train")
    batch = next(
        pipeline.train_batches(source, crops=(16,), batch_size=4, seed=0, num_steps=2, threads=0)
    )
    assert batch["image"].shape == (4, 16, 16, 1) and batch["target"].shape == (4, 64, 64, 1)
    means = batch["target"].reshape(4, 16, 4, 16, 4).mean((2, 4))
    assert np.abs(means - batch["image"][..., 0]).mean() < 0.02  # turned otherwise, they differ
    deep = {**source[0], "target": source[0]["target"].astype(np.uint16) * 257}
    window = source.window((16,), num_steps=1, batch_size=1, seed=0)
    one, two = window.map_with_index(0, source[0]), window.map_with_index(0, deep)
    np.testing.assert_allclose(one["target"], two["target"], atol=1e-6)
    np.testing.assert_allclose(one["image"], two["image"], atol=1 / 255)


def test_slips_are_named():
    for message, changes, split in (
        ("config.data.name='tfds'", dict(name="tfds"), "train"),
        ("split='router'", {}, "router"),
        ("data.degradation='bicubic'", dict(degradation="bicubic"), "train"),
        ("config.data.root=''", dict(name="path"), "train"),
        ("data.thermal=2", dict(thermal=2), "train"),
    ):
        with pytest.raises(errors.InputError, match=message):
            sets.open(config(**changes), split)
