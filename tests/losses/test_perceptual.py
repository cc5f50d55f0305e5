"""LPIPS as a loss is LPIPS the metric."""

import jax
import jax.numpy as jnp
import numpy as np

from wxjax.losses import perceptual as losses
from wxjax.metrics import perceptual as metrics

X = jax.random.uniform(jax.random.key(0), (2, 40, 40, 3))


def test_the_loss_is_the_metric_with_or_without_weights_given():
    expected = metrics.lpips(X, X[::-1])
    np.testing.assert_array_equal(losses.lpips(X, X[::-1]), expected)
    np.testing.assert_array_equal(losses.lpips(X, X[::-1], metrics.weights()), expected)


def test_going_down_its_gradient_lowers_it():
    weights = metrics.weights()
    value, slope = jax.value_and_grad(lambda x: losses.lpips(x, X[::-1], weights).sum())(X)
    step = 1e-3 * slope / jnp.linalg.norm(slope)
    assert losses.lpips(X - step, X[::-1], weights).sum() < value


def test_the_vgg_loss_is_the_mean_of_three_layers_on_pictures_as_they_are():
    weights = metrics.weights("vgg16")
    ours, theirs = (metrics.vgg16_features(weights, x) for x in (X, X[::-1]))
    squares = [
        ((ours[n] - theirs[n]) ** 2).mean((1, 2, 3)) for n in ("relu1_2", "relu2_2", "relu3_3")
    ]
    np.testing.assert_allclose(losses.vgg(X, X[::-1]), np.mean(squares, 0), rtol=1e-5)
    np.testing.assert_array_equal(losses.vgg(X, X), 0)
