"""Weather over clean photographs, drawn and composed on the device.

One pure function of a key: the same samples for the same key on one backend. What takes
long to draw (streaks, flakes, drops) comes as layers made once on the host
(`data/synthesis/pools.py`); here they are cropped, mirrored, mixed and blended.

Axes: b samples, h w height width (square, multiples of 16), k kinds.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from wxjax.ops import color

KINDS = ("clean", "haze", "rain", "veiled_rain", "snow", "drops", "two")
"""'two' is haze under snow or rain, or drops on a pane before rain."""


class Sample(NamedTuple):
    """A batch of samples.

    Attributes:
      image, target: float32 sRGB in [0, 1]; the input on 8-bit codes.
      kind: index into `KINDS`; severity: 0 (nothing) to 1 (the input's error is 0.3 or more).
    """

    image: Float[Array, "b h w 3"]
    target: Float[Array, "b h w 3"]
    kind: Int[Array, "b"]
    severity: Float[Array, "b"]


class Draws(NamedTuple):
    """How broadly weather is drawn; fields are shares of samples unless said.

    `typical` haze has a bright neutral light and follows the depth, as in most public
    sets; the rest is drawn broadly, as in real haze. Typical is learnt five times faster.
    """

    typical: float = 0.5
    linear: float = 0.35
    darken: float = 0.25
    noise: float = 0.4
    jpeg: float = 0.5
    blur: float = 0.1
    color: float = 0.7


def degrade(
    key: Any,
    clean: UInt8[Array, "b h w 3"],
    depth: UInt8[Array, "b h w"],
    pools: Any,
    shares: Float[Array, "b k"],
    *,
    draws: Draws = Draws(),  # noqa: B008  (a tuple of numbers)
    strength: float | int | Float[Array, ""] = 1.0,
    in_turn: bool | None = None,
) -> Sample:
    """Samples of the kinds that `shares` names.

    Args:
      key: draws everything.
      depth: relative distance, 255 is farthest.
      pools: `data.synthesis.pools.Pools`, on the device or not.
      shares: how often each of `KINDS` is drawn, a row a sample; rows need not sum to 1.
      strength: scales densities and opacities; 0 leaves every picture as it is but for
        the colours of the scene, which target and input share.
      in_turn: sample after sample, so that a branch not drawn costs nothing (None: on a
        CPU); else all at once.
    """
    one = functools.partial(_one, pools=pools, draws=draws, strength=jnp.float32(strength))
    keys = jax.random.split(key, clean.shape[0])
    if in_turn is None:
        in_turn = jax.default_backend() == "cpu"
    if in_turn:
        return jax.lax.map(lambda item: one(*item), (keys, clean, depth, shares))
    return jax.vmap(one)(keys, clean, depth, shares)


def _one(key, clean, depth, share, *, pools, draws: Draws, strength) -> Sample:
    keys = iter(jax.random.split(key, 24))
    kind = jax.random.categorical(next(keys), jnp.log(jnp.maximum(share, 1e-9)))
    is_ = lambda *names: jnp.isin(kind, jnp.array([KINDS.index(n) for n in names]))
    drawn = strength > 0
    chance = lambda p: jax.random.bernoulli(next(keys), p)
    scene = clean.astype(jnp.float32) / 255
    target = when(chance(draws.color), recolor, next(keys), scene)
    image = target

    both = jax.random.randint(next(keys), (), 0, 3)  # what 'two' is: snow, rain, drops
    two = is_("two")
    streaks = is_("rain", "veiled_rain") | (two & (both > 0))
    flakes = is_("snow") | (two & (both == 0))
    veil = is_("haze", "veiled_rain") | (two & (both < 2)) | (flakes & chance(0.4))
    water = is_("drops") | (two & (both == 2))
    thin = flakes & ~two  # a veil under snow is thin
    linear = chance(draws.linear) & drawn

    image = when(chance(draws.darken) & veil & drawn, darken, next(keys), image)
    image = jnp.where(linear, color.srgb_to_linear(image), image)
    rain = lambda key, x: rain_over(key, x, pools, strength)
    snow = lambda key, x: snow_over(key, x, pools, strength)
    image = when(streaks, rain, next(keys), image)
    image = when(flakes, snow, next(keys), image)
    haze = lambda key, x: haze_over(key, x, depth, draws, linear, strength * (1 - 0.7 * thin))
    image = when(veil, haze, next(keys), image)
    image = jnp.where(linear, color.linear_to_srgb(jnp.clip(image, 0, 1)), jnp.clip(image, 0, 1))
    drops = lambda key, x: drops_over(key, x, pools, strength)
    image = when(water, drops, next(keys), image)

    plain = is_("clean")
    sensor = drawn & (chance(0.5) | ~plain)
    image = when(chance(draws.blur) & sensor & ~plain, blur, next(keys), image)
    image = when(chance(draws.noise) & sensor, noise, next(keys), image)
    image = jnp.round(jnp.clip(image, 0, 1) * 255) / 255
    image = when(chance(draws.jpeg) & sensor, jpeg, next(keys), image)
    image = jnp.round(jnp.clip(image, 0, 1) * 255) / 255
    target = jnp.where(plain, image, target)
    severity = jnp.clip(jnp.sqrt(jnp.mean((image - target) ** 2)) / 0.3, 0, 1)
    return Sample(image, target, kind, severity)


def when(flag, fn, key, x):
    """`fn(key, x)` where `flag`, else `x`; computed on demand where samples go in turn."""
    return jax.lax.cond(flag, fn, lambda key, x: x, key, x)


def uniform(key, low, high, shape=()):
    return jax.random.uniform(key, shape, minval=low, maxval=high)


def log_uniform(key, low, high):
    return jnp.exp(uniform(key, np.log(low), np.log(high)))


def recolor(key, x):
    """Gamma 0.7 to 1.4, white balance +-10 %, saturation 0.7 to 1.2; one in ten grey."""
    a, b, c, d = jax.random.split(key, 4)
    x = x ** log_uniform(a, 0.7, 1.4) * uniform(b, 0.9, 1.1, (3,))
    grey = color.luma(x)
    saturation = jnp.where(jax.random.bernoulli(c, 0.1), 0.0, uniform(d, 0.7, 1.2))
    return jnp.clip(grey + (x - grey) * saturation, 0, 1)


def darken(key, x):
    """The input alone, as bad weather is dark: x^g, g 1.1 to 2."""
    return x ** uniform(key, 1.1, 2.0)


def rain_over(key, x, pools, strength):
    """Streaks: screen (60 %), added and clipped (30 %) or replacing light (10 %)."""
    a, b, c, d, e, f = jax.random.split(key, 6)
    layer = crop(a, pools.streaks, x.shape)
    second = crop(b, pools.streaks, x.shape)
    mixed = jnp.where(
        uniform(c, 0, 1) < 0.25, jnp.clip(layer + uniform(d, 0.3, 1) * second, 0, 1), layer
    )
    how, opacity, gain, tint = jax.random.split(d, 4)
    share = uniform(opacity, 0.25, 1.0) * strength
    light = (mixed * share)[..., None]
    light = light * jnp.where(uniform(tint, 0, 1) < 0.3, uniform(e, 0.92, 1.0, (3,)), 1.0)
    gains = jnp.where(uniform(gain, 0, 1) < 0.2, uniform(f, 0.8, 1.1), 1.0)
    x = x * (1 + (gains - 1) * jnp.minimum(strength, 1))
    pick = uniform(how, 0, 1)
    screened = x + light * (1 - x)
    added = jnp.clip(x + light, 0, 1)
    replaced = x + light * (0.85 - x)
    return jnp.where(pick < 0.6, screened, jnp.where(pick < 0.9, added, replaced))


def snow_over(key, x, pools, strength):
    """One or two layers of flakes of colour 0.9 to 1, opacity 0.3 to 1."""
    a, b, c, d, e, f = jax.random.split(key, 6)
    first, second = crop(a, pools.flakes, x.shape), crop(b, pools.flakes, x.shape)
    second = second * jax.random.bernoulli(c, 0.5)
    alpha = 1 - (1 - first) * (1 - second)
    alpha = (alpha * uniform(d, 0.3, 1.0) ** 0.5 * strength)[..., None]
    white = uniform(e, 0.9, 1.0) * uniform(f, 0.97, 1.0, (3,))
    return x + alpha * (white - x)


def haze_over(key, x, depth, draws: Draws, linear, strength):
    """I = J t + A (1 - t), t = exp(-beta d): after the depth, a smooth field, or both."""
    k = jax.random.split(key, 12)
    distance = depth.astype(jnp.float32) / 255
    distance = 0.05 + 0.95 * distance
    flip = jax.random.bernoulli(k[0], 0.15)
    distance = jnp.where(flip, 1.05 - distance, distance)
    field = smooth_field(k[1], x.shape[:2])
    level = uniform(k[2], 0, 0.6)  # part of the haze that is everywhere alike
    pick = uniform(k[3], 0, 1)
    typical = jax.random.bernoulli(k[4], draws.typical)
    broad = jnp.where(
        pick < 0.5,
        level + (1 - level) * distance,
        jnp.where(pick < 0.8, field, 2 * distance * field),
    )
    distance = jnp.where(typical, distance, broad)
    beta = jnp.where(typical, uniform(k[5], 0.5, 2.2), log_uniform(k[6], 0.1, 3.0))
    transmission = jnp.exp(-beta * strength * distance)[..., None]
    spread = jnp.array([0.0, 0.08, 0.2])[
        jnp.searchsorted(jnp.array([0.2, 0.9]), uniform(k[7], 0, 1))
    ]
    airlight = uniform(k[8], 0.25, 1.0) + spread * uniform(k[9], -1, 1, (3,))
    neutral = uniform(k[8], 0.65, 1.0) + 0.03 * uniform(k[9], -1, 1, (3,))
    airlight = jnp.clip(jnp.where(typical, neutral, airlight), 0.1, 1.0)
    airlight = jnp.where(linear, color.srgb_to_linear(airlight), airlight)
    return x * transmission + airlight * (1 - transmission)


def drops_over(key, x, pools, strength):
    """Drops on a pane: through each the scene upside down, small and blurred."""
    a, b, c = jax.random.split(key, 3)
    h, w = x.shape[:2]
    number, top, left, mirror = place(a, pools.drops.shape, x.shape)
    take = lambda layers: jax.lax.dynamic_slice(
        layers, (number, top, left, 0), (1, h, w, layers.shape[-1])
    )[0]
    layer, shift = take(pools.drops), take(pools.shift).astype(jnp.int32)
    sign = jnp.where(mirror, -1, 1)
    layer = jnp.where(mirror, layer[:, ::-1], layer)
    shift = jnp.where(mirror, shift[:, ::-1], shift) * jnp.stack([jnp.int32(1), sign])
    alpha = layer[..., :1].astype(jnp.float32) / 255 * uniform(b, 0.75, 1.0) * strength
    light = layer[..., 1:].astype(jnp.float32) / 128
    blurred = shrink_and_grow(x, 4)
    row = reflect(jnp.arange(h)[:, None] + shift[..., 0], h)
    column = reflect(jnp.arange(w)[None, :] + shift[..., 1], w)
    seen = blurred[row, column] * light
    seen = seen + uniform(c, 0.0, 0.15) * (1 - seen)
    return jnp.clip(x + jnp.clip(alpha, 0, 1) * (seen - x), 0, 1)


def reflect(i, n):
    """Index i mirrored into [0, n)."""
    i = jnp.abs(i) % (2 * n - 2)
    return jnp.where(i < n, i, 2 * n - 2 - i)


def place(key, shape, size):
    """A layer's number, the corner of a crop in it, and whether it is mirrored."""
    a, b, c, d = jax.random.split(key, 4)
    number = jax.random.randint(a, (), 0, shape[0])
    top = jax.random.randint(b, (), 0, shape[1] - size[0] + 1)
    left = jax.random.randint(c, (), 0, shape[2] - size[1] + 1)
    return number, top, left, jax.random.bernoulli(d)


def crop(key, layers, size):
    """A crop `[h w]` in [0, 1] of one of `layers [n s s]`, mirrored or not."""
    number, top, left, mirror = place(key, layers.shape, size)
    out = jax.lax.dynamic_slice(layers, (number, top, left), (1, *size[:2]))[0]
    return jnp.where(mirror, out[:, ::-1], out).astype(jnp.float32) / 255


@functools.lru_cache
def cubic(cells: int, size: int) -> np.ndarray:
    """Weights `[size cells]` of a cubic (Catmull-Rom) interpolation between `cells` knots."""
    at = np.linspace(0, cells - 1, size)
    distance = np.abs(at[:, None] - np.arange(cells))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def smooth_field(key, shape):
    """Low-frequency noise of 4x4 or 8x8 cells, in about [0, 1]."""
    a, b, c = jax.random.split(key, 3)
    grow = lambda key, n: cubic(n, shape[0]) @ uniform(key, 0, 1, (n, n)) @ cubic(n, shape[1]).T
    fine = uniform(c, 0, 0.6)
    return jnp.clip((1 - fine) * grow(a, 4) + fine * grow(b, 8), 0, 1.2)


def shrink_and_grow(x, by: int):
    """Blurred by means of `by` x `by` pixels and linear interpolation between them."""
    h, w, c = x.shape
    small = x.reshape(h // by, by, w // by, by, c).mean((1, 3))
    return jax.image.resize(small, (h, w, c), "linear")


def blur(key, x):
    """A binomial blur mixed in by up to its whole."""
    share = uniform(key, 0.2, 1.0)
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    soft = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    return x + share * (soft - x)


def noise(key, x):
    """Gaussian, sigma 2 to 15 codes, sometimes the same in the three channels."""
    a, b, c = jax.random.split(key, 3)
    sigma = log_uniform(a, 2, 15) / 255
    field = jax.random.normal(b, x.shape)
    grey = jax.random.bernoulli(c, 0.3)
    field = jnp.where(grey, field[..., :1], field)
    return x + sigma * field


LUMINANCE = np.array(
    """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87
    80 62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92
    95 98 112 100 103 99""".split(),
    np.float32,
).reshape(8, 8)  # quantisation of ITU-T T.81, table K.1
CHROMINANCE = np.minimum(99, LUMINANCE * 0 + 99)
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_n = np.arange(8)
DCT = np.cos((2 * _n + 1) * _n[:, None] * np.pi / 16)
DCT = (np.sqrt(np.where(_n == 0, 1, 2) / 8)[:, None] * DCT).astype(np.float32)
TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)


def jpeg(key, x):
    """What quality 30 to 95 leaves of a picture: 8x8 DCT, the standard tables, no subsampling."""
    quality = uniform(key, 30, 95)
    scale = jnp.where(quality < 50, 50 / quality, 2 - quality / 50)
    tables = np.stack([LUMINANCE, CHROMINANCE, CHROMINANCE], -1)
    tables = jnp.clip(jnp.round(tables * scale), 1, 255)
    h, w, _ = x.shape
    codes = x * 255 @ TO_YCC.T - jnp.array([128.0, 0, 0])
    blocks = codes.reshape(h // 8, 8, w // 8, 8, 3)
    spectrum = jnp.einsum("ui,aibjc,vj->aubvc", DCT, blocks, DCT)
    table = tables[None, :, None]
    spectrum = jnp.round(spectrum / table) * table
    codes = jnp.einsum("ui,aubvc,vj->aibjc", DCT, spectrum, DCT).reshape(h, w, 3)
    rgb = (codes + jnp.array([128.0, 0, 0])) @ np.linalg.inv(TO_YCC).T.astype(np.float32)
    return rgb / 255
