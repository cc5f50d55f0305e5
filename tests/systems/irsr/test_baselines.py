"""What a diffusion has to beat: at bicubic before training, and able to learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.systems.irsr.test_task import KEY, config, psnr, scene
from wxjax import errors, systems
from wxjax.systems.irsr import baselines, resize


def bicubic(x):
    return resize.bicubic(x, (4 * x.shape[1], 4 * x.shape[2]), like="torch")


def _any(tree):
    return any(bool(jnp.any(leaf)) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("kind", baselines.KINDS)
def test_untrained_it_is_bicubic_and_every_part_learns(kind):
    task = systems.make(config(model__kind=kind))
    variables = jax.jit(task.init)(KEY, {})
    small, large = scene(1, side=16)
    out = jax.jit(task.predict)(variables, {"image": small[:, :14, :11]})["image"]
    np.testing.assert_allclose(out, bicubic(small[:, :14, :11]), atol=2e-6)
    step = jax.jit(jax.grad(task.loss, has_aux=True))
    grads, (logs, _) = step(variables, {"image": small, "target": large}, KEY, 0)
    params = jax.tree.map(lambda p, g: p - 0.003 * g, variables["params"], grads["params"])
    grads, (after, _) = step({"params": params}, {"image": small, "target": large}, KEY, 1)
    assert float(after["l1"]) < float(logs["l1"])
    if kind != "bicubic":  # once the last layer is not zero, every block hears of it
        heard = {n for n, g in grads["params"]["net"].items() if _any(g)}
        assert heard == set(grads["params"]["net"])


def test_the_linear_filter_is_the_least_squares_of_its_pairs():
    rng = np.random.default_rng(0)
    small = rng.uniform(-1, 1, (4, 20, 20, 1)).astype(np.float32)
    kernel = rng.normal(0, 0.1, (9, 9, 1, 16)).astype(np.float32)
    kernel -= kernel.mean((0, 1, 2))
    net = baselines.Linear(1, 4)
    truth = {"params": {"net": {"kernel": kernel, "bias": np.zeros(16, np.float32)}}}
    large = np.asarray(baselines.enlarge(net, 4, 1, truth, jnp.asarray(small)))
    fitted = baselines.fit([(small[:2], large[:2]), (small[2:], large[2:])], 4)
    np.testing.assert_allclose(fitted["kernel"], kernel, atol=2e-3)
    flat = jnp.full((1, 12, 12, 1), 0.3)
    out = baselines.enlarge(net, 4, 1, {"params": {"net": fitted}}, flat)
    np.testing.assert_allclose(out, 0.3, atol=1e-5)  # a constant frame is left as it is


def test_the_fitted_filter_beats_bicubic_on_what_it_was_fitted_to():
    small, large = scene(4, side=40)
    fitted = baselines.fit([(np.asarray(small), np.asarray(large))], 4)
    out = baselines.enlarge(baselines.Linear(1, 4), 4, 1, {"params": {"net": fitted}}, small)
    inside = np.s_[:, 16:-16, 16:-16]
    found, floor = (psnr(x[inside], large[inside]) for x in (out, bicubic(small)))
    assert found > floor + 0.5


def test_the_mean_error_is_in_grey_levels():
    task = systems.make(config(model__kind="linear"))
    target = np.full((2, 32, 32, 1), 100, np.uint8)
    found = task.measure({"image": target + np.uint8([[[[3]]], [[[0]]]])}, {"target": target})
    np.testing.assert_allclose(found["bias"], [3, 0])


def test_an_unknown_kind_is_named():
    with pytest.raises(errors.InputError, match="model.kind='srgan'.*edsr"):
        systems.make(config(model__kind="srgan"))
