"""Blocks of the diffusion UNet: normalised convolutions with a time signal, Swin layers.

Written from a description of ResShift's and DifIISR's networks (NeurIPS 2023, CVPR 2025).
Axes: b images, h w height width, c channels, d features of a token, e of the time signal.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.nn import attention
from wxjax.nn.attention import FAR, torch_uniform
from wxjax.ops.convolution import conv3x3
from wxjax.ops.dense import gelu, product

MASKS = ("official", "swin")
GROUPS = 32


class GroupNorm(nn.Module):
    """32 groups of channels, each with one mean and variance an image (Wu & He, 2018).

    In float32, and in two passes: the variance is that of the differences from the mean.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        if c % GROUPS:
            raise errors.bad("channels", c, f"expected a multiple of {GROUPS}, one a group")
        scale = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))
        flat = x.reshape(b, h * w, c).astype(jnp.float32)

        def over_groups(a):
            shared = a.mean(1).reshape(b, GROUPS, c // GROUPS).mean(-1)
            return jnp.repeat(shared, c // GROUPS, -1)[:, None]

        apart = flat - over_groups(flat)
        gain = jax.lax.rsqrt(over_groups(apart**2) + 1e-5) * scale
        return (apart * gain + bias).astype(self.dtype).reshape(x.shape)


class Conv3x3(nn.Module):
    """3x3 convolution with a bias, zero padding 1, stride 1 or 2."""

    features: int
    stride: int = 1
    zero: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x k"]:
        c = x.shape[-1]
        init = nn.initializers.zeros if self.zero else torch_uniform(9 * c)
        kernel = self.param("kernel", init, (3, 3, c, self.features)).astype(self.dtype)
        bias = self.param("bias", init, (self.features,)).astype(self.dtype)
        x = x.astype(self.dtype)
        if self.stride == 1:
            return conv3x3(x, kernel) + bias
        stride, pad = (self.stride,) * 2, ((1, 1), (1, 1))  # "SAME" would pad below only
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, stride, pad, dimension_numbers=axes) + bias


class Dense(nn.Module):
    """x W + b over the last axis."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b k"]:
        init = torch_uniform(x.shape[-1])
        kernel = self.param("kernel", init, (x.shape[-1], self.features)).astype(self.dtype)
        bias = self.param("bias", init, (self.features,)).astype(self.dtype)
        return product(x.astype(self.dtype), kernel) + bias


class ResBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))) (1 + scale) + shift)), both from the time."""

    features: int
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], time: Float[Array, "b e"], train: bool = False
    ) -> Float[Array, "b h w k"]:
        y = nn.silu(GroupNorm(self.dtype, name="norm1")(x))
        y = Conv3x3(self.features, dtype=self.dtype, name="conv1")(y)
        signal = Dense(2 * self.features, self.dtype, name="time")(nn.silu(time))
        scale, shift = jnp.split(signal[:, None, None], 2, -1)
        y = GroupNorm(self.dtype, name="norm2")(y) * (1 + scale) + shift
        y = nn.Dropout(self.dropout, deterministic=not train)(nn.silu(y))
        y = Conv3x3(self.features, zero=True, dtype=self.dtype, name="conv2")(y)
        if x.shape[-1] != self.features:
            x = Dense(self.features, self.dtype, name="skip")(x)
        return x + y


class SwinBlock(nn.Module):
    """Attention in windows of `window` pixels after a roll by `shift`, then an MLP."""

    heads: int
    window: int
    shift: int
    mlp_ratio: int
    mask: str
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        _, h, w, d = x.shape
        size, shift = self.window, self.shift
        y = GroupNorm(self.dtype, name="norm1")(x)
        mask = None
        if shift:
            y = jnp.roll(y, (-shift, -shift), (1, 2))
            find = {"official": official_mask, "swin": attention.shift_mask}[self.mask]
            mask = find(h, w, size, shift)
        y = attention.to_windows(y, size)
        y = attention.WindowAttention(self.heads, size, dtype=self.dtype, name="attn")(y, mask)
        y = attention.from_windows(y, size, h, w)
        x = x + (jnp.roll(y, (shift, shift), (1, 2)) if shift else y)
        y = GroupNorm(self.dtype, name="norm2")(x)
        y = gelu(Dense(self.mlp_ratio * d, self.dtype, name="fc1")(y))
        return x + Dense(d, self.dtype, name="fc2")(y)


class SwinLayer(nn.Module):
    """`depth` blocks on `dim` features, every second one shifted; the input is not added.

    Attributes:
      side: of the map in training; where it is no larger than the window, the window is
        the map and nothing is shifted, however large the map is later.
    """

    side: int
    depth: int = 2
    dim: int = 192
    heads: int = 6
    window: int = 8
    mlp_ratio: int = 4
    mask: str = "swin"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        size = min(self.window, self.side)
        y = Dense(self.dim, self.dtype, name="embed")(x)
        for i in range(self.depth):
            shift = size // 2 if i % 2 and self.side > self.window else 0
            y = SwinBlock(
                self.heads, size, shift, self.mlp_ratio, self.mask, self.dtype, name=f"block{i}"
            )(y)
            self.sow("intermediates", f"after_block{i}", y)
        return Dense(x.shape[-1], self.dtype, name="unembed")(y)


def official_mask(h: int, w: int, size: int, shift: int) -> np.ndarray:
    """`[windows t t]`: the mask of the published code, which its weights depend on.

    Meant as Swin's, but its axes are exchanged: only windows of the last row have a mask,
    and in each of them columns before and after `size - shift` do not see each other.
    """
    right = np.tile(np.arange(size) >= size - shift, size)
    mask = np.zeros((h // size, w // size, size**2, size**2), np.float32)
    mask[-1] = np.where(right[:, None] == right, 0.0, FAR)
    return mask.reshape(-1, size**2, size**2)


def upsample(x: Float[Array, "b h w c"], factor: int = 2) -> Float[Array, "b y x c"]:
    """Every pixel repeated `factor` times along both axes."""
    return x.repeat(factor, 1).repeat(factor, 2)
