"""Restoring regions together or a region at a time is the same, and so are even chunks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs import dehazexl
from wxjax.systems.moei import bottleneck
from wxjax.systems.moei.backbone import Backbone

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.random((3, 32, 32, 3), np.float32))


def net(alone):
    model = dehazexl.get_config("tiny").model
    model.alone = model.decoder.alone = alone
    return Backbone(FrozenConfigDict(model.to_dict()))


@functools.cache
def variables():
    shapes = jax.eval_shape(net(0).init, jax.random.key(0), IMAGES[:1])
    draw = lambda x: jnp.asarray(0.2 * RNG.standard_normal(x.shape, np.float32))
    return jax.tree.map(draw, shapes)


@functools.cache
def restored(alone):
    @jax.jit
    def run(weights, images):
        maps = net(alone).apply(weights, images, method="encode")
        return maps, net(alone).apply(weights, maps[-1], maps, images, method="decode")

    return run(variables(), IMAGES)


def loops(alone, images):
    """Whether the encoder's program loops over regions."""
    run = lambda weights: net(alone).apply(weights, images, method="encode")
    return "scan" in str(jax.make_jaxpr(run)(variables()))


@pytest.mark.parametrize("alone", [8, 4], ids=["the larger map", "both maps"])
def test_maps_one_by_one_are_maps_together(alone):
    assert loops(alone, IMAGES) and not loops(0, IMAGES)
    found, expected = restored(alone), restored(0)
    assert np.abs(expected[1]).max() > 0.1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), found, expected)


def test_a_single_region_needs_no_loop():
    assert not loops(4, IMAGES[:1])


def test_chunks_are_even_and_leave_no_padding():
    assert bottleneck.even(8640, 1024) == 960  # 3840x2160: nine chunks, no token added
    assert bottleneck.even(4096, 1024) == 1024
    assert bottleneck.even(1025, 1024) == 513
    assert bottleneck.even(7, 1024) == 7
