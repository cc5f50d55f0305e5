"""The task of each stage: what its loss counts, and that devices do not change it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.moei import get_config
from wxjax import errors, systems
from wxjax import mesh as meshes
from wxjax.recipes import stages
from wxjax.train import once, optimizer
from wxjax.train.state import TrainState
from wxjax.train.step import compile_step

KEY = jax.random.key(0)


def batch(size=4, side=32):
    image, target = jax.random.uniform(KEY, (2, size, side, side, 3))
    return {
        "image": image,
        "target": target,
        "degradation": jnp.arange(size, dtype=jnp.int32) % 3,
        "severity": jnp.zeros(size),
        "index": jnp.arange(size, dtype=jnp.int32),
    }


def dense(losses=None):
    config = get_config("tiny")
    config.losses = ConfigDict(losses or {"haze": {"l1": 1.0}, "rain": {"mse": 2.0}, "snow": {}})
    stage = stages.stage_config(config, "dense", "dense")
    return stage, systems.make(stage)


@functools.cache
def started(task):
    return once.jit(task.init)(KEY, batch())


def test_an_untrained_network_with_a_zero_head_is_the_identity():
    _, task = dense()
    variables = started(task)
    image = jax.random.uniform(KEY, (1, 40, 33, 3))
    found = jax.jit(task.predict)(variables, {"image": image})["image"]
    np.testing.assert_allclose(found, image, atol=1e-6)


def test_each_degradation_gets_its_own_terms():
    _, task = dense()
    data = batch()
    total, (logs, stats) = jax.jit(task.loss)(started(task), data, KEY, 0)
    error = np.asarray(data["image"] - data["target"])
    l1 = np.abs(error).mean((1, 2, 3))
    mse = (error**2).mean((1, 2, 3))
    np.testing.assert_allclose(total, (l1[0] + l1[3] + 2 * mse[1]) / 4, rtol=1e-5)
    np.testing.assert_allclose(logs["l1"], (l1[0] + l1[3]) / 2, rtol=1e-5)
    np.testing.assert_allclose(logs["mse"], mse[1], rtol=1e-5)
    assert stats == {}


def test_an_unknown_term_is_named():
    _, task = dense({"haze": {"charbonier": 1.0}})
    data = batch()
    with pytest.raises(errors.InputError, match="Did you mean 'charbonnier'"):
        jax.eval_shape(task.loss, jax.eval_shape(task.init, KEY, data), data, KEY, 0)


def test_one_device_and_four_agree():
    config, task = dense({k: {"charbonnier": 1.0} for k in ("haze", "rain", "snow")})
    variables = jax.device_get(started(task))
    frozen = optimizer.frozen(variables["params"], ())
    ends = []
    for devices in (1, 4):
        mesh = meshes.make(devices)
        tx, rate = optimizer.make(config.optimizer, 4)
        state = TrainState.create(jax.tree.map(jnp.asarray, variables), tx, frozen)
        shardings = meshes.shardings(jax.eval_shape(lambda s=state: s), mesh, False)
        state = jax.device_put(state, shardings)
        step = compile_step(
            mesh, shardings, task=task, tx=tx, rate=rate, frozen=frozen, seed=0, ema_decay=0.9
        )
        for _ in range(2):
            state, _ = step(state, meshes.put(jax.device_get(batch()), mesh))
        ends.append(jax.device_get(state.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *ends)


def test_metrics_are_taken_on_the_picture_that_is_written():
    _, task = dense()
    target = np.full((1, 40, 40, 3), 100, np.uint8)
    image = (target / np.float32(255)) + np.float32(0.4 / 255)  # rounds back to the target
    found = task.measure({"image": image}, {"target": target})
    assert found["mse"][0] == 0 and np.isinf(found["psnr"][0]) and found["ssim"][0] == 1
    assert found["lpips"][0] == pytest.approx(0, abs=1e-6)


def test_macro_is_the_mean_of_the_degradations_means():
    _, task = dense()
    rows = [
        {"degradation": "haze", "metrics": {"psnr": 20.0, "lpips": 0.2}},
        {"degradation": "rain", "metrics": {"psnr": 30.0, "lpips": 0.1}},
        {"degradation": "rain", "metrics": {"psnr": 32.0, "lpips": 0.1}},
    ]
    found = task.summarize(rows)
    assert found["psnr_macro"] == pytest.approx(25.5)
    assert found["lpips_macro"] == pytest.approx(0.15)


def test_an_unknown_stage_is_named():
    config = get_config("tiny")
    config.stage = "desno"
    with pytest.raises(errors.InputError, match="Did you mean 'desnow'"):
        systems.make(config)
