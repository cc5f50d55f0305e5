"""The region encoder: Swin V2 features, a map a stage.

Axes: r regions, s side of a region in pixels, c channels.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from wxjax.nn.attention import LoRADense, torch_uniform
from wxjax.ops.convolution import space_to_depth
from wxjax.systems.moei.blocks import Shell, SwinBlock, layer_norm


class Encoder(Shell):
    """Swin V2 features of a region, one map a stage; no norm after the last.

    Every second block is shifted; where a stage has an odd number of blocks, stages take
    turns, so that no window border stays a border throughout. The same holds for the decoder.
    """

    patch: int = 4
    dims: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    head_dim: int = 32
    window: int = 16
    region: int = 256
    mlp_ratio: int = 4
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "r s s 3"]) -> list:
        x = space_to_depth(x.astype(self.dtype), self.patch)
        init = torch_uniform(x.shape[-1])
        x = nn.Dense(
            self.dims[0], dtype=self.dtype, kernel_init=init, bias_init=init, name="patch_embed"
        )(x)
        x = layer_norm(dtype=self.dtype, name="patch_norm")(x)
        block = nn.remat(SwinBlock) if self.remat else SwinBlock
        maps, side = [], self.region // self.patch
        for s, (c, depth) in enumerate(zip(self.dims, self.depths, strict=True)):
            if s:
                x = merge_patches(x)
                x = LoRADense(c, use_bias=False, dtype=self.dtype, name=f"merge{s}")(x)
                x = layer_norm(dtype=self.dtype, name=f"merge_norm{s}")(x)
                side //= 2
            window = min(self.window, side)
            shift = window // 2 if side > window else 0
            for i in range(depth):
                x = block(
                    shell=self.shell,
                    ratio=self.ratio,
                    rank=self.rank,
                    dtype=self.dtype,
                    version=2,
                    heads=c // self.head_dim,
                    window=window,
                    shift=shift * ((i + depth % 2 * s) % 2),
                    mlp_ratio=self.mlp_ratio,
                    name=f"stage{s}_block{i}",
                )(x)
            maps.append(x)
        return maps


def merge_patches(x: Float[Array, "b h w c"]) -> Float[Array, "b y x d"]:
    """2x2 neighbours as channels in Swin's order: column offset slow, row offset fast."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 4, 2, 5)
    return x.reshape(b, h // 2, w // 2, 4 * c)
