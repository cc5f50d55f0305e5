"""Mean, spread and skewness of feature maps, merged part by part.

Central moments of parts combine exactly (Chan, Golub and LeVeque, 1983; third moment
after Pébay, 2008), so an image's statistics need no second look at its regions.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def central(x: Float[Array, "h w c"]) -> Float[Array, "3 c"]:
    """Mean over the pixels, and the mean second and third power of the distance from it."""
    x = x.astype(jnp.float32)
    mean = x.mean((0, 1))
    apart = x - mean
    return jnp.stack([mean, (apart**2).mean((0, 1)), (apart**3).mean((0, 1))])


def merge(parts: Float[Array, "n 3 c"], share: Float[Array, "n"]) -> Float[Array, "3 c"]:
    """Moments of all parts together; `share` is the weight of each, and sums to 1."""
    w = share[:, None]
    mean = (w * parts[:, 0]).sum(0)
    apart = parts[:, 0] - mean
    second = (w * (parts[:, 1] + apart**2)).sum(0)
    third = (w * (parts[:, 2] + 3 * apart * parts[:, 1] + apart**3)).sum(0)
    return jnp.stack([mean, second, third])


def describe(moments: Float[Array, "3 c"]) -> Float[Array, "d"]:
    """`[mean, standard deviation, skewness]`, d = 3 c, each x as sign(x) log(1 + |x|).

    A few flakes on a dark map have a skewness of dozens; its logarithm is what tells.
    A constant map has skewness 0.
    """
    mean, second, third = moments
    spread = jnp.sqrt(jnp.maximum(second, 1e-12))
    said = jnp.concatenate([mean, spread, third / (spread**3 + 1e-4)])
    return jnp.sign(said) * jnp.log1p(jnp.abs(said))
