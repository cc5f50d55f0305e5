"""The fast forms compute what the native ones do."""

import jax
import jax.numpy as jnp
import numpy as np

from wxjax.ops import convolution

X = jax.random.normal(jax.random.key(0), (2, 9, 7, 5))
KERNEL = jax.random.normal(jax.random.key(1), (3, 3, 5))


def test_shifted_products_equal_the_grouped_convolution():
    native = convolution.depthwise3x3_native(X, KERNEL)
    np.testing.assert_allclose(convolution.depthwise3x3_shifted(X, KERNEL), native, atol=1e-5)
    np.testing.assert_allclose(convolution.depthwise3x3(X, KERNEL), native, atol=1e-5)


def test_space_to_depth_and_back():
    x = jax.random.normal(jax.random.key(2), (2, 8, 12, 3))
    deep = convolution.space_to_depth(x, 4)
    np.testing.assert_array_equal(convolution.depth_to_space(deep, 4), x)
    np.testing.assert_array_equal(deep[0, 1, 2].reshape(4, 4, 3), x[0, 4:8, 8:12])


def test_the_gradient_by_rows_is_that_of_the_native_convolution():
    x, kernel = normal(0, 2, 7, 9, 48), normal(1, 3, 3, 48, 50)
    gradient = lambda f: jax.grad(lambda *xs: (jnp.sin(f(*xs))).sum(), (0, 1))(x, kernel)
    found, expected = gradient(convolution.conv3x3), gradient(convolution.conv3x3_native)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max())


def normal(seed, *shape):
    return 0.1 * jax.random.normal(jax.random.key(seed), shape)
