"""Light shells that specialise a shared backbone to one degradation.

Every shell starts as the identity, so an expert begins exactly where the backbone
stands, and every parameter of a shell has a name that begins with `shell`.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.ops.convolution import depthwise3x3

SHELLS = ("none", "adapter", "lora", "film")


class BottleneckAdapter(nn.Module):
    """Residual 1x1 -> depthwise 3x3 -> 1x1 with a per-channel tanh gate (Houlsby et al., 2019).

    Attributes:
      ratio: hidden channels over input channels, in (0, 1].
      dtype: computation type; parameters stay float32.
    """

    ratio: float = 1 / 16
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], valid: Float[Array, "b h w"] | None = None
    ) -> Float[Array, "b h w c"]:
        """`valid` is 0 where `x` is padding, which the convolution then sees as its own."""
        channels = x.shape[-1]
        hidden = max(1, round(channels * self.ratio))
        y = nn.gelu(nn.Dense(hidden, dtype=self.dtype, name="down")(x))
        y = y if valid is None else y * valid[..., None].astype(y.dtype)
        kernel = self.param("spatial", nn.initializers.lecun_normal(), (3, 3, hidden))
        bias = self.param("spatial_bias", nn.initializers.zeros, (hidden,))
        y = nn.gelu(depthwise3x3(y, kernel) + bias.astype(y.dtype))
        gate = jnp.tanh(self.param("gate", nn.initializers.zeros, (channels,)))
        # The gate multiplies the small matrix, not the large map.
        kernel = self.param("up", nn.initializers.lecun_normal(), (hidden, channels)) * gate
        bias = self.param("up_bias", nn.initializers.zeros, (channels,)) * gate
        return x + y @ kernel.astype(y.dtype) + bias.astype(y.dtype)


class FiLM(nn.Module):
    """Per-channel affine map, the identity at the start (Perez et al., 2018)."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        scale = self.param("scale", nn.initializers.zeros, (x.shape[-1],)).astype(self.dtype)
        shift = self.param("shift", nn.initializers.zeros, (x.shape[-1],)).astype(self.dtype)
        return x * (1 + scale) + shift


def after_block(shell: str, x, *, ratio: float, dtype: DTypeLike, valid=None):
    """The shell that follows a block; 'lora' lives inside the block's dense layers instead.

    Call within a compact method: the parameters are created under the name `shell`.
    """
    if shell not in SHELLS:
        raise errors.unknown("model.shell", shell, SHELLS)
    if shell == "adapter":
        return BottleneckAdapter(ratio, dtype, name="shell")(x, valid)
    if shell == "film":
        return FiLM(dtype, name="shell")(x)
    return x
