"""Bicubic weights against closed forms and Pillow; shuffles against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from wxjax import errors
from wxjax.systems.irsr import resize

NOISE = jax.random.uniform(jax.random.key(0), (2, 12, 20, 3))


@pytest.mark.parametrize("before, after", [(8, 2), (7, 16), (1, 5), (5, 1), (100, 33), (3, 3)])
def test_rows_sum_to_one(before, after):
    np.testing.assert_allclose(resize.bicubic_weights(before, after).sum(1), 1, rtol=1e-12)


def test_the_same_size_is_the_identity():
    np.testing.assert_allclose(resize.bicubic(NOISE, (12, 20)), NOISE, atol=1e-7)


def test_doubling_has_the_closed_form_of_keys():
    # Samples lie a quarter pixel from their neighbours: k(1.75), k(.75), k(.25), k(1.25).
    expected = np.array([-0.0234375, 0.2265625, 0.8671875, -0.0703125])
    np.testing.assert_allclose(resize.bicubic_weights(8, 16)[6, 1:5], expected, atol=1e-12)
    np.testing.assert_allclose(resize.bicubic_weights(8, 16)[7, 2:6], expected[::-1], atol=1e-12)


def test_the_border_is_mirrored_with_its_pixel_doubled():
    # The taps -2, -1 of output 0 fold onto pixels 1, 0.
    expected = [0.2265625 + 0.8671875, -0.0234375 - 0.0703125, 0]
    np.testing.assert_allclose(resize.bicubic_weights(8, 16)[0, :3], expected, atol=1e-12)


def test_a_cubic_is_blind_to_nothing_of_degree_two():
    x = jnp.linspace(0, 1, 30) ** 2
    image = jnp.broadcast_to(x[:, None, None], (30, 4, 1))
    up = resize.bicubic(image, (60, 4))[8:-8, 0, 0]
    position = (jnp.arange(60) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(up, (position[8:-8] / 29) ** 2, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (17, 25), (100, 150)], ids=["half", "odd", "larger"])
def test_it_is_pillows_bicubic_inside(size):
    image = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))
    found = np.asarray(resize.bicubic(jnp.asarray(image)[..., None], size)[..., 0])
    inside = np.s_[size[0] // 5 : -size[0] // 5, size[1] // 5 : -size[1] // 5]
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-6)
    assert np.abs(found - expected).max() > 1e-4  # Pillow renormalises where MATLAB mirrors


def test_a_size_of_zero_is_refused():
    with pytest.raises(errors.InputError, match="after=0: expected at least one pixel"):
        resize.bicubic(NOISE, (0, 4))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_shuffling_undoes_unshuffling(factor):
    packed = resize.pixel_unshuffle(NOISE, factor)
    np.testing.assert_array_equal(resize.pixel_shuffle(packed, factor), NOISE)


def test_the_channel_order_is_pytorchs():
    x = jnp.arange(8.0).reshape(1, 1, 8)  # two pictures of one pixel, four channels each
    expected = [[[0, 4], [1, 5]], [[2, 6], [3, 7]]]
    np.testing.assert_array_equal(resize.pixel_shuffle(x, 2), expected)


def test_sizes_that_do_not_divide_are_named():
    with pytest.raises(errors.InputError, match="image='12x20': expected sides .* factor=8"):
        resize.pixel_unshuffle(NOISE, 8)
    with pytest.raises(errors.InputError, match="channels=3: expected a multiple of factor.2 = 4"):
        resize.pixel_shuffle(NOISE, 2)


def test_torch_has_the_published_taps_for_times_four():
    weights = resize.bicubic_weights(8, 32, like="torch")
    expected = [-0.0659179688, 0.4262695312, 0.7495117188, -0.1098632812]
    np.testing.assert_allclose(weights[16, 2:6], expected, atol=1e-9)
    expected = [-0.0102539062, 0.1147460938, 0.9672851562, -0.0717773438]
    np.testing.assert_allclose(weights[17, 2:6], expected, atol=1e-9)
    np.testing.assert_allclose(weights[18, 3:7], expected[::-1], atol=1e-9)
    assert weights[0, 0] == pytest.approx(1 + 0.1098632812)  # both taps outside are the edge's


@pytest.mark.parametrize("size", [(5, 3), (20, 12), (31, 50)])
def test_pillows_border_is_pillows(size):
    image = np.random.default_rng(0).uniform(0, 1, (20, 12)).astype(np.float32)
    expected = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
    found = resize.bicubic(jnp.asarray(image)[..., None], size, like="pillow")[..., 0]
    np.testing.assert_allclose(found, np.asarray(expected), atol=2e-6)
    with pytest.raises(errors.InputError, match="bicubic like='pilow'.*Did you mean 'pillow'"):
        resize.bicubic(jnp.asarray(image)[..., None], size, like="pilow")
