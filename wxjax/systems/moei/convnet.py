"""DehazeXL's three parts from plain 3x3 convolutions: the network that ships.

The structure is that of `encoder.py`, `bottleneck.py` and `decoder.py`: maps a stage,
tokens of the whole image that see each other, a decoder whose output is added to the
input. On a CPU plain convolutions reach the rate of matrix products where windows of
attention do not, and neighbours see each other everywhere, so nothing leaves a lattice.
Nothing is normalised by place or position: a picture moved by whole tokens is restored
the same, moved.

Axes: r regions, h and w sides of a map, c channels, l tokens of an image, d features.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax.nn import adapter
from wxjax.ops.convolution import conv3x3, depth_to_space, space_to_depth
from wxjax.systems.moei.blocks import Shell

SHUFFLE = 2  # no convolution at full size: XLA:CPU runs 12 channels there at a fifth of its rate


class Conv(nn.Module):
    """A 3x3 convolution with bias, zeros beyond the border.

    Attributes:
      gain: standard deviation of the start values over He et al.'s; 0 starts at zero.
    """

    features: int
    gain: float = 1.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "r h w c"]) -> Float[Array, "r h w d"]:
        init = nn.initializers.zeros
        if self.gain:
            init = nn.initializers.variance_scaling(2 * self.gain**2, "fan_in", "normal")
        kernel = self.param("kernel", init, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return conv3x3(x, kernel.astype(self.dtype)) + bias.astype(self.dtype)


class ConvBlock(Shell):
    """Two convolutions beside the identity, with or without a shell behind them."""

    @nn.compact
    def __call__(self, x: Float[Array, "r h w c"]) -> Float[Array, "r h w c"]:
        c = x.shape[-1]
        y = nn.relu(Conv(c, 1.0, self.dtype, name="conv1")(x))
        x = x + Conv(c, 0.3, self.dtype, name="conv2")(y)
        return adapter.after_block(self.shell, x, ratio=self.ratio, dtype=self.dtype)


class ConvEncoder(Shell):
    """Maps of a region at 1/2, 1/4, ... of its side; the last is the tokens."""

    dims: tuple[int, ...] = (32, 48, 96, 192)
    depths: tuple[int, ...] = (1, 1, 1, 1)

    @nn.compact
    def __call__(self, x: Float[Array, "r h w 3"]) -> list:
        x = space_to_depth(x.astype(self.dtype), SHUFFLE)
        maps = []
        for s, (c, depth) in enumerate(zip(self.dims, self.depths, strict=True)):
            if s:
                down = nn.Dense(c, dtype=self.dtype, name=f"down{s}")
                x = down(space_to_depth(x, 2))
            else:
                x = nn.relu(Conv(c, 1.0, self.dtype, name="stem")(x))
            for i in range(depth):
                x = self.block(f"stage{s}_block{i}")(x)
            maps.append(x)
        return maps

    def block(self, name: str) -> ConvBlock:
        return ConvBlock(self.shell, self.ratio, self.rank, self.dtype, name=name)


class ConvDecoder(Shell):
    """Mixed tokens and the encoder's maps to what is added to the picture.

    The head predicts a gain a and an offset b per pixel, both zero at first: what is added
    is x a + b, so an untrained network is the identity to the bit.
    """

    dims: tuple[int, ...] = (32, 48, 96, 192)
    depths: tuple[int, ...] = (1, 1, 1, 1)

    @nn.compact
    def __call__(
        self, x: Float[Array, "r y x d"], skips: Sequence[Array], image: Float[Array, "r h w 3"]
    ) -> Float[Array, "r h w 3"]:
        form = dict(dtype=self.dtype)
        for s in reversed(range(len(self.dims))):
            c, skip = self.dims[s], skips[s].astype(self.dtype)
            if s == len(self.dims) - 1:
                x = skip + nn.Dense(c, **form, name="tokens")(x.astype(self.dtype))
            else:
                up = nn.Dense(4 * c, **form, name=f"up{s}")(x)
                x = nn.relu(skip + depth_to_space(up, 2))
            for i in range(self.depths[s]):
                block = ConvBlock(
                    self.shell, self.ratio, self.rank, self.dtype, name=f"level{s}_block{i}"
                )
                x = block(x)
        both = Conv(2 * 3 * SHUFFLE**2, 0.0, self.dtype, name="output")(x)
        both = depth_to_space(both, SHUFFLE).astype(jnp.float32)
        gain, offset = both[..., :3], both[..., 3:]
        return image * gain + offset


class PooledLayer(Shell):
    """Every token attends to at most `cells` means of tokens, then an MLP.

    Exact attention over the 47,000 tokens of a 12-megapixel picture would cost more than
    the rest of the network.
    """

    heads: int = 4
    mlp_ratio: int = 2
    cells: int = 16  # a side

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], position: Any, valid: Float[Array, "b l"]
    ) -> Float[Array, "b l d"]:
        b, n, d = x.shape
        h = self.heads
        form = dict(dtype=self.dtype)
        y = rms_norm(x)
        pooled, count = pool(y, position, valid, self.cells)
        q = nn.Dense(d, use_bias=False, **form, name="query")(y).reshape(b, n, h, -1)
        k = nn.Dense(d, use_bias=False, **form, name="key")(pooled).reshape(b, -1, h, d // h)
        v = nn.Dense(d, use_bias=False, **form, name="value")(pooled).reshape(b, -1, h, d // h)
        scores = jnp.einsum("bnhc,bmhc->bhnm", q, k).astype(jnp.float32) * (d // h) ** -0.5
        weights = jax.nn.softmax(scores, where=count[:, None, None, :] > 0)
        y = jnp.einsum("bhnm,bmhc->bnhc", weights.astype(v.dtype), v).reshape(b, n, d)
        x = x + nn.Dense(d, **form, name="proj", kernel_init=small)(y)
        y = nn.relu(nn.Dense(self.mlp_ratio * d, **form, name="fc1")(rms_norm(x)))
        x = x + nn.Dense(d, **form, name="fc2", kernel_init=small)(y)
        if self.shell in ("adapter", "film"):  # tokens have no grid here: a row of pixels
            form = dict(ratio=self.ratio, dtype=self.dtype, valid=valid[:, None])
            x = adapter.after_block(self.shell, x[:, None], **form)[:, 0]
        return x


small = nn.initializers.variance_scaling(0.1, "fan_in", "normal")


class PooledBottleneck(Shell):
    """All tokens of the image, a few layers deep. Nothing knows where a token lies."""

    depth: int = 2
    heads: int = 4
    mlp_ratio: int = 2
    cells: int = 16

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b l d"], position: Any, valid: Float[Array, "b l"] | None = None
    ) -> Float[Array, "b l d"]:
        """`position` holds row and column of each token, `[l 2]`; `valid` 0 for padding."""
        valid = jnp.ones(tokens.shape[:2]) if valid is None else jnp.asarray(valid, jnp.float32)
        x = tokens.astype(self.dtype)
        for i in range(self.depth):
            layer = PooledLayer(
                self.shell,
                self.ratio,
                self.rank,
                self.dtype,
                heads=self.heads,
                mlp_ratio=self.mlp_ratio,
                cells=self.cells,
                name=f"layer{i}",
            )
            x = layer(x, position, valid)
        return x


def rms_norm(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Each vector over its root mean square; without parameters."""
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 1e-5)).astype(x.dtype)


def pool(
    x: Float[Array, "b l d"], position: Any, valid: Float[Array, "b l"], cells: int
) -> tuple[Float[Array, "b m d"], Float[Array, "b m"]]:
    """Means of the tokens in `cells` x `cells` parts of the image, and how many each holds.

    Grids of at most as many tokens stay as they are.
    """
    b, n, d = x.shape
    if n <= cells**2:
        return x, valid
    position = jnp.asarray(position)
    extent = (position * (valid[0] > 0)[:, None]).max(0) + 1
    row, column = jnp.minimum(position * cells // extent, cells - 1).T
    index = row * cells + column
    count = jnp.zeros((b, cells**2)).at[:, index].add(valid)
    sums = jnp.zeros((b, cells**2, d)).at[:, index].add(valid[..., None] * x)
    return (sums / jnp.maximum(count, 1)[..., None]).astype(x.dtype), count
