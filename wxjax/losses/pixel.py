"""Distances pixel by pixel, and coefficient by coefficient: one value an example."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors


def charbonnier(
    output: Float[Array, "b h w c"], target: Float[Array, "b h w c"], eps: float = 1e-3
) -> Float[Array, "b"]:
    """Mean of sqrt(d^2 + eps^2): L1 with a round tip (Lai et al., CVPR 2017, eq. 3).

    At equality the value is eps, not 0.
    """
    return jnp.sqrt(jnp.square(output - target) + eps**2).mean((1, 2, 3))


def l1(output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, "b"]:
    """Mean absolute error; its gradient at equality is 0."""
    return jnp.abs(output - target).mean((1, 2, 3))


def mse(output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, "b"]:
    """Mean squared error."""
    return jnp.square(output - target).mean((1, 2, 3))


def smooth_l1(
    output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]
) -> Float[Array, "b"]:
    """Mean of d^2 / 2 below 1 and |d| - 1/2 above (Girshick, ICCV 2015, eq. 3).

    Between pictures in [0, 1] that is half the MSE; the other half is for raw outputs.
    """
    d = jnp.abs(output - target)
    return jnp.where(d < 1, d * d / 2, d - 0.5).mean((1, 2, 3))


def fft_l1(
    output: Float[Array, "b h w c"],
    target: Float[Array, "b h w c"],
    *,
    scale: str = "orthonormal",
) -> Float[Array, "b"]:
    """L1 of the difference's 2-D Fourier coefficients: mean over real and imaginary parts.

    Args:
      scale: 'orthonormal' divides by sqrt(h w), so that a white error counts about as
        much as in `l1` at any size; 'official' does not, as DehazeXL's training code,
        where it outweighs L1 181 times at 256 pixels and 1448 times at 2048.

    Raises:
      InputError: for another scale.
    """
    scales = {"orthonormal": "ortho", "official": "backward"}
    if scale not in scales:
        raise errors.unknown("scale", scale, scales)
    # Of a real picture one half of the plane mirrors the other; the whole keeps the mean simple.
    spectrum = jnp.fft.fft2(output - target, axes=(1, 2), norm=scales[scale])
    return (jnp.abs(spectrum.real) + jnp.abs(spectrum.imag)).mean((1, 2, 3)) / 2


def decibels(output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, "b"]:
    """Negative PSNR over 10: log10(MSE + 1e-5), one value an example; lower is better.

    The loss of NAFNet (Chen et al., ECCV 2022): an example under light weather counts as
    much as one under heavy weather, where an absolute error lets the heavy one rule.
    """
    return jnp.log10(mse(output, target) + 1e-5)
