"""Regions computed again in the backward pass: the same gradient, in less memory."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from configs.moei import get_config
from wxjax.systems.moei.backbone import Backbone

KEY = jax.random.key(0)


def network(remat):
    config = get_config("tiny")
    config.model.remat = remat
    return Backbone(FrozenConfigDict(config.model.to_dict()))


def gradient(net, x):
    return jax.jit(jax.value_and_grad(lambda v: (net.apply(v, x) ** 2).mean()))


def test_the_gradient_is_that_of_all_regions_at_once():
    x = jax.random.uniform(KEY, (2, 70, 90, 3))
    variables = jax.jit(network(True).init)(KEY, x[:1, :32, :32])
    variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)
    value, once = gradient(network(False), x)(variables)
    again, anew = gradient(network(True), x)(variables)
    np.testing.assert_allclose(again, value, rtol=1e-5)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max() + 1e-7)
    jax.tree.map(close, anew, once)


def test_memory_of_the_backward_pass_shrinks():
    x = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    variables = jax.eval_shape(network(True).init, KEY, jnp.zeros((1, 32, 32, 3)))

    def temporary(net):
        grad = jax.grad(lambda v, x: (net.apply(v, x) ** 2).mean())
        return jax.jit(grad).lower(variables, x).compile().memory_analysis().temp_size_in_bytes

    assert temporary(network(True)) < 0.95 * temporary(network(False))
