"""Small networks beside the diffusion: high bands by regression, and a learned decoder.

Axes: b images, y x of the latent, k bands, c channels of the image.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax.ops.dense import gelu
from wxjax.systems.irsr.blocks import Conv3x3
from wxjax.systems.irsr.resize import pixel_shuffle


class LightCNN(nn.Module):
    """Five 3x3 convolutions, the middle pair residual; starts with an output of zero.

    Plan B: z_y and the diffused low band (17 bands of a grey image, whitened) to the
    residuals of the 15 others, with 129,295 parameters; `pairs` above 1 are more of the
    same. From z_y alone to all 16 it is the regression that diffusion has to beat.
    """

    bands: int
    width: int = 64
    pairs: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b y x k"]) -> Float[Array, "b y x m"]:
        conv = lambda name: Conv3x3(self.width, dtype=self.dtype, name=name)
        x = gelu(conv("conv1")(x))
        x = x + gelu(conv("conv3")(gelu(conv("conv2")(x))))
        for i in range(1, self.pairs):
            x = x + conv(f"pair{i}_conv2")(gelu(conv(f"pair{i}_conv1")(x)))
        x = gelu(conv("conv4")(x))
        x = Conv3x3(self.bands, zero=True, dtype=self.dtype, name="conv5")(x)
        return x.astype(jnp.float32)


class LightDecoder(nn.Module):
    """Plan C: what is added to the inverse transform, from the whitened latent; starts at 0."""

    channels: int = 1
    factor: int = 4
    width: int = 64
    blocks: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "b y x k"]) -> Float[Array, "b h w c"]:
        conv = lambda name: Conv3x3(self.width, dtype=self.dtype, name=name)
        x = conv("conv_in")(z)
        for i in range(self.blocks):
            x = x + conv(f"block{i}_conv2")(gelu(conv(f"block{i}_conv1")(x)))
        x = pixel_shuffle(gelu(x), self.factor)
        x = Conv3x3(self.channels, zero=True, dtype=self.dtype, name="conv_out")(x)
        return x.astype(jnp.float32)
