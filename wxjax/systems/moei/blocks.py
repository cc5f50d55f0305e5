"""What encoder and decoder are made of: windowed attention and an MLP, with or without a shell.

Axes: r regions, h and w sides of a map, c channels.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax.nn import adapter, attention
from wxjax.nn.attention import LoRADense, torch_uniform
from wxjax.ops.dense import fence, gelu

layer_norm = functools.partial(nn.LayerNorm, epsilon=1e-5, use_fast_variance=False)


class Shell(nn.Module):
    """What every block shares: its shell, and how far a part of the network carries one."""

    shell: str = "none"
    ratio: float = 1 / 16
    rank: int = 8
    dtype: DTypeLike = jnp.float32

    @property
    def lora(self) -> int:
        return self.rank if self.shell == "lora" else 0


class MLP(nn.Module):
    hidden: int
    lora: int = 0
    dtype: DTypeLike = jnp.float32
    torch_init: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        c = x.shape[-1]

        def dense(features, fan_in, name):
            inits = {}
            if self.torch_init:
                inits = dict(kernel_init=torch_uniform(fan_in), bias_init=torch_uniform(fan_in))
            return LoRADense(features, rank=self.lora, dtype=self.dtype, name=name, **inits)

        return dense(c, self.hidden, "fc2")(fence(gelu(dense(self.hidden, c, "fc1")(x))))


class SwinBlock(Shell):
    """Windowed attention and an MLP, shifted or not.

    `version` 2 normalises the residual (Swin V2), 1 the input of each branch (Swin V1).
    """

    version: int = 2
    heads: int = 3
    window: int = 16
    shift: int = 0
    mlp_ratio: int = 4

    @nn.compact
    def __call__(self, x: Float[Array, "r h w c"]) -> Float[Array, "r h w c"]:
        _, h, w, c = x.shape
        kind = attention.CosineWindowAttention if self.version == 2 else attention.WindowAttention
        attend = kind(self.heads, self.window, self.lora, self.dtype, name="attn")
        mlp = MLP(self.mlp_ratio * c, self.lora, self.dtype, self.version == 1, name="mlp")
        zero = nn.initializers.zeros if self.version == 2 else nn.initializers.ones
        norm1 = layer_norm(dtype=self.dtype, scale_init=zero, name="norm1")
        norm2 = layer_norm(dtype=self.dtype, scale_init=zero, name="norm2")

        def windowed(y):
            mask = None
            if self.shift:
                y = jnp.roll(y, (-self.shift, -self.shift), (1, 2))
                mask = attention.shift_mask(h, w, self.window, self.shift)
            y = attend(attention.to_windows(y, self.window), mask)
            y = attention.from_windows(y, self.window, h, w)
            return jnp.roll(y, (self.shift, self.shift), (1, 2)) if self.shift else y

        x = x + (norm1(windowed(x)) if self.version == 2 else windowed(norm1(x)))
        rows = x.reshape(-1, x.shape[-1])  # XLA:CPU is slower on maps as they are
        rows = rows + (norm2(mlp(rows)) if self.version == 2 else mlp(norm2(rows)))
        x = rows.reshape(x.shape)
        return adapter.after_block(self.shell, x, ratio=self.ratio, dtype=self.dtype)
