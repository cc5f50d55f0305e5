"""Perceptual distance as a loss: one value an example."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax.metrics import perceptual


def lpips(
    output: Float[Array, "b h w 3"],
    target: Float[Array, "b h w 3"],
    weights: Any = None,
    *,
    net: str = "alexnet",
) -> Float[Array, "b"]:
    """LPIPS on sRGB in [0, 1], with finite gradients at equality and on flat pictures.

    Args:
      weights: `metrics.perceptual.weights(net)`, handed through the outermost jit as an
        argument; None reads them here, which puts 10 MB (VGG16: 59) into the program.
    """
    weights = perceptual.weights(net) if weights is None else weights
    return perceptual.apply(weights, output, target, net=net)


def vgg(
    output: Float[Array, "b h w 3"], target: Float[Array, "b h w 3"], weights: Any = None
) -> Float[Array, "b"]:
    """Mean over VGG16's relu1_2, relu2_2 and relu3_3 of the features' MSE.

    As in TransWeather and MoFME, whose inputs are in [0, 1] without ImageNet's mean and
    deviation.

    Args:
      weights: `metrics.perceptual.weights("vgg16")`, as in `lpips`.
    """
    weights = perceptual.weights("vgg16") if weights is None else weights
    ours, theirs = (perceptual.vgg16_features(weights, x) for x in (output, target))
    layers = ("relu1_2", "relu2_2", "relu3_3")
    return sum(jnp.square(ours[n] - theirs[n]).mean((1, 2, 3)) for n in layers) / len(layers)
