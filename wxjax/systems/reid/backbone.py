"""From pictures to a token grid and a global vector.

name     input                  grid     features
conv3    128 x 64               16 x 8   any      three 3 x 3 convolutions of stride 2
patch    128 x 64               16 x 8   any      a 4 x 4 patch, one 3 x 3 of stride 2: cheap
vit_ti8  128 x 64, patch 8      16 x 8   192      6 blocks, 3 heads
vit_b16  256 x 128, patch 16    16 x 8   768 -> d 12 blocks, 12 heads, as CLIP's visual half
pyr4     256 x 128              64 x 32  any      stride 4; the only grid for scales 4 to 64
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.ops.dense import affine, gelu, shift


class Kind(NamedTuple):
    """A backbone's stride, pixels a token, and its own width where it has one."""

    stride: int
    width: int = 0
    blocks: int = 0
    heads: int = 0


KINDS = {
    "conv3": Kind(8),
    "patch": Kind(8),
    "vit_ti8": Kind(8, 192, 6, 3),
    "vit_b16": Kind(16, 768, 12, 12),
    "pyr4": Kind(4),
}


def grid(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Tokens down and across of a picture of (height, width) pixels.

    Raises:
      InputError: for an unknown backbone, or sides that its stride does not divide.
    """
    if name not in KINDS:
        raise errors.unknown("config.model.backbone", name, KINDS)
    stride = KINDS[name].stride
    if size[0] % stride or size[1] % stride:
        expected = f"expected multiples of {stride} for {name}"
        raise errors.bad("config.data.size", tuple(size), expected)
    return size[0] // stride, size[1] // stride


class Conv(nn.Module):
    """`nn.Conv` with padding SAME, and half of its backward pass on a CPU (`ops/dense.shift`)."""

    features: int
    kernel: int = 3
    stride: int = 1
    start: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n a b d"]:
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.start, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        stride = (self.stride, self.stride)
        y = jax.lax.conv_general_dilated(
            x, kernel, stride, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return shift(y, bias)


class Norm(nn.Module):
    """`nn.LayerNorm`, its backward pass as `Conv`'s."""

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        return affine(centred * jax.lax.rsqrt(variance + 1e-6), scale, bias)


class Stem(nn.Module):
    """Convolutions of stride 2, each with LayerNorm and GELU."""

    kind: str
    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n a b d"]:
        d = self.features
        small = max(8, d // 2)
        layers = {
            "conv3": ((max(8, d // 4), 3, 2), (small, 3, 2), (d, 3, 2)),
            "patch": ((small, 4, 4), (d, 3, 2)),
            "pyr4": ((small, 3, 2), (d, 3, 2)),
        }[self.kind]
        for i, (width, kernel, stride) in enumerate(layers):
            x = Conv(width, kernel, stride, name=f"conv{i}")(x)
            x = gelu(Norm(name=f"norm{i}")(x))
        for i in range(4 if self.kind == "pyr4" else 0):
            y = Conv(d, name=f"block{i}_a")(x)
            y = gelu(Norm(name=f"block{i}_norm")(y))
            x = x + Conv(d, start=nn.initializers.zeros, name=f"block{i}_b")(y)
        return x


class Block(nn.Module):
    """Pre-norm transformer block; `quick` is CLIP's x sigmoid(1.702 x)."""

    heads: int
    quick: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
        n, t, c = x.shape
        y = nn.LayerNorm(epsilon=1e-5, name="norm1")(x)
        q, k, v = jnp.split(nn.Dense(3 * c, name="qkv")(y), 3, -1)
        q, k, v = (z.reshape(n, t, self.heads, -1) for z in (q, k, v))
        y = jax.nn.dot_product_attention(q, k, v).reshape(n, t, c)
        x = x + nn.Dense(c, name="out")(y)
        y = nn.Dense(4 * c, name="up")(nn.LayerNorm(epsilon=1e-5, name="norm2")(x))
        y = y * jax.nn.sigmoid(1.702 * y) if self.quick else gelu(y)
        return x + nn.Dense(c, name="down")(y)


class ViT(nn.Module):
    """Class token first; `vit_b16` has CLIP's norms around and its projection to d."""

    kind: str
    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 3"]):
        sizes = KINDS[self.kind]
        clip = self.kind == "vit_b16"
        p, c = sizes.stride, sizes.width
        x = nn.Conv(c, (p, p), (p, p), padding="VALID", use_bias=not clip, name="patch")(x)
        n, a, b, _ = x.shape
        small = nn.initializers.normal(0.02)
        token = self.param("cls", small, (1, 1, c))
        x = jnp.concatenate([jnp.tile(token, (n, 1, 1)), x.reshape(n, a * b, c)], 1)
        x = x + self.param("position", small, (1, 1 + a * b, c))
        if clip:
            x = nn.LayerNorm(epsilon=1e-5, name="norm_pre")(x)
        for i in range(sizes.blocks):
            x = Block(sizes.heads, clip, name=f"block{i}")(x)
        x = nn.LayerNorm(epsilon=1e-5, name="norm_post")(x)
        if c != self.features or clip:
            x = nn.Dense(self.features, use_bias=False, name="project")(x)
        return x[:, 0], x[:, 1:].reshape(n, a, b, self.features)


class Backbone(nn.Module):
    """Pictures in [0, 1] to (cls `[n d]`, grid `[n a b d]`)."""

    kind: str
    features: int

    @nn.compact
    def __call__(self, image: Float[Array, "n h w 3"]):
        x = 2 * image - 1
        if KINDS[self.kind].blocks:
            return ViT(self.kind, self.features, name="vit")(x)
        tokens = Stem(self.kind, self.features, name="stem")(x)
        return nn.Dense(self.features, name="cls")(tokens.mean((1, 2))), tokens
