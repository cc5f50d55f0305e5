"""MoFME's checkpoints by name: sizes found, slips named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.interop import torch_weights
from wxjax.nn import experts
from wxjax.systems.mofme import published_shapes
from wxjax.systems.mofme.network import build


def small(variant="film", **changes):
    """A state of small sizes with random entries, in PyTorch's layouts."""
    model = published_shapes.sizes({})
    model |= dict(variant=variant, dims=(4, 16, 8), heads=2, head_dim=64) | changes
    model["router"] = model["router"] | dict(experts=1 if variant == "base" else 3)
    rng = np.random.default_rng(0)
    return {
        key: rng.normal(0, 0.1, shape).astype(np.float32)
        for key, shape in published_shapes.shapes(model).items()
    }


@pytest.mark.parametrize("variant", ["base", "moe", "film"])
def test_sizes_are_read_from_the_shapes(variant):
    state = small(variant, depth=3)
    model, variables, apply = torch_weights.read("mofme", state, top_k=2)
    assert model["variant"] == variant and model["dims"] == (4, 16, 8)
    assert model["depth"] == 3 and model["heads"] == 2
    assert experts.size(variables) == sum(x.size for x in state.values())
    image = jnp.full((1, 10, 21, 3), 0.5)
    out = jax.jit(apply)(variables, image)
    assert out.shape == image.shape and np.isfinite(out).all()


def test_what_no_forward_pass_reads_is_left_out_and_a_prefix_forgiven():
    state = small()
    extra = {
        "Img_Encoder.vision_transformer.img_pos_embedding": np.zeros((1, 9, 16)),
        "Img_Encoder.vision_transformer.transformer.layers.0.3.4.norm.weight": np.ones(16),
    }
    wrapped = {f"module.{key}": value for key, value in (state | extra).items()}
    plain, other = (torch_weights.read("mofme", s)[1] for s in (state, wrapped))
    jax.tree.map(np.testing.assert_array_equal, plain, other)


def test_experts_keep_their_order():
    state = small()
    key = "Img_Encoder.vision_transformer.transformer.layers.1.3.{}.expert.{}.weight"
    _, variables, _ = torch_weights.read("mofme", state)
    kernel = variables["params"]["block1"]["mixture"]["expert_kernel"]
    for e in range(3):
        np.testing.assert_array_equal(kernel[e, :, :16], state[key.format(3 + e, 0)].T)
        np.testing.assert_array_equal(kernel[e, :, 16:], state[key.format(3 + e, 1)].T)


def test_the_index_shift_is_that_of_the_code_the_weights_come_from():
    assert published_shapes.sizes(small())["router"]["expert_offset"] == "published"
    assert published_shapes.sizes(small(in_channels=6))["router"]["expert_offset"] == "fixed"
    chosen = torch_weights.read("mofme", small(), expert_offset="fixed")[0]
    assert build(chosen).gating.expert_offset == "fixed"


def test_a_checkpoint_of_another_network_is_named():
    with pytest.raises(errors.InputError, match="not a MoFME checkpoint.*conv1.weight"):
        torch_weights.read("mofme", {"conv1.weight": np.zeros((1, 1))})


def test_a_checkpoint_that_lacks_an_expert_is_named():
    state = small()
    lost = "Img_Encoder.vision_transformer.transformer.layers.0.3.4.expert.0.bias"
    del state[lost]
    with pytest.raises(errors.InputError, match=r"do not fit MoFME: 1 missing: .*0\.3\.4\.expert"):
        torch_weights.read("mofme", state)
    with pytest.raises(errors.InputError, match="option of mofme='topk'.*Did you mean 'top_k'"):
        torch_weights.read("mofme", small(), topk=2)
