"""The UNet's masks, sizes and slips; its numbers are in tests/parity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.nn.attention import FAR, shift_mask
from wxjax.systems.irsr import blocks, unet


def shapes(x=(1, 8, 8, 4), cond=(1, 8, 8, 4), **changes):
    settings = dict(out_channels=4, side=8, width=32, multiples=(1,), blocks=(1,), attention=(),
                    swin_dim=32)  # fmt: skip
    net = unet.UNet(**(settings | changes))
    inputs = (jnp.zeros(x), jnp.zeros(1, jnp.int32), jnp.zeros(cond))
    return net, jax.eval_shape(net.init_with_output, jax.random.key(0), *inputs)


def test_the_published_mask_by_hand():
    mask = blocks.official_mask(4, 6, 2, 1).reshape(2, 3, 4, 4)
    assert not mask[0].any()  # only the last row of windows has one
    left_right = np.array([0, 1, 0, 1])
    expected = np.where(left_right[:, None] == left_right, 0, FAR)
    for column in range(3):
        np.testing.assert_array_equal(mask[1, column], expected)
    meant = shift_mask(4, 6, 2, 1).reshape(2, 3, 4, 4)
    assert meant[0, 2].any() and not meant[0, 0].any()


def test_time_features_are_cosines_first():
    found = unet.time_features(jnp.array([0, 3]), 5)
    np.testing.assert_allclose(found[0], [1, 1, 0, 0, 0])
    angles = 3 * 10_000.0 ** (-np.arange(2) / 2)
    np.testing.assert_allclose(found[1, :4], [*np.cos(angles), *np.sin(angles)], rtol=1e-5)


def test_group_norm_is_that_of_every_group():
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 64)) * 3 + 1
    variables = {"params": {"scale": jnp.ones(64), "bias": jnp.zeros(64)}}
    found = blocks.GroupNorm().apply(variables, x)
    groups = np.asarray(x, np.float64).reshape(2, 15, 32, 2)
    mean, var = groups.mean((1, 3), keepdims=True), groups.var((1, 3), keepdims=True)
    expected = ((groups - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("side", [16, 32, 2])
def test_a_condition_of_another_side_is_brought_to_the_latents(side):
    if side == 32:
        with pytest.raises(errors.InputError, match="condition='16x16'.*8x8"):
            shapes(cond=(1, side, side, 4))
        return
    _, (out, variables) = shapes(cond=(1, side, side, 4))
    assert out.shape == (1, 8, 8, 4)
    packed = 16 if side == 16 else 4
    assert variables["params"]["input0"]["kernel"].shape == (3, 3, 4 + packed, 32)


def test_sides_must_hold_whole_windows_at_every_level():
    net, _ = shapes()
    assert net.multiple == 8
    assert unet.UNet(3).multiple == 64
    assert unet.UNet(3, side=32).multiple == 32  # windows of 4 at the last of four levels
    with pytest.raises(errors.InputError, match="latent='8x12'.*multiples of 8"):
        shapes(x=(1, 8, 12, 4), cond=(1, 8, 12, 4))


def test_slips_are_named():
    with pytest.raises(errors.InputError, match="model.mask='oficial'.*Did you mean 'official'"):
        shapes(mask="oficial")
    with pytest.raises(errors.InputError, match="model.blocks=.*one number a level, 1"):
        shapes(blocks=(1, 1))
    with pytest.raises(errors.InputError, match="model.head_dim=24.*swin_dim=32"):
        shapes(head_dim=24)
    with pytest.raises(errors.InputError, match="channels=40: expected a multiple of 32"):
        shapes(width=40)
