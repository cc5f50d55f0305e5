"""The diffusion UNet: residual blocks with a time signal, and Swin layers at every side.

ResShift (Yue et al., NeurIPS 2023; its journal version) and DifIISR (Li et al., CVPR
2025), whose weights fit; written from a description, with another mask by default.
Axes: b images, h w height width of the latent, c channels.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from wxjax import errors
from wxjax.systems.irsr.blocks import (
    MASKS,
    Conv3x3,
    Dense,
    GroupNorm,
    ResBlock,
    SwinLayer,
    upsample,
)
from wxjax.systems.irsr.resize import pixel_unshuffle


def time_features(t: Num[Array, "b"], count: int) -> Float[Array, "b e"]:
    """Cosines, then sines, of t 10000^(-i / half); one zero more for an odd `count`."""
    half = count // 2
    rate = jnp.exp(-math.log(10_000) * jnp.arange(half, dtype=jnp.float32) / half)
    angle = t.astype(jnp.float32)[:, None] * rate
    features = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)
    return jnp.pad(features, ((0, 0), (0, count % 2)))


class UNet(nn.Module):
    """x_t and a condition to what the diffusion predicts.

    Attributes:
      out_channels: of the latent.
      side: of the latent in training; it decides which Swin layers shift (`SwinLayer`).
      width: channels at the first level; `multiples` of it at each level.
      blocks: residual blocks a level.
      attention: sides of the maps that get Swin layers, in training; the middle always does.
      swin_depth, swin_dim, head_dim, window, mlp_ratio: of the Swin layers.
      mask: 'official' for the published weights, 'swin' for what was meant.
      extractor: stages of convolution and halving that the condition goes through first.
      zero_head: start with an output of zero.
    """

    out_channels: int
    side: int = 64
    width: int = 160
    multiples: tuple[int, ...] = (1, 2, 2, 4)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    attention: tuple[int, ...] = (64, 32, 16, 8)
    swin_depth: int = 2
    swin_dim: int = 192
    head_dim: int = 32
    window: int = 8
    mlp_ratio: int = 4
    mask: str = "swin"
    extractor: int = 0
    zero_head: bool = True
    dropout: float = 0.0
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @property
    def multiple(self) -> int:
        """What the latent's sides have to be multiples of: whole windows at every level."""
        sides = [self.side >> i for i in range(len(self.multiples))]
        windows = (min(self.window, side) << i for i, side in enumerate(sides))
        return math.lcm(*windows)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        t: Num[Array, "b"],
        cond: Float[Array, "b y x k"],
        train: bool = False,
    ) -> Float[Array, "b h w d"]:
        """The prediction, in float32.

        Args:
          x: the scaled x_t.
          t: its index in the schedule that the network was trained under.
          cond: what it is conditioned on; at another side it is brought to that of `x`
            (twice as large: packed; smaller by 4: repeated).
          train: dropout on; needs the RNG 'dropout'.

        Raises:
          InputError: for sides that hold no whole windows, and settings no network has.
        """
        self.check(x.shape)
        time = Dense(4 * self.width, self.dtype, name="time1")(time_features(t, self.width))
        time = Dense(4 * self.width, self.dtype, name="time2")(nn.silu(time))
        self.sow("intermediates", "after_time", time)
        x = jnp.concatenate([x, self.condition(cond, x.shape)], -1)
        x = Conv3x3(self.width, dtype=self.dtype, name="input0")(x)
        self.sow("intermediates", "after_input0", x)
        maps = self.contract(x, time, train)
        x = self.residual(maps[-1], time, train, self.width * self.multiples[-1], "middle0_res")
        x = self.swin(x, self.side >> (len(self.multiples) - 1), "middle1_swin")
        self.sow("intermediates", "after_middle1", x)
        x = self.residual(x, time, train, x.shape[-1], "middle2_res")
        self.sow("intermediates", "after_middle", x)
        x = self.expand(x, maps, time, train)
        x = nn.silu(GroupNorm(self.dtype, name="head_norm")(x))
        head = Conv3x3(self.out_channels, zero=self.zero_head, dtype=self.dtype, name="head")
        return head(x).astype(jnp.float32)

    def contract(self, x, time, train) -> list[Array]:
        """The input blocks' maps, which the output blocks take from the end."""
        maps = [x]
        for level, (multiple, count) in enumerate(zip(self.multiples, self.blocks, strict=True)):
            for i in range(count):
                name = f"input{len(maps)}"
                x = self.residual(x, time, train, self.width * multiple, f"{name}_res")
                if i == 0 and self.side >> level in self.attention:
                    x = self.swin(x, self.side >> level, f"{name}_swin")
                self.sow("intermediates", f"after_{name}", x)
                maps.append(x)
            if level + 1 < len(self.multiples):
                down = Conv3x3(x.shape[-1], 2, dtype=self.dtype, name=f"input{len(maps)}_down")
                x = down(x)
                self.sow("intermediates", f"after_input{len(maps)}", x)
                maps.append(x)
        return maps

    def expand(self, x, maps, time, train) -> Array:
        maps, number = list(maps), 0
        for level in reversed(range(len(self.multiples))):
            for i in range(self.blocks[level] + 1):
                x = jnp.concatenate([x, maps.pop()], -1)
                features, name = self.width * self.multiples[level], f"output{number}"
                x = self.residual(x, time, train, features, f"{name}_res")
                if i == 0 and self.side >> level in self.attention:
                    x = self.swin(x, self.side >> level, f"{name}_swin")
                if i == self.blocks[level] and level:
                    x = Conv3x3(features, dtype=self.dtype, name=f"{name}_up")(upsample(x))
                self.sow("intermediates", f"after_{name}", x)
                number += 1
        return x

    def condition(self, cond: Array, shape: tuple[int, ...]) -> Array:
        """The condition's features at the latent's side."""
        channels = 16
        for i in range(self.extractor):
            cond = nn.silu(Conv3x3(channels, dtype=self.dtype, name=f"extract{i}_conv")(cond))
            channels *= 2
            cond = Conv3x3(channels, 2, dtype=self.dtype, name=f"extract{i}_down")(cond)
            self.sow("intermediates", f"after_extract{i}", cond)
        if cond.shape[1] > shape[1]:
            cond = pixel_unshuffle(cond, 2)
        elif cond.shape[1] < shape[1]:
            cond = upsample(cond, 4)
        if cond.shape[1:3] != shape[1:3]:
            sides = [f"{h}x{w}" for h, w in (cond.shape[1:3], shape[1:3])]
            raise errors.bad("condition", sides[0], f"expected the latent's side, {sides[1]}")
        return cond.astype(self.dtype)

    def residual(self, x, time, train, features, name):
        block = nn.remat(ResBlock, static_argnums=(3,)) if self.remat else ResBlock
        x = block(features, self.dropout, self.dtype, name=name)(x, time, train)
        self.sow("intermediates", f"after_{name}", x)
        return x

    def swin(self, x, side, name):
        layer = nn.remat(SwinLayer) if self.remat else SwinLayer
        return layer(
            side,
            self.swin_depth,
            self.swin_dim,
            self.swin_dim // self.head_dim,
            self.window,
            self.mlp_ratio,
            self.mask,
            self.dtype,
            name=name,
        )(x)

    def check(self, shape: tuple[int, ...]) -> None:
        if self.mask not in MASKS:
            raise errors.unknown("model.mask", self.mask, MASKS)
        if len(self.multiples) != len(self.blocks):
            expected = f"expected one number a level, {len(self.multiples)}"
            raise errors.bad("model.blocks", self.blocks, expected)
        if self.swin_dim % self.head_dim:
            expected = f"expected a divisor of swin_dim={self.swin_dim}"
            raise errors.bad("model.head_dim", self.head_dim, expected)
        if shape[1] % self.multiple or shape[2] % self.multiple:
            expected = f"expected sides that are multiples of {self.multiple}, whole windows"
            raise errors.bad("latent", f"{shape[1]}x{shape[2]}", expected)


def build(model: Mapping[str, Any]) -> UNet:
    """The module of sizes `model`, without what only names its inputs."""
    return UNet(**{name: x for name, x in model.items() if name not in INPUTS})


INPUTS = ("in_channels", "cond_channels")  # of x_t and of the condition, as given


def shapes(model: Mapping[str, Any]) -> Any:
    """Variables as shapes, for `model` with `in_channels` and `cond_channels`."""
    net = build(model)
    side = net.multiple

    def sides(scale, channels):
        return jnp.zeros((1, side * scale, side * scale, channels))

    cond = sides(2**net.extractor, model["cond_channels"])
    x = sides(1, model["in_channels"])
    return jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(1, jnp.int32), cond)


def network(model: Mapping[str, Any]) -> tuple[Callable[..., Any], Any]:
    """The UNet of sizes `model` as a function, for weights from elsewhere.

    Returns:
      `apply(variables, x [b h w c], t [b], cond [b y x k]) -> [b h w d]` and the shapes
      of `variables`.
    """
    net = build(model)

    def apply(variables, x, t, cond):
        return net.apply(variables, jnp.asarray(x), jnp.asarray(t), jnp.asarray(cond))

    return apply, shapes(model)


def parameters(variables: Any) -> int:
    """How many numbers a network has."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variables))
