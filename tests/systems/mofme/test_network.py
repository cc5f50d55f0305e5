"""MoFME's network: any size, any variant, every gate."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.nn import executors, routing
from wxjax.systems.mofme.gating import Gating, offset
from wxjax.systems.mofme.network import (
    NO_REFERENCE,
    Network,
    normalise,
    published_parameters,
    start_as_published,
)
from wxjax.train import once

SMALL = dict(dim=16, heads=2, head_dim=8, mlp_ratio=2, stem=4, tail=8)
GATING = Gating(experts=4, top_k=2)
IMAGE = jax.random.uniform(jax.random.key(1), (2, 16, 24, 3))


@functools.cache
def made(variant="film", **changes):
    """A small network and variables that are random everywhere, its last layer included."""
    net = Network(variant, GATING, **{**SMALL, **changes})
    start = jax.random.key(0), jnp.zeros((1, 16, 16, net.in_channels))
    return net, once.jit(net.init)(*start)


def run(net, variables, image, **options):
    return jax.jit(lambda v, x: net.apply(v, normalise(x), **options))(variables, image)


@pytest.mark.parametrize(
    "variant, h, w", [("film", 16, 24), ("film", 8, 5), ("moe", 13, 31), ("base", 13, 31)]
)
def test_any_size_comes_back_and_the_grid_is_the_inputs(variant, h, w):
    net, variables = made(variant)
    image, gate = run(net, variables, jnp.ones((1, h, w, 3)) / 2)
    assert image.shape == (1, h, w, 3) and np.isfinite(image).all()
    if variant == "base":
        assert gate is None
    else:
        assert gate.weights.shape == (1, 2, -(-h // 8) * -(-w // 8), 4)


def test_padding_is_reflection_cropped_again():
    net, variables = made()
    image = IMAGE[:1, :13, :21]
    padded = jnp.pad(image, ((0, 0), (0, 3), (0, 3), (0, 0)), mode="reflect")
    whole = run(net, variables, padded)[0][:, :13, :21]
    np.testing.assert_allclose(run(net, variables, image)[0], whole, atol=1e-6)


def test_images_of_a_batch_do_not_meet():
    net, variables = made()
    together = run(net, variables, IMAGE)[0]
    np.testing.assert_allclose(together[1:], run(net, variables, IMAGE[1:])[0], atol=1e-6)


@pytest.mark.parametrize("executor", [n for n in executors.TOKEN_LEVEL if n != "dense"])
def test_executors_give_one_image(executor):
    net, variables = made()
    gating = GATING._replace(expert_offset="published", top_p=0.6)
    plain = net.clone(gating=gating._replace(executor="dense"))
    other = net.clone(gating=gating._replace(executor=executor))
    expected = run(plain, variables, IMAGE)[0]
    np.testing.assert_allclose(run(other, variables, IMAGE)[0], expected, atol=1e-5)


def test_the_published_shift_moves_every_weight_by_one_and_starves_the_last_expert():
    logits = jax.random.normal(jax.random.key(2), (50, 4))
    choice = routing.select(logits, 2)
    own, shifted = offset(GATING._replace(expert_offset="published"), choice)
    before, after = routing.scatter(choice, 4), routing.scatter(shifted, 4)
    np.testing.assert_allclose(own, before[:, 0])
    np.testing.assert_allclose(after[:, :3], before[:, 1:])
    assert not after[:, 3].any()


def gradient(gating):
    net, variables = made()
    net = net.clone(gating=gating)
    total = lambda v: (net.apply(v, normalise(IMAGE))[0] ** 2).sum()
    return jax.jit(jax.grad(total))(variables)["params"]["block0"]["mixture"]["expert_kernel"]


def test_the_last_expert_learns_under_the_fixed_offset_only():
    fixed, published = (gradient(GATING._replace(expert_offset=o)) for o in ("fixed", "published"))
    assert np.abs(fixed[3]).max() > 0 and np.abs(published[:3]).max() > 0
    assert not np.abs(published[3]).any()


def test_a_frames_choice_is_one_for_all_its_tokens():
    net, variables = made()
    net = net.clone(gating=GATING._replace(level="frame"))
    image, gate = run(net, variables, IMAGE)
    assert np.isfinite(image).all()
    np.testing.assert_array_equal(gate.weights, gate.weights[:, :, :1] + 0 * gate.weights)
    assert (gate.weights[:, :, 0] > 0).sum(-1).max() == 2


def test_uncertainty_is_the_plain_router_for_one_sample_without_dropout():
    net, variables = made()
    plain = run(net, variables, IMAGE)
    same = net.clone(gating=GATING._replace(samples=1, rate=0.0))
    jax.tree.map(np.testing.assert_array_equal, run(same, variables, IMAGE), plain)


def test_uncertainty_does_not_depend_on_the_batch():
    net, variables = made()
    unsure = net.clone(gating=GATING._replace(samples=5, rate=0.3))
    image, gate = run(unsure, variables, IMAGE)
    alone, one = run(unsure, variables, IMAGE[1:])
    np.testing.assert_allclose(image[1:], alone, atol=1e-6)
    np.testing.assert_allclose(gate.weights[1:], one.weights, atol=1e-6)
    np.testing.assert_allclose(gate.weights.sum(-1), 1, atol=1e-6)
    assert np.abs(gate.logits - run(net, variables, IMAGE)[1].logits).max() > 1e-3


def test_dropout_acts_in_training_only():
    net, variables = made()
    draw = lambda seed: net.apply(
        variables, normalise(IMAGE), True, rngs={"dropout": jax.random.key(seed)}
    )[0]
    assert np.abs(draw(0) - draw(1)).max() > 1e-4
    np.testing.assert_array_equal(run(net, variables, IMAGE)[0], run(net, variables, IMAGE)[0])


def test_a_residual_network_starts_at_the_identity():
    net, variables = made(head="residual")
    out = run(net, {"params": variables["params"] | {"out": zeros(variables)}}, IMAGE)[0]
    np.testing.assert_allclose(out, IMAGE, atol=1e-6)


def zeros(variables):
    return jax.tree.map(jnp.zeros_like, variables["params"]["out"])


def test_a_reference_takes_three_channels_and_864_parameters_more_at_full_size():
    gating = Gating(experts=16, top_k=4)
    plain, video = (Network(gating=gating, in_channels=c) for c in (3, 6))
    count = published_parameters(plain, 900)
    assert count == 8_955_139 + 593_666 * 16 + 384 * 900
    assert published_parameters(video, 900) == count + 864
    with pytest.raises(errors.InputError, match="channels=6: expected 3"):
        made()[0].apply(made()[1], jnp.full((1, 8, 8, 6), NO_REFERENCE))


@pytest.mark.parametrize(
    "variant, formula", [("base", 8_363_779), ("moe", 5_999_107 + 2_365_442 * 8)]
)
def test_closed_forms_of_the_published_sizes(variant, formula):
    net = Network(variant, Gating(experts=8))
    assert published_parameters(net, 1024) == formula + 384 * 1024


def test_fresh_parameters_are_tied_as_published():
    params = start_as_published(made()[1]["params"])
    first, second = params["block0"], params["block1"]
    same = lambda a, b: jax.tree.map(np.testing.assert_array_equal, a, b)
    same(first["router"], second["router"])
    same(first["mixture"]["ffn"], second["mixture"]["ffn"])
    same(second["mixture"]["star_a"], second["mixture"]["star_b"])
    assert np.abs(first["attn"]["qkv"]["kernel"] - second["attn"]["qkv"]["kernel"]).max() > 0.1


def test_rematerialising_changes_no_gradient():
    net, variables = made()
    total = lambda net: jax.jit(jax.grad(lambda v: net.apply(v, normalise(IMAGE))[0].sum()))
    found, expected = (total(net.clone(remat=r))(variables) for r in (True, False))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(variant="flim"), "model.variant='flim'.*Did you mean 'film'"),
        (dict(gating=GATING._replace(top_k=9)), "top_k=9: expected 1 to .* 4"),
        (dict(gating=GATING._replace(expert_offset="broken")), "model.expert_offset='broken'"),
        (dict(variant="moe", gating=GATING._replace(level="frame")), "cannot merge.*'film'"),
        (dict(variant="moe", gating=GATING._replace(executor="folded")), "needs experts"),
        (dict(head="tanh"), "model.head='tanh'"),
    ],
)
def test_impossible_networks_are_refused(changes, message):
    net = Network(**{**SMALL, "gating": GATING, **changes})
    with pytest.raises(errors.InputError, match=message):
        jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
