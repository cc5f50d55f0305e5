"""Maps of the picture itself whose statistics tell haze, rain and snow apart.

Water and snow are white: they show in the darkest channel, where colour hides less. On
it and on brightness lie a band pass a scale (the spread and skewness of what is bright and
small), and curvatures (Frangi et al., 1998): a streak is curved across and straight along,
a flake is curved both ways, and haze leaves little curvature at all.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax.ops import filters

BANDS = 3  # scales of the band passes, sigma about 1, 2 and 4 pixels
CURVED = 2  # scales of the curvatures, sigma about 0.7 and 1.2 pixels
COUNT = 3 + 2 * (BANDS + 10 * CURVED)
FEATURES = 5 * COUNT
CLEAR = 0.02  # a curvature that counts half
GAIN = 30.0  # to a spread near 1, as the encoder's maps have


def statistics(images: Float[Array, "n h w 3"]) -> Float[Array, "n 3 m"]:
    """Central moments of each picture's maps, m = `COUNT`; values in [0, 1] go in."""
    return jax.lax.map(lambda x: jnp.concatenate([central(m) for m in maps(x)], -1), images)


def central(x: Float[Array, "c h w 1"]) -> Float[Array, "3 c"]:
    """As `moments.central`, of `GAIN` times the maps; pixels last, which is 4 times as fast."""
    x = x[..., 0]
    mean = x.mean((1, 2), keepdims=True)
    apart = x - mean
    square = apart * apart
    found = [mean[:, 0, 0], square.mean((1, 2)), (square * apart).mean((1, 2))]
    return jnp.stack([GAIN**k * moment for k, moment in enumerate(found, 1)])


def describe(found: Float[Array, "3 m"]) -> Float[Array, "f"]:
    """Mean, spread and skewness of each map, each x as sign(x) log(1 + |x|); f = `FEATURES`.

    Mean and spread once more as logarithms: between those a difference is a ratio, such as
    of what stands to what lies, and a clear sky does not hide it.
    """
    mean, second, third = found
    spread = jnp.sqrt(jnp.maximum(second, 1e-12))
    said = jnp.concatenate([mean, spread, third / (spread**3 + 1e-6)])
    ratios = jnp.log(jnp.concatenate([jnp.maximum(mean, 0), spread]) + 0.01)
    return jnp.concatenate([jnp.sign(said) * jnp.log1p(jnp.abs(said)), ratios])


def maps(image: Float[Array, "h w 3"]) -> list[Float[Array, "c h w 1"]]:
    """Darkest channel, mean, their difference from the brightest; then bands and curvatures.

    The barriers keep XLA from computing a blur again for everything that reads it.
    """
    image = image.astype(jnp.float32)
    dark, bright = image.min(-1), image.max(-1)
    pair = jax.lax.optimization_barrier(jnp.stack([dark, image.mean(-1)])[..., None])
    found = [pair, (bright - dark)[None, ..., None], *bands(pair)]
    smooth = pair
    for scale, kernel in enumerate((TENT, BINOMIAL)):
        smooth = jax.lax.optimization_barrier(filters.separable(smooth, kernel, kernel))
        found += curvatures(smooth, 0.5 + scale)
    return found


TENT = np.array([1, 2, 1]) / 4
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
SECOND = np.array([1, -2, 1])
SLOPE = np.array([-1, 0, 1]) / 2
ONE = np.array([1.0])


def bands(x: Float[Array, "c h w 1"]) -> list[Float[Array, "c h w 1"]]:
    """What each of `BANDS` blurs takes away; the a trous algorithm (Holschneider, 1989)."""
    found = []
    for level in range(BANDS):
        spread = np.zeros(4 * 2**level + 1)
        spread[:: 2**level] = BINOMIAL
        smooth = jax.lax.optimization_barrier(filters.separable(x, spread, spread))
        found.append(x - smooth)
        x = smooth
    return found


def curvatures(x: Float[Array, "c h w 1"], square: float) -> list[Float[Array, "c h w 1"]]:
    """Curvature of bright blobs, of lines, of lines that stand and that lie; times sigma squared.

    Each also as the share of the picture that is curved so, however strongly: a few roofs
    would else outweigh the streaks on a sky.
    """
    down = square * filters.separable(x, SECOND, ONE)
    across = square * filters.separable(x, ONE, SECOND)
    mixed = square * filters.separable(x, SLOPE, SLOPE)
    root = jnp.sqrt((across - down) ** 2 + 4 * mixed**2)
    most, least = (root - across - down) / 2, (-root - across - down) / 2
    most, least, across, down = jax.lax.optimization_barrier((most, least, across, down))
    kinds = [
        jnp.maximum(least, 0),  # blobs
        jnp.maximum(most - 3 * jnp.abs(least), 0),  # lines
        jnp.maximum(-across - 2 * jnp.abs(down), 0),  # standing
        jnp.maximum(-down - 2 * jnp.abs(across), 0),  # lying
    ]
    return [
        jnp.maximum(most, 0) - jnp.maximum(least, 0),
        jnp.maximum(-least, 0),  # dark
        *kinds,
        *(x / (x + CLEAR) / GAIN for x in kinds),
    ]
