"""DehazeXL: a region encoder, a global bottleneck and a region decoder.

Chen et al., "Tokenize Image Patches: Global Context Fusion for Effective Haze Removal
in Large Images", CVPR 2025. Only the bottleneck lets one region see another; the
decoder's output is added to the input.

Axes: r regions, s side of a region in pixels, t side of its last map in tokens,
d features of a token, l tokens of an image.
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.systems.moei import convnet
from wxjax.systems.moei.bottleneck import Bottleneck
from wxjax.systems.moei.decoder import Decoder
from wxjax.systems.moei.encoder import Encoder
from wxjax.systems.moei.regions import by_regions, join, split

WHERE = ("decoder", "bottleneck_decoder", "all")
BLOCKS = ("swin", "conv")


class Backbone(nn.Module):
    """The three parts, and the whole for images of any size.

    Attributes:
      model: `config.model`, frozen: `region, patch, dims, depths, head_dim, window,
        bottleneck{depth, heads, chunk, attention}, decoder{depth, head_dim, window,
        up, head_init}, mlp_ratio, shell{kind, ratio, rank, where}, dtype, remat`, and
        `alone` of the encoder and of `decoder`: the side from which restoring runs maps a
        region at a time on a CPU (0: all regions together).
      shelled: whether the shells of `model.shell` are there at all.
    """

    model: Any
    shelled: bool = False

    def setup(self):
        m = self.model
        if m.shell.where not in WHERE:
            raise errors.unknown("model.shell.where", m.shell.where, WHERE)
        level = WHERE.index(m.shell.where)

        def common(reach):
            kind = m.shell.kind if self.shelled and level >= reach else "none"
            return dict(
                shell=kind, ratio=m.shell.ratio, rank=m.shell.rank, dtype=jnp.dtype(m.dtype)
            )

        if self.block not in BLOCKS:
            raise errors.unknown("model.block", self.block, BLOCKS)
        if self.block == "conv":
            sizes = dict(dims=tuple(m.dims))
            self.encoder = convnet.ConvEncoder(**common(2), **sizes, depths=tuple(m.depths))
            self.bottleneck = convnet.PooledBottleneck(
                **common(1),
                depth=m.bottleneck.depth,
                heads=m.bottleneck.heads,
                mlp_ratio=m.mlp_ratio,
                cells=m.bottleneck.cells,
            )
            depths = tuple(m.decoder.depths)
            self.decoder = convnet.ConvDecoder(**common(0), **sizes, depths=depths)
            return
        self.encoder = Encoder(
            **common(2),
            patch=m.patch,
            dims=tuple(m.dims),
            depths=tuple(m.depths),
            head_dim=m.head_dim,
            window=m.window,
            region=m.region,
            mlp_ratio=m.mlp_ratio,
            remat=m.remat,
        )
        self.bottleneck = Bottleneck(
            **common(1),
            depth=m.bottleneck.depth,
            heads=m.bottleneck.heads,
            mlp_ratio=m.mlp_ratio,
            chunk=m.bottleneck.chunk,
            attention=m.bottleneck.get("attention", "exact"),
        )
        self.decoder = Decoder(
            **common(0),
            patch=m.patch,
            depth=m.decoder.depth,
            head_dim=m.decoder.head_dim,
            window=m.decoder.window,
            region=m.region,
            mlp_ratio=m.mlp_ratio,
            up=m.decoder.up,
            head=m.decoder.get("head", "linear"),
            head_width=m.decoder.get("head_width", 16),
            head_init=m.decoder.head_init,
            remat=m.remat,
        )

    @property
    def block(self) -> str:
        return self.model.get("block", "swin")

    def encode(self, regions: Float[Array, "r h w 3"]) -> list:
        if self.block == "conv":
            return self.encoder(regions)
        return self.encoder(regions, self.model.get("alone", 0))

    def mix(
        self, tokens, position, valid=None, projections=None, key=None
    ) -> Float[Array, "b l d"]:
        if self.block == "conv":
            return self.bottleneck(tokens, position, valid)
        return self.bottleneck(tokens, position, valid, projections, key)

    def decode(self, tokens, skips, image) -> Float[Array, "r h w 3"]:
        """Of mixed tokens `[r t t d]`, the encoder's maps and the regions themselves `[r s s 3]`;
        without the input's share."""
        if self.block == "conv":
            return self.decoder(tokens, skips, image)
        return self.decoder(tokens, skips, image, self.model.decoder.get("alone", 0))

    def __call__(
        self, x: Float[Array, "b h w 3"], return_global: bool = False
    ) -> Float[Array, "b h w 3"] | tuple:
        """The restored images, unclipped, and on demand the mean mixed token of each `[b d]`.

        Images whose sides are no multiple of the region are extended at the bottom
        and the right by reflection, and cropped back.
        """
        if self.block == "conv":
            return self.whole(x, return_global)
        b, h, w, _ = x.shape
        s = self.model.region
        rows, columns = -(-h // s), -(-w // s)
        padded = jnp.pad(x, ((0, 0), (0, rows * s - h), (0, columns * s - w), (0, 0)), "reflect")
        run = functools.partial(by_regions, self, b if self.model.remat else b * rows * columns)
        regions = split(padded, s)
        maps = run(lambda net, x: net.encoder(x), regions)
        t = maps[-1].shape[1]
        tokens = join(maps[-1], rows, columns)
        position = np.stack(np.mgrid[: rows * t, : columns * t], -1).reshape(-1, 2)
        mixed = self.mix(tokens.reshape(b, -1, tokens.shape[-1]), position)
        mixed_maps = split(mixed.reshape(tokens.shape), t)
        y = run(lambda net, *x: net.decoder(*x), mixed_maps, maps, regions)
        y = join(y, rows, columns).astype(jnp.float32)[:, :h, :w] + x
        return (y, mixed.astype(jnp.float32).mean(1)) if return_global else y

    def whole(self, x: Float[Array, "b h w 3"], return_global: bool = False) -> Any:
        """Images as one region each, as convolutions take them; extended by reflection."""
        b, h, w, _ = x.shape
        step = convnet.SHUFFLE * 2 ** (len(self.model.dims) - 1)
        padded = jnp.pad(x, ((0, 0), (0, -h % step), (0, -w % step), (0, 0)), "reflect")
        maps = self.encode(padded)
        y, mean = self.complete(maps, padded, True)
        y = y[:, :h, :w]
        return (y, mean) if return_global else y

    def complete(self, maps: list, image: Float[Array, "b h w 3"], return_global: bool = False):
        """Restored images of the encoder's maps of whole images, unclipped."""
        b, rows, columns, d = maps[-1].shape
        position = np.stack(np.mgrid[:rows, :columns], -1).reshape(-1, 2)
        mixed = self.mix(maps[-1].reshape(b, -1, d), position)
        y = self.decode(mixed.reshape(maps[-1].shape), maps, image)
        y = image + y.astype(jnp.float32)
        return (y, mixed.astype(jnp.float32).mean(1)) if return_global else y
