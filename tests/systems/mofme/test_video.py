"""MoFME on clips: references in training, the stream at inference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.mofme_video import get_config
from wxjax import errors, systems
from wxjax.systems.mofme import measure as runs
from wxjax.systems.mofme import streaming, video
from wxjax.systems.mofme.network import NO_REFERENCE
from wxjax.systems.mofme.streaming import Cuts
from wxjax.train import once

RNG = np.random.default_rng(0)
CLIP = RNG.integers(0, 256, (6, 40, 48, 3), np.uint8)


@functools.cache
def made(detect=False, every=0):
    config = get_config("tiny")
    config.video.cuts.update(detect=detect, every=every)
    task = systems.make(config)
    noise = lambda path, x: x + 0.03 * jax.random.normal(jax.random.key(x.size), x.shape)

    def noisy():
        return jax.tree_util.tree_map_with_path(noise, task.init(jax.random.key(0), {}))

    return task, once.jit(noisy)()


@functools.cache
def streamer(remember=True, **changes):
    return runs.Streamer(*made(**changes), remember)


@pytest.mark.parametrize("size", ["default", "tiny", "paper"])
def test_every_size_makes_a_task_with_a_stream(size):
    task = systems.make(get_config(size))
    assert task.stream.init_state(16, 24)["reference"].shape == (16, 24, 3)


def test_streaming_equals_one_long_call_to_the_bit(tmp_path):
    long, _ = runs.restore(streamer(), CLIP)
    state = streamer().start(40, 48)
    frames = []
    for number, frame in enumerate(CLIP):
        state, restored, _ = streamer().step(state, frame)
        frames.append(runs.round8(restored))
        if number == 2:  # handed on through a file
            np.savez(tmp_path / "state.npz", **{k: np.asarray(v) for k, v in state.items()})
            with np.load(tmp_path / "state.npz") as saved:
                state = dict(saved)
    np.testing.assert_array_equal(np.stack(frames), long)


def test_the_stream_is_the_task_over_a_clip():
    task, variables = made()
    batch = {"image": jnp.asarray(CLIP[None, :4] / np.float32(255))}
    whole = jax.jit(task.predict)(variables, batch)
    state, found = streamer().start(40, 48), []
    for frame in CLIP[:4]:
        state, restored, said = streamer().step(state, frame)
        found.append(restored)
    np.testing.assert_allclose(np.stack(found), whole["image"][0], atol=2e-5)
    np.testing.assert_allclose(said["usage"], whole["gate_usage"][0, -1], atol=1e-5)


def test_the_state_does_not_grow_and_stays_in_range_over_200_frames():
    state = streamer().start(40, 48)
    size = sum(np.asarray(x).nbytes for x in state.values())
    for t in range(200):
        state, restored, _ = streamer().step(state, CLIP[t % 6])
    assert sum(np.asarray(x).nbytes for x in state.values()) == size
    assert np.abs(np.asarray(state["reference"])).max() <= 1 and int(state["number"]) == 200


def test_without_memory_every_frame_is_a_first_frame():
    clip, _ = runs.restore(streamer(remember=False), CLIP[[0, 1, 0]])
    np.testing.assert_array_equal(clip[0], clip[2])
    first, _ = runs.restore(streamer(), CLIP[:1])
    np.testing.assert_array_equal(clip[0], first[0])
    second, _ = runs.restore(streamer(), CLIP[:2])
    assert (second[1] != clip[1]).any()


def test_a_photograph_is_a_frame_with_none_before():
    task, variables = made()
    photo = jax.jit(task.predict)(variables, {"image": jnp.asarray(CLIP[:1] / np.float32(255))})
    _, restored, _ = streamer().step(streamer().start(40, 48), CLIP[0])
    np.testing.assert_allclose(photo["image"][0], restored, atol=1e-5)


def test_a_reset_and_a_reset_every_two_frames_bring_first_frames_back():
    state = streamer().start(40, 48)
    state, first, said = streamer().step(state, CLIP[0])
    assert not said["referenced"]
    state, again, said = streamer().step(streamer().reset(state), CLIP[0])
    np.testing.assert_array_equal(first, again)
    _, notes = runs.restore(streamer(every=2), CLIP)
    assert [bool(note["referenced"]) for note in notes] == [False, True] * 3


def scenes():
    """Two still scenes of noise over a gradient, the second darker, nine frames each."""
    ramp = np.linspace(0.4, 0.9, 48)[None, :, None] * np.ones((40, 1, 3))
    frames = [ramp if t < 9 else 0.5 * ramp[:, ::-1] for t in range(18)]
    noisy = [frame + RNG.normal(0, 0.05, frame.shape) for frame in frames]
    return np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)


def test_a_scene_cut_empties_the_reference_and_a_frame_alike_does_not():
    _, notes = runs.restore(streamer(detect=True), scenes())
    assert [t for t, note in enumerate(notes) if note["cut"]] == [9]
    assert [t for t, note in enumerate(notes) if not note["referenced"]] == [0, 9]
    _, notes = runs.restore(streamer(), scenes())
    assert [t for t, note in enumerate(notes) if not note["referenced"]] == [0]


def test_a_frame_larger_than_the_tile_is_cut_alike_for_frame_and_reference():
    tiled = np.concatenate([CLIP[:2], CLIP[:2, :, ::-1]], 2)  # 40 x 96, tiles of 64
    restored, notes = runs.restore(streamer(), tiled)
    assert restored.shape == tiled.shape and notes[1]["usage"].shape == (2, 4)
    corner, size = streaming.corners(40, 96, 64, 16)
    assert corner.tolist() == [[0, 0], [0, 48]] and size == (64, 112)


def test_references_in_training_are_own_outputs_true_frames_or_none():
    output, truth, degraded = (jnp.full((64, 4, 4, 3), x) for x in (0.25, 0.75, 1.0))
    exact = video.Exposure(own=0, drop=0.25, noise=0.0, shift=0, tint=0.0, rest=0.0)

    def values(own, exposure=exact):
        found = video.expose(exposure, own, jax.random.key(1), output, truth, degraded)
        assert jnp.ptp(found, axis=(1, 2, 3)).max() == 0  # one kind a clip
        return np.asarray(found[:, 0, 0, 0])

    assert set(values(1.0)) == {NO_REFERENCE, -0.5}
    assert set(values(0.0)) == {NO_REFERENCE, 0.5}
    assert set(values(0.5)) == {NO_REFERENCE, -0.5, 0.5}
    assert 8 <= (values(0.5) == NO_REFERENCE).sum() <= 24
    worn = values(0.0, exact._replace(rest=0.5, drop=0.0))  # up to half of the weather is left
    assert 0.5 <= worn.min() < 0.51 and 0.7 < worn.max() <= 0.75


def test_the_loss_of_a_clip_is_finite_and_no_gradient_flows_through_references():
    task, variables = made()
    image, target = jax.random.uniform(jax.random.key(0), (2, 1, 2, 16, 16, 3))
    total, (logs, _) = jax.jit(task.loss)(
        variables, {"image": image, "target": target}, jax.random.key(0), 0
    )
    assert np.isfinite(float(total)) and {"psnr_first", "psnr_last", "experts"} <= set(logs)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.model.update(in_channels=3), "in_channels=3: expected 6"),
        (lambda c: c.video.update(drop=1.5), "config.video.drop=1.5: expected 0 to 1"),
        (lambda c: c.video.cuts.update(ratio=-1.0), "cuts.ratio=-1.0: expected 0 or more"),
    ],
)
def test_a_slip_in_the_config_is_named(change, message):
    config = get_config("tiny")
    with config.unlocked():
        change(config)
    with pytest.raises(errors.InputError, match=message):
        systems.make(config)


def test_histograms_are_shares_and_a_shade_moves_little():
    flat = streaming.histogram(jnp.full((4, 4), 0.5))
    near = streaming.histogram(jnp.full((4, 4), 0.501))
    assert float(flat.sum()) == pytest.approx(1) and float(jnp.abs(flat - near).sum()) < 0.1
    assert Cuts().detect
