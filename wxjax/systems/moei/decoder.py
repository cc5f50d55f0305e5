"""The region decoder: mixed tokens and the encoder's maps to pixels.

Axes: r regions, s side of a region in pixels, t side of its last map in tokens, c channels.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.nn.attention import LoRADense, torch_uniform
from wxjax.ops.convolution import conv3x3, depth_to_space
from wxjax.ops.dense import product
from wxjax.systems.moei.blocks import Shell, SwinBlock, layer_norm
from wxjax.systems.moei.regions import one_by_one

HEADS = ("linear", "conv")
UPS = ("conv", "linear")


class Decoder(Shell):
    """Skips joined level by level, Swin V1 blocks, doubled sides, down to 3 channels."""

    patch: int = 4
    depth: int = 2
    head_dim: int = 64
    window: int = 8
    region: int = 256
    mlp_ratio: int = 4
    up: str = "conv"
    head: str = "linear"
    head_width: int = 16
    head_init: str = "uniform"
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "r t t d"],
        skips: list,
        image: Float[Array, "r s s 3"],
        alone: int = 0,
    ) -> Float[Array, "r s s 3"]:
        """Of mixed tokens, the encoder's maps and the regions; `alone` as in the encoder."""
        if self.head not in HEADS:
            raise errors.unknown("model.decoder.head", self.head, HEADS)
        bottom = self.region // self.patch >> len(skips) - 1
        sides = [bottom << j for j in range(len(skips) + 1)]
        skips, small = skips[::-1], len(skips)
        if alone:
            small = sum(skip.shape[1] < alone for skip in skips)
        last = len(skips) - 1
        x = run_levels(self, x, skips[:small], sides[:small], 0, last)

        def rest(decoder, x, skips, image):
            x = run_levels(decoder, x, skips, sides[small:-1], small, last)
            return to_pixels(decoder, x, image, sides[-1], last)

        run = one_by_one if small < len(skips) else lambda module, fn, *xs: fn(module, *xs)
        return run(self, rest, x, skips[small:], image)


def run_levels(
    decoder: Decoder, x: Float[Array, "r h w c"], skips: list, sides: list, first: int, last: int
) -> Float[Array, "r y x d"]:
    """The levels from `first` on, one a skip; `sides` are those of a region's maps.

    Each ends with its side doubled, but for the `last`, which `to_pixels` goes on from.
    """
    block = nn.remat(SwinBlock) if decoder.remat else SwinBlock
    for j, (skip, side) in enumerate(zip(skips, sides, strict=True), first):
        x = jnp.concatenate([x, skip], -1)
        c = x.shape[-1]
        window = min(decoder.window, side)
        shift = window // 2 if side > window else 0
        for i in range(decoder.depth):
            x = block(
                shell=decoder.shell,
                ratio=decoder.ratio,
                rank=decoder.rank,
                dtype=decoder.dtype,
                version=1,
                heads=max(1, c // decoder.head_dim),
                window=window,
                shift=shift * ((i + decoder.depth % 2 * (j + 1)) % 2),
                mlp_ratio=decoder.mlp_ratio,
                name=f"level{j}_block{i}",
                parent=decoder,
            )(x)
        if j < last:
            x = Expand(c // 4, decoder.up, decoder.dtype, name=f"level{j}_up", parent=decoder)(x)
    return x


def to_pixels(
    decoder: Decoder,
    x: Float[Array, "r h w c"],
    image: Float[Array, "r s s 3"],
    side: int,
    last: int,
) -> Float[Array, "r s s 3"]:
    """From what the last level's blocks leave to full size and three channels.

    Args:
      side: of a region's map after the level `last` has doubled it.
    """
    form = dict(dtype=decoder.dtype, parent=decoder)
    c = x.shape[-1] // 4
    doublings = [Expand(c, decoder.up, **form, name=f"level{last}_up")]
    while side < decoder.region:
        side, c = 2 * side, c // 4
        doublings.append(Expand(c, decoder.up, **form, name=f"up{side}"))
    if decoder.head == "conv":
        for double in doublings:
            x = double(x)
        return PixelHead(decoder.head_width, **form, name="output")(x, image)
    init = nn.initializers.zeros if decoder.head_init == "zeros" else torch_uniform(c)
    output = LoRADense(3, use_bias=False, kernel_init=init, **form, name="output")
    if decoder.up == "conv" and not decoder.is_initializing():
        return in_one(x, doublings, output.variables["params"]["kernel"])
    for double in doublings:
        x = double(x)
    return output(x)


def in_one(
    x: Float[Array, "r h w c"], doublings: list["Expand"], kernel: Float[Array, "d 3"]
) -> Float[Array, "r y x 3"]:
    """Doublings of kind 'conv' and the kernel behind them as one product.

    Nothing in between is nonlinear, so their kernels multiply: the published network's last
    three layers, 0.38 GFLOP a region, become one of 0.08.
    """
    kernel = kernel[:, None, None]
    bias = jnp.zeros(kernel.shape[1:], jnp.float32)
    for double in reversed(doublings):
        kernel, bias = double.before(kernel, bias)
    flat = kernel.reshape(kernel.shape[0], -1).astype(x.dtype)
    y = product(x, flat) + bias.reshape(-1).astype(x.dtype)
    return depth_to_space(y, kernel.shape[1])


class Expand(nn.Module):
    """Twice the side at `features` channels: 'conv' (2x2 transposed) or 'linear' (with norm)."""

    features: int
    kind: str = "conv"
    dtype: DTypeLike = jnp.float32

    def setup(self):
        if self.kind not in UPS:
            raise errors.unknown("model.decoder.up", self.kind, UPS)
        init = torch_uniform(4 * self.features)  # 'linear' keeps as many features as it is given
        self.expand = LoRADense(
            4 * self.features, use_bias=False, dtype=self.dtype, kernel_init=init
        )
        if self.kind == "linear":
            self.norm = layer_norm(dtype=self.dtype)
        else:
            self.bias = self.param("bias", init, (self.features,))

    def __call__(self, x: Float[Array, "r h w c"]) -> Float[Array, "r y x d"]:
        y = depth_to_space(self.expand(x), 2)
        return self.norm(y) if self.kind == "linear" else y + self.bias.astype(self.dtype)

    def before(
        self, kernel: Float[Array, "d y x o"], bias: Float[Array, "y x o"]
    ) -> tuple[Float[Array, "c v u o"], Float[Array, "v u o"]]:
        """What equals this doubling (of kind 'conv') and after it each pixel's `kernel`
        to a square of y by x, plus `bias`: the same for a square of twice the side."""
        _, y, _, o = kernel.shape
        own = self.expand.variables["params"]["kernel"]
        own = own.reshape(own.shape[0], 2, 2, self.features)
        both = jnp.einsum("cabd,dyxo->caybxo", own, kernel)
        bias = bias + jnp.einsum("d,dyxo->yxo", self.bias, kernel)
        return both.reshape(-1, 2 * y, 2 * y, o), jnp.tile(bias, (2, 2, 1))


class PixelHead(nn.Module):
    """Three 3x3 convolutions over the decoder's features and the image itself.

    Not in the published network. Its last layers double sides without overlap, which
    leaves a lattice on smooth ground, and see a streak of one pixel through patches of
    four; here neighbours are weighed at full size. Zero at first; borders are repeated.
    """

    width: int = 16
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "r s s c"], image: Float[Array, "r s s 3"]
    ) -> Float[Array, "r s s 3"]:
        x = jnp.concatenate([x.astype(self.dtype), image.astype(self.dtype)], -1)
        x = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), "edge")
        for i, features in enumerate((self.width, self.width, 3)):
            last = i == 2
            init = nn.initializers.zeros if last else nn.initializers.he_normal()
            kernel = self.param(f"kernel{i}", init, (3, 3, x.shape[-1], features))
            bias = self.param(f"bias{i}", nn.initializers.zeros, (features,))
            x = conv3x3(x, kernel.astype(self.dtype)) + bias.astype(self.dtype)
            x = x if last else nn.relu(x)
        return x[:, 3:-3, 3:-3]
