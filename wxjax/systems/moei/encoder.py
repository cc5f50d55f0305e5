"""The region encoder: Swin V2 features, a map a stage.

Axes: r regions, s side of a region in pixels, c channels.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from wxjax.nn.attention import LoRADense, torch_uniform
from wxjax.ops.convolution import space_to_depth
from wxjax.systems.moei.blocks import Shell, SwinBlock, layer_norm
from wxjax.systems.moei.regions import one_by_one


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
    def __call__(self, x: Float[Array, "r s s 3"], alone: int = 0) -> list:
        """The map of every stage.

        Maps whose side is `alone` or more run a region at a time on a CPU, smaller ones all
        together: 64 tokens are too few for a product with a megabyte of weights. 0: all together.
        """
        large = 0
        if alone:
            sides = (x.shape[1] // self.patch >> s for s in range(len(self.dims)))
            large = sum(side >= alone for side in sides)

        def first(encoder, x):
            return run_stages(encoder, x, range(large))

        maps = one_by_one(self, first, x) if large else []
        last = range(large, len(self.dims))
        return maps + run_stages(self, maps[-1] if maps else x, last)


def run_stages(encoder: Encoder, x: Float[Array, "r h w c"], stages: range) -> list:
    """The maps of some stages, of the map before them (of the image for the first)."""
    form = dict(dtype=encoder.dtype, parent=encoder)
    block = nn.remat(SwinBlock) if encoder.remat else SwinBlock
    maps = []
    for s in stages:
        c, depth = encoder.dims[s], encoder.depths[s]
        if s:
            x = merge_patches(x)
            x = LoRADense(c, use_bias=False, **form, name=f"merge{s}")(x)
            x = layer_norm(**form, name=f"merge_norm{s}")(x)
        else:
            x = space_to_depth(x.astype(encoder.dtype), encoder.patch)
            init = torch_uniform(x.shape[-1])
            inits = dict(kernel_init=init, bias_init=init)
            x = nn.Dense(c, **inits, **form, name="patch_embed")(x)
            x = layer_norm(**form, name="patch_norm")(x)
        side = encoder.region // encoder.patch >> s
        window = min(encoder.window, side)
        shift = window // 2 if side > window else 0
        for i in range(depth):
            x = block(
                shell=encoder.shell,
                ratio=encoder.ratio,
                rank=encoder.rank,
                version=2,
                heads=c // encoder.head_dim,
                window=window,
                shift=shift * ((i + depth % 2 * s) % 2),
                mlp_ratio=encoder.mlp_ratio,
                **form,
                name=f"stage{s}_block{i}",
            )(x)
        maps.append(x)
    return maps


def merge_patches(x: Float[Array, "b h w c"]) -> Float[Array, "b y x d"]:
    """2x2 neighbours as channels in Swin's order: column offset slow, row offset fast."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 4, 2, 5)
    return x.reshape(b, h // 2, w // 2, 4 * c)
