"""Filters against SciPy and against pictures whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from wxjax.ops import filters

tensor_of = jax.jit(filters.structure_tensor)
NOISE = np.random.default_rng(0).random((2, 20, 23, 3), dtype=np.float32)


def stripes(degrees, period=8.0, size=64):
    """Lines that run at `degrees` against the row axis, anticlockwise on the screen."""
    y, x = np.mgrid[:size, :size]
    a = np.deg2rad(degrees)
    wave = np.sin(2 * np.pi * (x * np.sin(a) + y * np.cos(a)) / period)
    return jnp.asarray(0.5 + 0.4 * wave, jnp.float32)[None, :, :, None]


def test_blur_is_scipys_with_mirrored_borders():
    expected = scipy.ndimage.gaussian_filter(NOISE, 1.5, axes=(1, 2), mode="mirror", radius=5)
    np.testing.assert_allclose(filters.blur(jnp.asarray(NOISE), 1.5), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 1, 9, 1), (1, 3, 2, 3)])
def test_an_image_smaller_than_the_kernel_is_blurred_to_something_finite(shape):
    flat = jnp.full(shape, 0.3)
    np.testing.assert_allclose(filters.blur(flat, 2.0), flat, atol=1e-6)


def test_sobel_of_a_ramp_is_its_slope():
    ramp = 0.01 * jnp.arange(12.0).reshape(1, 12, 1, 1) + 0.03 * jnp.arange(9.0).reshape(1, 1, 9, 1)
    down, across = filters.sobel(ramp)
    np.testing.assert_allclose(down[:, 1:-1], 0.01, atol=1e-6)
    np.testing.assert_allclose(across[:, :, 1:-1], 0.03, atol=1e-6)


def test_a_bright_blob_answers_most_at_its_own_scale():
    y, x = np.mgrid[-20:21, -20:21]
    blob = jnp.asarray(np.exp(-(x**2 + y**2) / (2 * 3.0**2)), jnp.float32)[None, :, :, None]
    respond = jax.jit(filters.laplacian_of_gaussian, static_argnames="sigma")
    answers = [respond(blob, sigma=s)[0, 20, 20, 0] for s in (2.0, 3.0, 4.5)]
    assert int(np.argmax(answers)) == 1
    # s^2 laplacian of G_s * blob at its centre: 2 s^2 b^2 / (s^2 + b^2)^2 = 1/2 at s = b.
    assert answers[1] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("filter", [filters.laplacian_of_gaussian, filters.difference_of_gaussians])
def test_blob_filters_are_blind_to_flat_areas(filter):
    respond = jax.jit(lambda x: filter(x, 1.5))
    np.testing.assert_allclose(respond(jnp.full((1, 16, 16, 1), 0.7)), 0, atol=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, 45, 75, 90, 120, 170])
def test_stripes_show_their_direction(degrees):
    tensor = [v.mean((1, 2)) for v in tensor_of(stripes(degrees))]
    cosine, sine, coherence = filters.orientation(*tensor)
    found = np.rad2deg(0.5 * np.arctan2(sine[0], cosine[0])) % 180
    assert abs((found - degrees + 90) % 180 - 90) < 2
    assert coherence[0] > 0.9


def test_noise_has_no_direction_and_flatness_neither():
    noise = [v.mean((1, 2)) for v in filters.structure_tensor(jnp.asarray(NOISE))]
    assert filters.orientation(*noise)[2].max() < 0.25
    np.testing.assert_array_equal(filters.orientation(*[jnp.zeros(1)] * 3), jnp.zeros((3, 1)))


@pytest.mark.parametrize("image", [jnp.zeros((1, 8, 8, 3)), stripes(0), jnp.asarray(NOISE)])
def test_orientation_has_finite_gradients(image):
    def coherence(x):
        return sum(v.sum() for v in filters.orientation(*filters.structure_tensor(x, 1.0)))

    assert jnp.isfinite(jax.jit(jax.grad(coherence))(image)).all()


@pytest.mark.parametrize("axis", [filters.ROWS, filters.COLUMNS])
def test_the_gradient_of_a_correlation_is_the_one_jax_derives(axis):
    weights = np.array([0.5, -1.0, 0.0, 2.0])

    def plain(x):
        length = x.shape[axis] - 3
        cut = [jax.lax.slice_in_dim(x, k, k + length, axis=axis % 4) for k in range(4)]
        return jnp.sin(sum(w * c for w, c in zip(weights, cut, strict=True))).sum()

    x = jnp.asarray(NOISE)
    found = jax.jit(jax.grad(lambda v: jnp.sin(filters.correlate(v, weights, axis)).sum()))(x)
    np.testing.assert_allclose(found, jax.jit(jax.grad(plain))(x), atol=1e-5)
