"""ResShift's checkpoints by name: sizes found, buffers read, slips named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.interop import torch_weights
from wxjax.nn import experts
from wxjax.systems.irsr import resshift_shapes


def small(**changes):
    """A state of small sizes with random entries, in PyTorch's layouts."""
    model = resshift_shapes.sizes({}) | dict(
        side=16, width=32, multiples=(1, 2), blocks=(2, 1), attention=(8,), swin_dim=32
    )
    rng = np.random.default_rng(0)
    return {
        key: rng.normal(0, 0.1, shape).astype(np.float32)
        for key, shape in resshift_shapes.shapes(model | changes).items()
    }


@pytest.mark.parametrize("system", ["resshift", "difiisr"])
def test_sizes_are_read_from_the_shapes(system):
    state = small()
    model, variables, apply = torch_weights.read(system, state, image_size=16)
    assert model["multiples"] == (1, 2) and model["blocks"] == (2, 1)
    assert model["attention"] == (8,) and model["window"] == 8 and model["mask"] == "official"
    assert experts.size(variables) == sum(x.size for x in state.values())
    x = jnp.zeros((1, 16, 32, 3))
    y = jax.eval_shape(apply, variables, x, jnp.zeros(1, jnp.int32), x)
    assert y.shape == x.shape


def test_the_journals_extractor_is_read():
    model, _, _ = torch_weights.read("resshift", small(extractor=2, cond_channels=4), image_size=16)
    assert model["extractor"] == 2 and model["cond_channels"] == 4


def test_the_side_in_training_is_read_off_a_stored_mask_and_prefixes_are_forgiven():
    state = small(attention=(16, 8))
    wrapped = {f"module._orig_mod.{key}": value for key, value in state.items()}
    swin = "module._orig_mod.input_blocks.1.1.blocks.1."
    wrapped[swin + "attn_mask"] = np.zeros((4, 64, 64), np.float32)
    wrapped[swin + "attn.relative_position_index"] = np.zeros((64, 64), np.int64)
    model, variables, _ = torch_weights.read("resshift", wrapped)
    assert model["side"] == 16
    plain = torch_weights.read("resshift", state, image_size=16)[1]
    jax.tree.map(np.testing.assert_array_equal, variables, plain)


def test_layouts_are_exchanged():
    state = small()
    _, variables, _ = torch_weights.read("resshift", state, image_size=16)
    params = variables["params"]
    conv = state["input_blocks.1.0.in_layers.2.weight"]
    np.testing.assert_array_equal(
        params["input1_res"]["conv1"]["kernel"], conv.transpose(2, 3, 1, 0)
    )
    up = state["output_blocks.1.1.conv.bias"]
    np.testing.assert_array_equal(params["output1_up"]["bias"], up)
    fc1 = state["middle_block.1.blocks.1.mlp.fc1.weight"][:, :, 0, 0]
    np.testing.assert_array_equal(params["middle1_swin"]["block1"]["fc1"]["kernel"], fc1.T)


def test_slips_are_named():
    with pytest.raises(errors.InputError, match="not a ResShift checkpoint.*conv1.weight"):
        torch_weights.read("resshift", {"conv1.weight": np.zeros((1, 1))})
    state = small()
    del state["middle_block.2.out_layers.3.bias"]
    with pytest.raises(errors.InputError, match=r"1 missing: middle_block\.2\.out_layers\.3"):
        torch_weights.read("resshift", state, image_size=16)
    with pytest.raises(errors.InputError, match="option of resshift='side'"):
        torch_weights.read("resshift", small(), side=16)
