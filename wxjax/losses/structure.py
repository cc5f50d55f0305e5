"""Losses on structure: similarity, edges, leftover streaks, flakes. One value an example."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.metrics import image as quality
from wxjax.ops import color, filters

FLAKE_SIGMAS = (1.0, 2.0, 4.0)  # pixels: flakes of about 3, 6 and 11 pixels across
FLAKE_CONTRAST = 0.05  # blob response of a flake that counts whole; its contrast is about double


def dissimilarity(
    output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]
) -> Float[Array, "b"]:
    """1 - SSIM (`metrics.image.ssim`): 0 where equal, at most 2."""
    return 1 - quality.ssim(output, target)


def edge(output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, "b"]:
    """Mean absolute difference of the Sobel gradients, over both directions."""
    down, across = filters.sobel(output - target)
    return (jnp.abs(down) + jnp.abs(across)).mean((1, 2, 3)) / 2


def direction(
    output: Float[Array, "b h w c"],
    target: Float[Array, "b h w c"],
    image: Float[Array, "b h w c"],
    eps: float = 1e-3,
) -> Float[Array, "b"]:
    """Streaks left in the output that run as the rain did (direction consistency).

    The rain's direction is that of the structure tensor of (image - target), a whole
    example at once. In the residual (output - target) lines along that direction show
    as gradient energy across it in excess of the energy along it; with c, s = cos, sin
    of twice the angle that excess is c (dd - aa) + 2 s da, for the tensor's entries
    d(own) and a(cross). The loss is sqrt(max(excess, 0) + eps^2) - eps, in value a
    pixel, times the rain's coherence. It is 0 where the residual has no preferred
    direction, where its lines run across the rain, and where the input held no rain.
    """

    def mean_tensor(x: Array) -> list[Array]:
        return [entry.mean((1, 2)) for entry in filters.structure_tensor(x)]

    rain = jax.lax.stop_gradient(image - target)
    cosine, sine, coherence = filters.orientation(*mean_tensor(rain))
    down2, mixed, across2 = mean_tensor(output - target)
    excess = cosine * (down2 - across2) + 2 * sine * mixed
    return coherence * (jnp.sqrt(jnp.maximum(excess, 0) + eps**2) - eps)


def flake_mask(image: Float[Array, "b h w 3"], *, kind: str = "log") -> Float[Array, "b h w 1"]:
    """Where bright blobs of a snowflake's size sit: 0 none, 1 sure; no gradient flows.

    The largest response over `FLAKE_SIGMAS`, divided by `FLAKE_CONTRAST` and clipped.

    Args:
      kind: 'log' (Laplacian of Gaussian) or 'dog' (difference of Gaussians).

    Raises:
      InputError: for another kind.
    """
    kinds = {"log": filters.laplacian_of_gaussian, "dog": filters.difference_of_gaussians}
    if kind not in kinds:
        raise errors.unknown("kind", kind, kinds)
    grey = color.luma(jax.lax.stop_gradient(image))
    response = jnp.stack([kinds[kind](grey, sigma) for sigma in FLAKE_SIGMAS]).max(0)
    return jnp.clip(response / FLAKE_CONTRAST, 0, 1)


def flakes(
    output: Float[Array, "b h w 3"],
    target: Float[Array, "b h w 3"],
    image: Float[Array, "b h w 3"],
    *,
    kind: str = "log",
    eps: float = 1e-3,
) -> Float[Array, "b"]:
    """Mean of mask x Charbonnier: with weight 0.1, a pixel under a flake counts 1.1 times."""
    distance = jnp.sqrt(jnp.square(output - target) + eps**2)
    return (flake_mask(image, kind=kind) * distance).mean((1, 2, 3))
