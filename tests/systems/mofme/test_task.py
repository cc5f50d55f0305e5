"""MoFME as a task."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.mofme import get_config
from wxjax import errors, systems
from wxjax.nn import experts
from wxjax.ops import tile
from wxjax.systems.mofme.network import build
from wxjax.train import once

RNG = np.random.default_rng(0)


@functools.cache
def made():
    task = systems.make(get_config("tiny"))
    noise = lambda path, x: x + 0.02 * jax.random.normal(jax.random.key(x.size), x.shape)

    def noisy():
        return jax.tree_util.tree_map_with_path(noise, task.init(jax.random.key(0), {}))

    return task, once.jit(noisy)()


@pytest.mark.parametrize("size", ["default", "tiny", "paper"])
def test_every_size_makes_a_task_and_refuses_a_misspelt_key(size):
    config = get_config(size).lock()
    assert systems.make(config).predict is not None
    with pytest.raises(AttributeError, match='Did you mean "seed"'):
        config.sed = 1


def test_the_paper_size_is_the_published_network():
    net = build(get_config("paper").model.to_dict())
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    unread = 2 * 16 * 2 * 384  # a LayerNorm for every expert that nothing reads
    assert experts.size(shapes) + unread == 8_955_139 + 593_666 * 16


def test_tiles_of_one_tile_are_the_image():
    task, variables = made()
    image = RNG.integers(0, 256, (50, 61, 3), np.uint8)
    predict = jax.jit(task.predict)
    through, said = tile.through(
        lambda batch: predict(variables, batch), image, tile=64, overlap=16, blend="hann"
    )
    padded = np.pad(image, ((0, 14), (0, 3), (0, 0)), mode="reflect")
    whole = predict(variables, {"image": jnp.asarray(padded[None] / np.float32(255))})
    np.testing.assert_allclose(through, whole["image"][0, :50, :61], atol=1e-5)
    assert said["gate_usage"].shape == (1, 2, 4)
    np.testing.assert_allclose(said["gate_usage"], whole["gate_usage"], atol=1e-5)


def test_statistics_count_real_tiles_only():
    task, variables = made()
    images = RNG.integers(0, 256, (3, 64, 64, 3), np.uint8)
    batch = {"tiles": images, "count": np.int32(2)}
    said = jax.jit(task.predict)(variables, batch)
    whole = jax.jit(task.predict)(variables, {"image": jnp.asarray(images[:2] / np.float32(255))})
    for name in ("gate_usage", "gate_count", "gate_histogram", "gate_entropy"):
        np.testing.assert_allclose(said[name][0], whole[name].mean(0), atol=1e-5)


def test_the_loss_is_the_weighted_sum_of_what_it_logs():
    config = get_config("tiny")
    config.balance = dict(switch=0.01, importance=0.0, load=0.0, z=0.5)
    config.losses = dict(smooth_l1=1.0, charbonnier=0.5)
    task, (_, variables) = systems.make(config), made()
    image, target = jax.random.uniform(jax.random.key(0), (2, 2, 16, 16, 3))
    batch = {"image": image, "target": target}
    total, (logs, stats) = jax.jit(task.loss)(variables, batch, jax.random.key(0), 0)
    expected = logs["smooth_l1"] + 0.5 * logs["charbonnier"]
    expected += 0.01 * logs["balance_switch"] + 0.5 * logs["balance_z"]
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    assert float(logs["experts"]) == pytest.approx(2) and stats == {}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.tiles.update(tile=60), "config.tiles.tile=60: .*the patch, 8 px. Try 64"),
        (lambda c: c.tiles.update(mode="globl"), "config.tiles.mode='globl'"),
        (lambda c: c.balance.update(swich=1.0), "config.balance='swich'.*Did you mean 'switch'"),
        (lambda c: c.model.router.update(top_k=5), "top_k=5: expected 1 to .* 4"),
    ],
)
def test_a_slip_in_the_config_is_named(change, message):
    config = get_config("tiny")
    with config.unlocked():
        change(config)
    with pytest.raises(errors.InputError, match=message):
        systems.make(config)
