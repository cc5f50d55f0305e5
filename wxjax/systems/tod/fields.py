"""Fields: what a pixel's colour is at an hour, as a network of the place and a time code.

A field has two halves, so that the first can be kept between hours: features of the place, and
a head that mixes them with the hour. `hash3d` alone looks at the hour in the first.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jaxtyping import Array, Float

from wxjax.systems.tod import codes, grids

OMEGA = 30.0  # Sitzmann et al. 2020


def sine_bound(fan_in: int, first: bool) -> float:
    """Bound of SIREN's uniform start: 1 / in at the first layer, sqrt(6 / in) / omega after."""
    return 1 / fan_in if first else float(np.sqrt(6 / fan_in)) / OMEGA


def uniform(bound: float):
    def start(key, shape, dtype=jnp.float32):
        return 2 * bound * (initializers.uniform(1.0)(key, shape, dtype) - 0.5)

    return start


class Head(nn.Module):
    """An MLP over features and hour: the hour is appended, or modulates every layer (FiLM).

    Attributes:
      layers: hidden layers; with 'siren' one more, the first of its kind.
      film: Perez et al. 2018; its last layer starts at almost 0, so training starts without it.
    """

    hidden: int
    layers: int
    outputs: int = 3
    activation: str = "relu"
    film: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "g n f"], code: Float[Array, "g k"]
    ) -> Float[Array, "g n o"]:
        count = self.layers + (self.activation == "siren")
        if self.film:
            y = nn.relu(nn.Dense(64, name="film_in")(code))
            small = initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
            y = nn.Dense(2 * self.hidden * count, kernel_init=small, name="film_out")(y)
            scale, shift = jnp.split(y.reshape(len(code), 1, count, 2 * self.hidden), 2, -1)
        else:
            spread = jnp.broadcast_to(code[:, None], (*x.shape[:2], code.shape[-1]))
            x = jnp.concatenate([x, spread], -1)
        x = x.astype(self.dtype)
        for layer in range(count):
            start = nn.linear.default_kernel_init
            if self.activation == "siren":
                start = uniform(sine_bound(x.shape[-1], layer == 0))
            x = nn.Dense(self.hidden, kernel_init=start, dtype=self.dtype, name=f"layer_{layer}")(x)
            if self.film:
                x = (1 + scale[:, :, layer]) * x + shift[:, :, layer]
            x = jnp.sin(OMEGA * x) if self.activation == "siren" else nn.relu(x)
            x = x.astype(self.dtype)
        start = nn.linear.default_kernel_init
        if self.activation == "siren":
            start = uniform(sine_bound(self.hidden, False))
        return nn.Dense(self.outputs, kernel_init=start, name="out")(x.astype(jnp.float32))


class Encoder(nn.Module):
    """Three convolutions over the baseline picture; stride 1, 2 or 4 in all."""

    channels: int = 32
    downsample: int = 1

    @nn.compact
    def __call__(self, image: Float[Array, "h w c"]) -> Float[Array, "H W d"]:
        first, last = {1: (1, 1), 2: (2, 1), 4: (2, 2)}[self.downsample]
        x = image[None]
        for channels, stride in ((16, first), (16, 1), (self.channels, last)):
            x = nn.relu(nn.Conv(channels, (3, 3), (stride, stride))(x))
        return x[0]


class Field(nn.Module):
    """Features of places and a head; `model` is the config's, hashable."""

    model: Any
    height: int
    width: int
    outputs: int = 3

    def setup(self):
        model = self.model
        kind = model.field if model.field in ("mlp", "encoder", "hash2d", "hash3d") else "dense"
        self.kind = "encoder" if model.use_baseline_encoder else kind
        longer = max(self.height, self.width)
        if self.kind == "dense":
            self.grid = grids.Dense(self.height, self.width, model.levels, model.level_channels)
        elif self.kind in ("hash2d", "hash3d"):
            times = model.hash_times if self.kind == "hash3d" else 0
            sizes = (model.hash_levels, model.hash_features, model.hash_log2)
            self.grid = grids.Hash(longer, *sizes, times=times)
        elif self.kind == "encoder":
            self.encoder = Encoder(model.be_channels, model.be_downsample)
        self.head = Head(
            model.hidden,
            model.layers,
            self.outputs,
            model.activation,
            model.film,
            jnp.dtype(model.dtype),
        )

    def features(
        self,
        xy: Float[Array, "g n 2"],
        phase: Float[Array, "g"] | None = None,
        image: Float[Array, "h w c"] | None = None,
    ) -> Float[Array, "g n f"]:
        """What is known of places: `phase` (hour over period) for hash3d, `image` for encoders."""
        flat = xy.reshape(-1, 2)
        code = lambda: codes.place(self.model, flat, self.height, self.width)
        if self.kind == "mlp":
            found = code()
        elif self.kind == "encoder":
            found = grids.bilinear(self.encoder(image), flat)
            if self.model.be_mode == "concat":
                found = jnp.concatenate([found, code()], -1)
        elif self.kind == "hash3d":
            found = self.grid(flat, jnp.repeat(phase, xy.shape[1]))
        else:
            found = self.grid(flat)
        return found.reshape(*xy.shape[:2], -1)

    def __call__(self, xy, code, phase=None, image=None, look=None) -> Float[Array, "g n o"]:
        """Outputs at places `[g n 2]`, each group at its own hour's code `[g k]`.

        `look`: more that is known of each place at that hour, `[g n l]`.
        """
        found = self.features(xy, phase, image)
        found = found if look is None else jnp.concatenate([found, look], -1)
        return self.head(found, code)


class LowRank(nn.Module):
    """The sum over r of a_r(hour) B_r(place): B decoded from dense grids, a by a small MLP.

    The hour enters in the last product alone, so a trained one is baked without loss.
    """

    model: Any
    height: int
    width: int

    @nn.compact
    def __call__(self, xy, code, phase=None, image=None, look=None) -> Float[Array, "g n 3"]:
        """As `Field`; the last three arguments are not used."""
        model = self.model
        grid = grids.Dense(self.height, self.width, model.levels, model.level_channels, name="grid")
        found = grid(xy.reshape(-1, 2))
        pictures = nn.Dense(3 * model.rank, name="decode")(found)
        curves = nn.Dense(model.rank, name="curves")(nn.tanh(nn.Dense(32, name="hours")(code)))
        return jnp.einsum("gnrc,gr->gnc", pictures.reshape(*xy.shape[:2], model.rank, 3), curves)
