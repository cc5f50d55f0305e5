"""Perceptual distance as a loss: one value an example."""

from typing import Any

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
