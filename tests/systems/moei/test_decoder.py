"""The decoder's last layers as one product, and a backbone that no router reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import dehazexl
from wxjax import errors
from wxjax.evaluate import flops
from wxjax.systems.moei import decoder as decoders
from wxjax.systems.moei import task as tasks


def tiny():
    config = dehazexl.get_config("tiny")
    config.model.decoder.head_init = "uniform"  # zeros would agree with anything
    return config


def decoded(net, variables, given, monkeypatch=None):
    """What the decoder makes of `given`; with a monkeypatch its last layers one by one."""
    if monkeypatch:

        def layers(x, doublings, kernel):
            for double in doublings:
                x = double(x)
            return x @ kernel

        monkeypatch.setattr(decoders, "in_one", layers)
    return jax.jit(lambda v, given: net.apply(v, *given, method="decode"))(variables, given)


@pytest.mark.parametrize("alone", [0, 8])
def test_the_last_layers_as_one_product_equal_them_one_by_one(alone, monkeypatch):
    config = tiny()
    config.model.decoder.alone = alone
    net = tasks.make_engine(config).bare
    x = jax.random.uniform(jax.random.key(1), (2, config.model.region, config.model.region, 3))
    shapes = jax.eval_shape(net.init, jax.random.key(0), x)
    # biases that differ at every layer: where one is tiled the wrong way round it shows
    draw = lambda shape: 0.3 * jax.random.normal(jax.random.key(shape.size), shape.shape)
    weights = jax.tree.map(draw, shapes)
    seen = jax.eval_shape(lambda v: net.apply(v, x, method="encode"), weights)
    maps = jax.tree.map(draw, seen)
    given = 2 * maps[-1], maps, x
    expected = decoded(net, weights, given, monkeypatch)
    monkeypatch.undo()
    actual = decoded(net, weights, given)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(actual, expected, atol=2e-5 * np.abs(expected).max())


def test_the_last_layers_cost_one_product():
    module = decoders.Expand(2)
    key = jax.random.key(0)
    first = decoders.Expand(8).init(key, jnp.zeros((1, 4, 4, 32)))
    last = module.init(key, jnp.zeros((1, 8, 8, 8)))

    def run(first, last, kernel, x):
        doublings = [decoders.Expand(8).bind(first), module.bind(last)]
        return decoders.in_one(x, doublings, kernel)

    kernel, x = jnp.ones((2, 3)), jnp.ones((1, 4, 4, 32))
    product = 2 * 16 * 32 * 4 * 4 * 3
    kernels = 2 * 8 * 4 * 2 * 3 + 2 * 32 * 4 * 8 * 4 * 3
    biases = 2 * 2 * 3 + 2 * 8 * 4 * 3
    assert flops.count(run, first, last, kernel, x) == product + kernels + biases
    assert run(first, last, kernel, x).shape == (1, 16, 16, 3)


def test_nothing_is_gathered_where_no_router_reads():
    config = tiny()
    task = tasks.make(config)
    side = config.model.region
    variables = task.prepare(jax.jit(task.init)(jax.random.key(0), {}))
    tiles = np.zeros((2, side, side, 3), np.uint8)
    looked = jax.eval_shape(task.parts.look, variables, np.int32(0), tiles)
    assert looked["moments"] == []
    image = np.zeros((1, side, side, 3), np.float32)
    assert set(task.predict(variables, {"image": image})) == {"image"}


@pytest.mark.parametrize("stage", ["router", "system"])
def test_a_stage_with_a_gate_needs_one(stage):
    config = tiny()
    config.stage = stage
    with pytest.raises(errors.InputError, match=f"'none'.*mlp.*stage {stage}"):
        tasks.make(config)
