"""Wavelets: PyWavelets' numbers, exact inverses, energy, gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wxjax import errors
from wxjax.systems.irsr import wavelet

jitted = jax.jit(wavelet.forward, static_argnums=(1, 2, 3))
back = jax.jit(wavelet.inverse, static_argnums=(1, 2, 3))


@functools.cache
def picture(h, w, c=1, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (h, w, c)).astype(np.float32)


def reference(x, name, levels, mode):
    low, *details = pywt.wavedec2(x, name, mode, levels, axes=(0, 1))
    return jax.tree.leaves((low, details))


CASES = [
    ("bior4.4", "periodization"),
    *((name, m) for name in ("haar", "db3") for m in wavelet.MODES),
]


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("name, mode", CASES)
def test_coefficients_and_inverse_equal_pywavelets(name, mode):
    x = picture(45, 38, 2)
    bands = jitted(x, name, 2, mode)
    for ours, theirs in zip(
        jax.tree.leaves(bands), reference(x.astype(np.float64), name, 2, mode), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(back(bands, (45, 38), name, mode), x, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("name, mode", [("haar", "zero"), ("db4", "periodization")])
def test_other_depths_and_pictures_smaller_than_a_filter(name, mode, levels):
    for h, w in ((24, 16), (5, 3)):
        x = picture(h, w)
        bands = jitted(jnp.array(x), name, levels, mode)
        for ours, theirs in zip(
            jax.tree.leaves(bands), reference(x.astype(float), name, levels, mode), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        np.testing.assert_allclose(back(bands, (h, w), name, mode), x, atol=1e-5)


@pytest.mark.parametrize("name", ["db5", "sym4", "coif1", "bior1.5", "bior2.2", "rbio2.4"])
def test_one_axis_of_every_wavelet_equals_pywavelets_and_inverts(name):
    x = picture(48, 2)
    found = wavelet._split(jnp.array(x), wavelet.ROWS, name, "periodization")
    expected = pywt.dwt(x.astype(float), name, "periodization", axis=0)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    again = wavelet._join(*found, wavelet.ROWS, name, "periodization")
    np.testing.assert_allclose(again, x, atol=1e-5)


def test_a_haar_block_by_hand():
    x = jnp.array([[1.0, 2.0], [3.0, 5.0]])[..., None]
    low, (high,) = wavelet.forward(x, "haar", 1)
    found = [float(band[0, 0, 0]) for band in (low, *high)]
    assert found == [5.5, -2.5, -1.5, 0.5]


def test_the_fast_path_is_the_general_one():
    x = jnp.array(picture(22, 17))
    for mode in ("periodization", "symmetric", "zero"):
        fast, slow = (jitted(x, name, 2, mode) for name in ("haar", "db1"))
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), fast, slow)
        images = (back(fast, (22, 17), name, mode) for name in ("haar", "db1"))
        np.testing.assert_allclose(*images, atol=1e-6)


@pytest.mark.parametrize("name", ["haar", "db3", "sym4", "coif2"])
def test_orthonormal_wavelets_keep_the_energy_and_scale_a_constant(name):
    x = picture(64, 32)
    bands = jitted(x, name, 2, "periodization")
    energy = sum(float(jnp.sum(band**2)) for band in jax.tree.leaves(bands))
    np.testing.assert_allclose(energy, np.sum(x.astype(float) ** 2), rtol=1e-5)
    flat = jitted(np.full((32, 32, 1), 0.3, np.float32), name, 2, "periodization")
    np.testing.assert_allclose(flat.low, 1.2, atol=1e-5)
    assert max(float(jnp.abs(b).max()) for b in jax.tree.leaves(flat.details)) < 1e-5


@pytest.mark.parametrize("name", ["haar", "bior2.2"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_packing_is_lossless_and_ordered(name, levels):
    x = picture(64, 48, 3)
    bands = jitted(x, name, levels, "periodization")
    z = wavelet.pack(bands)
    assert z.shape == (64 >> levels, 48 >> levels, 3 * 4**levels)
    jax.tree.map(np.testing.assert_array_equal, wavelet.unpack(z, levels), bands)
    if levels == 2:  # colour, then row, then column inside a finer band
        np.testing.assert_array_equal(z[..., 12 + 4 * 1 + 2 * 1], bands.details[1][0][1::2, ::2, 1])


@pytest.mark.parametrize("name, mode", [("haar", "periodization"), ("db2", "symmetric")])
def test_the_gradient_of_the_inverse_equals_finite_differences(name, mode):
    bands = jitted(jnp.array(picture(13, 10)), name, 2, mode)
    target = jnp.array(picture(13, 10, seed=1))

    @jax.jit
    def loss(bands):
        return jnp.sum((wavelet.inverse(bands, (13, 10), name, mode) - target) ** 3) / 10

    slope = jax.grad(loss)(bands)
    leaves, structure = jax.tree.flatten(bands)
    for seed in range(3):
        keys = jax.random.split(jax.random.key(seed), len(leaves))
        way = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
        way = jax.tree.unflatten(structure, way)
        step = lambda s, way=way: loss(jax.tree.map(lambda b, d: b + s * d, bands, way))
        found = (float(step(1e-2)) - float(step(-1e-2))) / 2e-2
        expected = sum(jax.tree.leaves(jax.tree.map(lambda g, d: float((g * d).sum()), slope, way)))
        np.testing.assert_allclose(found, expected, rtol=5e-3)


def test_slips_are_named():
    x = jnp.zeros((8, 8, 1))
    with pytest.raises(errors.InputError, match="wavelet='harr'.*Did you mean 'haar'"):
        wavelet.forward(x, "harr")
    with pytest.raises(errors.InputError, match="wavelet mode='periodisation'.*periodization"):
        wavelet.forward(x, mode="periodisation")
    with pytest.raises(errors.InputError, match="wavelet levels=0"):
        wavelet.forward(x, levels=0)
    with pytest.raises(errors.InputError, match="sub-band='5x5'.*periodization"):
        wavelet.pack(wavelet.forward(x, "db2", 2, "symmetric"))
    with pytest.raises(errors.InputError, match="packed channels=12"):
        wavelet.unpack(jnp.zeros((2, 2, 12)), 2)
