"""The task: exact at given hours, random access, periodicity, patches, a training step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import tod
from wxjax import errors, systems
from wxjax.losses import perceptual
from wxjax.recipes import stages
from wxjax.systems.tod import anchors
from wxjax.systems.tod import task as tod_task

HOURS = np.array([0.0, 4.0, 5.9, 8.0, 12.0, 15.0, 18.1, 21.0])


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    level = np.array([20, 22, 40, 120, 200, 160, 60, 21])[:, None, None, None]
    return np.clip(level + rng.normal(0, 15, (8, 16, 24, 3)), 0, 255).astype(np.uint8)


def configure(field="sunfield", **changes):
    config = tod.get_config("tiny")
    config.model.update(field=field, learn_sun=False, levels=2, **changes)
    config.training.update(patch_size=8, batch_size=128)
    return stages.stage_config(config, "field", "field")


def made(config, frames, hours=HOURS):
    task = systems.make(config)
    return task, task.init(jax.random.key(0), {"frames": frames, "hours": hours})


def shaken(variables, size=0.3):
    """Random weights: what must hold does not depend on training."""
    rng = np.random.default_rng(1)
    field = jax.tree.map(
        lambda x: x + size * rng.standard_normal(x.shape).astype(np.float32),
        variables["params"]["field"],
    )
    return {**variables, "params": {**variables["params"], "field": field}}


@pytest.fixture(scope="module")
def sunfield(frames):
    task, variables = made(configure(), frames)
    return jax.jit(task.predict), shaken(variables), task


def test_given_hours_are_exact_to_the_byte_for_any_weights(sunfield, frames):
    predict, variables, _ = sunfield
    image = predict(variables, {"time": jnp.asarray(HOURS, jnp.float32)})["image"]
    assert np.abs(np.asarray(image) * 255 - frames).max() < 0.02
    between = predict(variables, {"time": jnp.asarray(HOURS + 1.0, jnp.float32)})["image"]
    assert np.abs(np.asarray(between) * 255 - frames).mean() > 2


def test_midnight_comes_round_and_single_pixels_are_the_pictures(sunfield):
    predict, variables, _ = sunfield
    image = np.asarray(predict(variables, {"time": jnp.array([0.0, 24.0, 7.3])})["image"])
    np.testing.assert_allclose(image[0], image[1], atol=1e-5)
    coords = np.array([[0, 0], [15, 23], [7, 11]])
    single = predict(variables, {"time": jnp.array([7.3]), "coords": coords[None]})["image"]
    np.testing.assert_allclose(single[0], image[2][tuple(coords.T)], atol=1e-5)


def test_a_step_learns_from_hidden_frames_alone(sunfield, frames):
    """The frame to be predicted has no influence on its own prediction."""
    _, variables, _ = sunfield
    model = tod_task.FrozenConfigDict(configure().model.to_dict())
    variables = jax.tree.map(jnp.asarray, variables)
    day = variables["scene"]
    keep = anchors.leave_out(8, jnp.array([3]), 1)
    pixels = tod_task.decode(model, day["frames"][:2, :2].reshape(1, 4, 8, 3))
    lamps = day["lamps"][:2, :2].reshape(1, 4, 3).astype(jnp.float32)
    xy, hour = jnp.zeros((1, 4, 2)), jnp.array([8.0])

    def value(seen):
        return tod_task.values_at(model, variables, xy, hour, seen, lamps, keep)[0]

    first = value(pixels)
    np.testing.assert_array_equal(first, value(pixels.at[:, :, 3].add(0.5)))
    assert np.abs(first - value(pixels.at[:, :, 4].add(0.5))).max() > 1e-3


def test_the_size_of_what_the_network_adds_has_its_price(sunfield, frames):
    _, variables, _ = sunfield
    found = {}
    for weight in (0.0, 0.5):
        config = configure()
        config.training.loss_static_w = weight
        loss = jax.jit(systems.make(config).loss)
        found[weight] = loss(variables, {"index": jnp.arange(2)}, jax.random.key(0), jnp.int32(0))
    (free, (said, _)), (priced, (logs, _)) = found[0.0], found[0.5]
    assert "static" not in said and logs["static"] > 0.01
    assert float(priced - free) == pytest.approx(0.5 * float(logs["static"]), rel=1e-4)


@pytest.mark.parametrize("field", ["encoder", "basis", "hash3d"])
def test_every_field_takes_a_step_and_renders(field, frames):
    config = configure(field, be_input="key", basis_fit="grid", time_code="harmonic",
                       time_harmonics=2, hash_times=4)  # fmt: skip
    task, variables = made(config, frames)
    batch = {"index": jnp.arange(2)}
    total, (logs, kept) = jax.jit(task.loss)(variables, batch, jax.random.key(0), jnp.int32(0))
    assert np.isfinite(total) and {"mse", "psnr", "ssim_loss"} <= set(logs)
    assert set(kept) == {"scene"}
    image = task.predict(variables, {"time": jnp.array([12.0])})["image"]
    assert image.shape == (1, 16, 24, 3)
    # A residual starts near the baseline picture, the frame of noon.
    assert np.abs(np.asarray(image[0]) - frames[4] / 255).mean() < 0.3


def test_lpips_every_nth_step_counts_n_times(frames):
    config = configure("dense")
    config.training.update(loss_lpips_w=0.1, lpips_freq=4)
    rng = np.random.default_rng(0)
    output, target = (jnp.asarray(rng.uniform(size=(1, 16, 16, 3)), jnp.float32) for _ in "ab")
    training = tod_task.FrozenConfigDict(config.training.to_dict())
    run = jax.jit(lambda step: tod_task.patch_terms(training, output, target, step)[0])
    totals = np.array([float(run(jnp.int32(step))) for step in range(8)])
    every = tod_task.FrozenConfigDict({**config.training.to_dict(), "lpips_freq": 1})
    always = float(tod_task.patch_terms(every, output, target, jnp.int32(1))[0])
    assert totals.mean() == pytest.approx(always, rel=1e-4)
    assert np.ptp(totals) > 0


def test_patches_below_64_pixels_are_enlarged_for_lpips():
    rng = np.random.default_rng(0)
    small, large = (jnp.asarray(rng.uniform(size=(1, s, s, 3)), jnp.float32) for s in (16, 96))
    assert tod_task.at_least(small, 64).shape == (1, 64, 64, 3)
    assert tod_task.at_least(large, 64) is large
    enlarged = tod_task.at_least(small, 64)
    assert float(perceptual.lpips(enlarged, 1 - enlarged)[0]) > 0.05


def test_transfers_come_back():
    light = jnp.linspace(0, 4, 50)
    for name in ("log1p", "mu"):
        back = anchors.from_value(anchors.to_value(light, name), name)
        np.testing.assert_allclose(back, light, rtol=2e-4, atol=1e-5)
    code = jnp.linspace(0, 1, 50)
    np.testing.assert_allclose(
        anchors.from_value(anchors.to_value(code, "linear"), "linear"), code, atol=1e-5
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(field="sunfeild"), "model.field='sunfeild'.*Did you mean 'sunfield'"),
        (dict(transfer="gamma"), "model.transfer='gamma'"),
        (dict(be_downsample=3), "expected 1, 2 or 4"),
        (dict(quant="int4"), "model.quant='int4'"),
        (dict(quant="int8", field="mlp"), "this field has no grids to store"),
    ],
)
def test_a_slip_in_the_model_is_named(change, message):
    config = configure(**({"field": "dense"} | change))
    with pytest.raises(errors.InputError, match=message):
        systems.make(config)


def test_switches_that_are_off_change_nothing(frames):
    """The source's model is bit for bit the same whatever the parts it does not use are set to."""
    source = dict(field="mlp", film=False, time_code="harmonic", time_harmonics=2, xy_code="origin")
    plain = made(configure(**source), frames)
    unused = dict(be_channels=16, be_downsample=4, hash_levels=7, level_channels=2, rank=3)
    others = made(configure(**source, **unused), frames)
    batch = {"time": jnp.array([7.0])}
    first, second = (jax.jit(task.predict)(v, batch)["image"] for task, v in (plain, others))
    np.testing.assert_array_equal(first, second)


def test_a_basis_in_closed_form_is_its_rank_at_given_hours(frames):
    task, variables = made(configure("basis", rank=3), frames)
    image = np.asarray(task.predict(variables, {"time": jnp.asarray(HOURS)})["image"])
    flat = frames.reshape(8, -1) / 255
    left, sizes, right = np.linalg.svd(flat, full_matrices=False)
    expected = ((left[:, :3] * sizes[:3]) @ right[:3]).reshape(frames.shape)
    np.testing.assert_allclose(image, expected, atol=2e-3)
