"""MoFME with official weights gives the official numbers."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.parity import fixtures
from wxjax.interop import torch_weights
from wxjax.nn import experts, routing
from wxjax.systems.mofme import uncertainty
from wxjax.systems.mofme.network import NO_REFERENCE, build, normalise, published_parameters


@functools.cache
def case(number: int):
    """Network, variables and arrays of one fixture."""
    arrays = fixtures.load(f"mofme_{number}")
    settings = json.loads(str(arrays["config"]))["constructor"]
    options = {"top_k": settings["top_k"]} if "top_k" in settings else {}
    model, variables, _ = torch_weights.read("mofme", fixtures.state(arrays), **options)
    return build(model), variables, arrays


def channels_first(x):
    return np.moveaxis(np.asarray(x), -1, 1)


@functools.cache
def run(number: int):
    """Image, gates and stages of one fixture's input."""
    net, variables, arrays = case(number)
    apply = jax.jit(lambda v, x: net.apply(v, x, mutable="intermediates"))
    (image, gate), kept = apply(variables, np.moveaxis(arrays["in/x"], 1, -1))
    flat = experts.flatten(kept["intermediates"])
    return image, gate, {name: value[0] for name, value in flat.items()}


@pytest.mark.parametrize("number", [1, 2, 4, 5], ids=["film", "film full", "moe", "base"])
def test_the_image_equals_the_official_one(number):
    _, _, arrays = case(number)
    np.testing.assert_allclose(channels_first(run(number)[0]), arrays["out/final"], atol=2e-5)


@pytest.mark.parametrize("number", [1, 2, 4, 5], ids=["film", "film full", "moe", "base"])
def test_the_stages_equal_the_official_ones(number):
    _, _, arrays = case(number)
    _, gate, stages = run(number)
    every = 8 if number == 2 else 1
    named = {
        "tokens": "tokens",
        "encoder_out": "encoder_out",
        "layer0_attn": "block0/attention",
        "layer0_moe_sum": "block0/mixture/mixed",
        "layer0_moe_out": "block0/half",
        "layer1_moe_out": "block1/half",
        "layer0_ffn": "block0/half",
    }
    seen = 0
    for name, stage in named.items():
        if f"out/{name}" in arrays and stage in stages:
            found = np.asarray(stages[stage])[:, ::every]
            np.testing.assert_allclose(found, arrays[f"out/{name}"], atol=5e-5, err_msg=name)
            seen += 1
    for name in ("head", "decoder_in", "tail_res1", "pre_sigmoid"):
        if f"out/{name}" in arrays:
            found = channels_first(stages[name.replace("tail_res1", "after_res1")])
            np.testing.assert_allclose(found, arrays[f"out/{name}"], atol=5e-5, err_msg=name)
            seen += 1
    for block in (0, 1):
        if f"out/layer{block}_router_probs" in arrays:
            found = np.asarray(gate.weights)[:, block, ::every]
            np.testing.assert_allclose(found, arrays[f"out/layer{block}_router_probs"], atol=1e-5)
            seen += 1
    assert seen >= 6


LINEAR = ("dense", "folded", "skip", "grouped", "blocked")
ANY = ("dense", "skip", "grouped", "blocked")


@pytest.mark.parametrize(
    "executor, number", [*((name, 1) for name in LINEAR), *((name, 4) for name in ANY)]
)
def test_every_executor_gives_the_official_image(executor, number):
    net, variables, arrays = case(number)
    net = net.clone(gating=net.gating._replace(executor=executor))
    image, _ = jax.jit(net.apply)(variables, np.moveaxis(arrays["in/x"], 1, -1))
    np.testing.assert_allclose(channels_first(image), arrays["out/final"], atol=2e-5)


def test_the_full_size_has_the_papers_number_of_parameters():
    net, variables, arrays = case(2)
    shapes = json.loads(str(arrays["keys"])).values()
    assert published_parameters(net, 1024) == sum(map(np.prod, shapes)) == 21_221_675
    dead = 384 * 1024 + 2 * 20 * 2 * 384  # positions, and the experts' norms
    assert experts.size(variables) == 21_221_675 - dead


def test_frames_with_a_reference_equal_the_official_ones():
    net, variables, arrays = case(6)
    x0, x1 = (np.moveaxis(arrays[f"in/{name}"], 1, -1) for name in ("x0", "x1"))
    apply = jax.jit(net.apply)
    none = np.full_like(x0, NO_REFERENCE)
    first, gate = apply(variables, np.concatenate([x0, none], -1))
    np.testing.assert_allclose(channels_first(first), arrays["out/frame0"], atol=2e-5)
    for block in (0, 1):
        expected = arrays[f"out/frame0_layer{block}_router_probs"]
        np.testing.assert_allclose(gate.weights[:, block], expected, atol=1e-5)
    second, gate = apply(variables, np.concatenate([x1, normalise(first)], -1))
    np.testing.assert_allclose(channels_first(second), arrays["out/frame1"], atol=2e-5)
    for block in (0, 1):
        expected = arrays[f"out/frame1_layer{block}_router_probs"]
        np.testing.assert_allclose(gate.weights[:, block], expected, atol=1e-5)
    grey, _ = apply(variables, np.concatenate([x0, np.zeros_like(x0)], -1))
    expected = arrays["out/frame0_reference_zero_tensor"]
    np.testing.assert_allclose(channels_first(grey), expected, atol=2e-5)


def test_gates_equal_the_official_units():
    arrays = fixtures.load("mofme_3")
    weights = routing.scatter(routing.select(jnp.array(arrays["in/logits"]), 4), 8)
    np.testing.assert_allclose(weights, arrays["out/topk_probs"], atol=1e-6)
    weights = routing.scatter(routing.select(jnp.array(arrays["in/logits"]), 4, 0.6), 8)
    np.testing.assert_array_equal(weights > 0, arrays["out/topp_keep"] > 0)
    np.testing.assert_allclose(weights, arrays["out/topp_weights"], atol=1e-6)
    probs = routing.probabilities(jnp.array(arrays["in/logits"]))
    np.testing.assert_allclose(routing.top_p(probs, 0.6, 4), weights, atol=1e-6)


def test_the_papers_and_the_codes_uncertainty_equal_the_official_units():
    arrays = fixtures.load("mofme_3")
    logits = jnp.array(arrays["in/mc_logits"])
    code = uncertainty.code_weights(logits, 4)
    for name, atol in {
        "probs": 1e-6,
        "mu": 1e-6,
        "cov": 1e-6,
        "unit": 2e-3,
        "weights": 2e-3,
    }.items():
        np.testing.assert_allclose(code[name], arrays[f"out/uar_code_{name}"], atol=atol)
    paper = uncertainty.paper_weights(logits, jnp.array(arrays["in/det_logits"]))
    for name, atol in {"mu": 1e-6, "var": 1e-6, "weights": 1e-4}.items():
        np.testing.assert_allclose(paper[name], arrays[f"out/uar_paper_{name}"], atol=atol)
