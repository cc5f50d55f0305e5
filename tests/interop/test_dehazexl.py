"""A DehazeXL checkpoint becomes our network, of its own sizes, for images of any size."""

import functools

import jax
import numpy as np
import pytest

from tests.interop import checkpoints
from wxjax import errors
from wxjax.interop import torch_weights
from wxjax.interop.dehazexl_shapes import OFFICIAL, shapes, sizes


@functools.cache
def network():
    """Two stages and regions of 64 pixels."""
    _, state = checkpoints.small(dims=(8, 16), depths=(1, 2))
    apply, variables = torch_weights.load("dehazexl", state, region=64, window=4)
    return jax.jit(apply), variables


def image(h, w):
    return np.random.default_rng(h * w).random((1, h, w, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "depths, up, parameters",
    [
        ((2, 2, 6, 2), "conv", 125_484_996),
        ((2, 2, 6, 2), "linear", 125_485_728),
        ((2, 2, 18, 2), "conv", 146_866_260),
    ],
    ids=["swin-t", "linear decoder", "swin-s"],
)
def test_official_sizes_are_read_off_the_state(depths, up, parameters):
    model = {**OFFICIAL, "depths": depths, "decoder": {**OFFICIAL["decoder"], "up": up}}
    expected = shapes(model)
    assert sum(int(np.prod(shape)) for shape in expected.values()) == parameters
    assert sizes({name: np.broadcast_to(0, shape) for name, shape in expected.items()}) == model


@pytest.mark.parametrize("up", ["conv", "linear"])
def test_small_sizes_are_read_off_the_state(up):
    model, state = checkpoints.small(up=up)
    assert sizes(state) == model


def test_known_buffers_and_the_prefix_of_dataparallel_are_ignored():
    _, state = checkpoints.small()
    dressed = {f"module.{name}": x for name, x in state.items()}
    block = "module.decoder.layers_up.0.blocks.0.attn."
    dressed[block + "relative_position_index"] = np.zeros((64, 64), np.int64)
    dressed["module.bottleneck.layers.0.attn.lsh.proj_dir"] = np.zeros((8, 7), np.float32)
    _, plain = torch_weights.load("dehazexl", state)
    _, variables = torch_weights.load("dehazexl", dressed)
    jax.tree.map(np.testing.assert_array_equal, plain, variables)


def test_what_does_not_fit_is_listed_from_both_sides():
    _, state = checkpoints.small()
    del state["bottleneck.input_proj.bias"]
    state["extra.weight"] = np.zeros((2, 3), np.float32)
    state["decoder.output.weight"] = np.zeros((3, 5, 1, 1), np.float32)
    with pytest.raises(errors.InputError) as caught:
        torch_weights.load("dehazexl", state)
    text = str(caught.value)
    assert "\n" not in text
    assert "1 missing: bottleneck.input_proj.bias (64,)" in text
    assert "1 surplus: extra.weight (2, 3)" in text
    assert "1 wrong shape: decoder.output.weight (3, 5, 1, 1), expected (3, 1, 1, 1)" in text


def test_another_network_an_unknown_system_and_option_are_named():
    with pytest.raises(errors.InputError, match="not a DehazeXL checkpoint.*conv1.weight"):
        torch_weights.load("dehazexl", {"conv1.weight": np.zeros((1, 1))})
    with pytest.raises(errors.InputError, match="Did you mean 'dehazexl'"):
        torch_weights.load("dehazxl", {})
    with pytest.raises(errors.InputError, match="Did you mean 'window'"):
        torch_weights.load("dehazexl", checkpoints.small()[1], windows=16)


def test_a_half_precision_state_gives_float32():
    _, state = checkpoints.small()
    _, variables = torch_weights.load(
        "dehazexl", {k: x.astype(np.float16) for k, x in state.items()}
    )
    assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("size", [(1, 1), (257, 3), (50, 100)])
def test_any_size_is_extended_by_reflection_and_cropped_back(size):
    apply, variables = network()
    x = image(*size)
    rows, columns = (-(-side // 64) * 64 for side in size)
    padded = np.pad(
        x, ((0, 0), (0, rows - size[0]), (0, columns - size[1]), (0, 0)), mode="reflect"
    )
    found, whole = apply(variables, x), apply(variables, padded)
    assert found.shape == x.shape
    np.testing.assert_allclose(found, whole[:, : size[0], : size[1]], atol=1e-5)


def test_rows_and_columns_of_a_rectangle_are_not_exchanged():
    apply, variables = network()
    wide, tall = apply(variables, image(64, 128)), apply(variables, image(128, 64))
    turned = apply(variables, image(64, 128).swapaxes(1, 2))
    assert wide.shape == (1, 64, 128, 3) and tall.shape == (1, 128, 64, 3)
    assert np.abs(np.asarray(turned).swapaxes(1, 2) - wide).max() > 1e-3


def test_an_image_in_a_batch_is_restored_as_it_is_alone():
    apply, variables = network()
    x = np.concatenate([image(64, 128), image(64, 128)[:, :, ::-1]])
    both = apply(variables, x)
    np.testing.assert_allclose(both[1:], apply(variables, x[1:]), atol=1e-5)
