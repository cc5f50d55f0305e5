"""Our network with official weights gives the official numbers.

The numbers stand beside the project on its developers' machines only, for now.
"""

import functools
import importlib.util
import json

import jax
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.moei import get_config
from tests.conftest import SHARED
from wxjax import errors
from wxjax.interop import dehazexl
from wxjax.nn import experts
from wxjax.systems.moei.backbone import Backbone

FIXTURES = SHARED / "fixtures"


@functools.cache
def case(number: int):
    """Network, variables and arrays of one fixture."""
    path = FIXTURES / f"dehazexl_{number}.npz"
    if not path.exists():
        pytest.skip("the official numbers are not part of the project yet")
    arrays = np.load(path, allow_pickle=False)
    spec = importlib.util.spec_from_file_location("weights", FIXTURES / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    state = module.fill(json.loads(str(arrays["keys"])))
    model = get_config("paper").model
    model.update(dtype="float32", remat=False)
    model.decoder.up = dehazexl.variant(state)
    net = Backbone(FrozenConfigDict(model.to_dict()))
    params = experts.unflatten(dehazexl.convert(state))
    shapes = jax.eval_shape(net.init, jax.random.key(0), np.zeros((1, 256, 256, 3), np.float32))
    found = jax.tree.map(np.shape, params)
    assert found == jax.tree.map(lambda x: x.shape, shapes["params"])
    return net, {"params": params}, arrays


def image(arrays):
    return np.moveaxis(arrays["in/x"], 1, -1)


def channels_first(x):
    return np.moveaxis(np.asarray(x), -1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 5], ids=["conv decoder", "linear decoder"])
def test_one_region_equals_the_official_network(number):
    net, variables, arrays = case(number)
    found = jax.jit(net.apply)(variables, image(arrays))
    np.testing.assert_allclose(channels_first(found), arrays["out/final"], atol=2e-4)


@pytest.mark.slow
def test_encoder_stages_equal_the_official_ones():
    net, variables, arrays = case(1)
    encode = jax.jit(lambda v, x: net.apply(v, x, method="encode"))
    maps = [channels_first(m) for m in encode(variables, image(arrays))]
    steps = {"enc_stage0_s4": (0, 4), "enc_stage1_s2": (1, 2), "enc_stage2_s2": (2, 2)}
    for name, (stage, step) in (steps | {"enc_stage3": (3, 1)}).items():
        np.testing.assert_allclose(
            maps[stage][..., ::step, ::step], arrays[f"out/{name}"], atol=1e-4
        )


@pytest.mark.slow
def test_a_rectangle_equals_the_extension_of_the_official_network():
    net, variables, arrays = case(3)
    found = channels_first(jax.jit(net.apply)(variables, image(arrays)))
    np.testing.assert_allclose(found[..., 1::4, 2::4], arrays["out/final_s4"], atol=2e-4)
    crop = np.s_[..., 192:320, 192:320]  # across the borders of regions
    np.testing.assert_allclose(found[crop], arrays["out/final_crop"], atol=2e-4)


def test_a_checkpoint_of_another_network_is_named():
    with pytest.raises(errors.InputError, match="not a DehazeXL checkpoint.*conv1.weight"):
        dehazexl.convert({"conv1.weight": np.zeros((1, 1))})
