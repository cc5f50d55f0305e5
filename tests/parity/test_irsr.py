"""Wavelets, UNet and diffusion give the official numbers.

The numbers stand beside the project on its developers' machines only, for now.
"""

import functools
import importlib.util
import json

import jax
import numpy as np
import pytest

from tests.conftest import SHARED
from wxjax.interop import resshift_shapes, torch_weights
from wxjax.nn import experts
from wxjax.systems.irsr import unet

FIXTURES = SHARED / "fixtures"


def load(name: str):
    path = FIXTURES / f"{name}.npz"
    if not path.exists():
        pytest.skip("the official numbers are not part of the project yet")
    return np.load(path, allow_pickle=False)


def official_state(arrays):
    spec = importlib.util.spec_from_file_location("weights", FIXTURES / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fill(json.loads(str(arrays["keys"])))


def last(x):
    return np.moveaxis(x, 1, -1)


def first(x):
    return np.moveaxis(np.asarray(x), -1, 1)


@functools.cache
def case(number: int):
    """Network, variables and arrays of one fixture."""
    arrays = load(f"dwtdiff_{number}")
    settings = json.loads(str(arrays["config"]))
    side = settings.get("args", settings.get("unet_args"))["image_size"]
    model, variables, _ = torch_weights.read("resshift", official_state(arrays), image_size=side)
    return unet.build(model), variables, arrays


@functools.cache
def run(number: int):
    """Output and stages of one fixture's input."""
    net, variables, arrays = case(number)
    cond = last(arrays["in/lq"])
    if "in/mask" in arrays:
        cond = np.concatenate([cond, last(arrays["in/mask"])], -1)
    apply = jax.jit(lambda *args: net.apply(*args, mutable="intermediates"))
    y, kept = apply(variables, last(arrays["in/x"]), arrays["in/t"], cond)
    return y, {n: value[0] for n, value in experts.flatten(kept["intermediates"]).items()}


# Official name of a stage: ours.
STAGES = {
    "time_embed": "after_time",
    "input_blocks.0": "after_input0",
    "input_blocks.1.0": "after_input1_res",
    "input_blocks.1.1.blocks.1": "input1_swin/after_block1",
    "input_blocks.1.1": "after_input1",
    "input_blocks.3": "after_input3",
    "input_blocks.4": "after_input4",
    "input_blocks.9": "after_input9",
    "input_blocks.10.1.blocks.1": "input10_swin/after_block1",
    "input_blocks.11": "after_input11",
    "middle_block.0": "after_middle0_res",
    "middle_block.1": "after_middle1",
    "middle_block": "after_middle",
    "output_blocks.0": "after_output0",
    "output_blocks.1": "after_output1",
    "feature_extractor": "after_extract1",
}


@pytest.mark.parametrize("number", [1, 2, 4], ids=["small", "full", "journal"])
def test_the_unet_and_its_stages_equal_the_official_ones(number):
    arrays = case(number)[2]
    y, stages = run(number)
    seen = 0
    for name, ours in STAGES.items():
        if f"out/{name}" in arrays:
            found = stages[ours] if name == "time_embed" else first(stages[ours])
            np.testing.assert_allclose(found, arrays[f"out/{name}"], atol=1e-4, err_msg=name)
            seen += 1
    assert seen >= {1: 10, 2: 8, 4: 4}[number]
    np.testing.assert_allclose(first(y), arrays["out/y"], atol=5e-5)


def test_a_rectangle_equals_the_official_one_and_the_meant_mask_does_not():
    net, variables, arrays = case(1)
    inputs = last(arrays["in/x_rect"]), arrays["in/t_rect"], last(arrays["in/lq_rect"])
    found = jax.jit(net.apply)(variables, *inputs)
    np.testing.assert_allclose(first(found), arrays["out/y_rect"], atol=5e-5)
    other = jax.jit(net.clone(mask="swin").apply)(variables, *inputs)
    assert np.abs(first(other) - arrays["out/y_rect"]).max() > 0.1


def full(**changes):
    model = resshift_shapes.sizes({})
    return model | changes


COUNTS = [
    (dict(), 118_593_583),
    (dict(in_channels=12, out_channels=12, cond_channels=12), 118_632_472),
    (dict(in_channels=21, out_channels=21, cond_channels=21), 118_671_361),
    (dict(in_channels=16, out_channels=16, cond_channels=16), 118_649_756),
    (dict(in_channels=48, out_channels=48, cond_channels=48), 118_788_028),
    (dict(extractor=1), 118_640_431),
    (dict(extractor=2, cond_channels=4), 118_714_399),
    (dict(extractor=3, in_channels=8, out_channels=8), 118_931_604),
    (dict(in_channels=16, out_channels=16, cond_channels=16, width=32, swin_dim=64,
          blocks=(1, 1, 1, 1), mlp_ratio=2), 3_740_000),
]  # fmt: skip


@pytest.mark.parametrize("changes, expected", COUNTS)
def test_numbers_of_parameters_are_the_published_ones(changes, expected):
    model = full(**changes)
    found = unet.parameters(unet.shapes(model))
    assert found == sum(int(np.prod(s)) for s in resshift_shapes.shapes(model).values())
    if expected == 3_740_000:  # published to three digits
        assert round(found, -4) == expected
    else:
        assert found == expected
    if not changes:
        assert len(resshift_shapes.shapes(model)) == 540
