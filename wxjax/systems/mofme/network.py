"""MoFME: a full-resolution stem and tail around a small transformer of 8x8 patches.

Zhang et al., "Efficient Deweather Mixture-of-Experts with Uncertainty-Aware Feature-Wise
Linear Modulation", AAAI 2024; written from a description of the published code. Three
variants differ in the feed-forward half of the blocks: `base` (one), `moe` (a mixture of
feed-forward experts) and `film` (FiLM experts on shared features).

Axes: b images, h w height width, c channels, n tokens, d features, l blocks, e experts.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.nn.attention import torch_uniform
from wxjax.ops.convolution import conv3x3, depth_to_space, space_to_depth
from wxjax.systems.mofme.blocks import Block, dense, layer_norm
from wxjax.systems.mofme.gating import Gate, Gating, check

HEADS = ("sigmoid", "residual")
NO_REFERENCE = -1.0  # a black frame, in the network's range: what stands for "no frame before"


def normalise(image: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
    """[0, 1] to the network's [-1, 1]."""
    return 2 * image - 1


class Conv3x3(nn.Module):
    """3x3 convolution, stride 1, zero padding 1, with a bias."""

    features: int
    dtype: DTypeLike = jnp.float32
    zero: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w k"]:
        init = nn.initializers.zeros if self.zero else torch_uniform(9 * x.shape[-1])
        return nn.Conv(
            self.features,
            (3, 3),
            dtype=self.dtype,
            kernel_init=init,
            bias_init=init,
            # nn.Conv's other arguments are those that conv3x3 has built in.
            conv_general_dilated=lambda x, kernel, *_, **__: conv3x3(x, kernel),
            name="conv",
        )(x)


class ResBlock(nn.Module):
    """x + conv(relu(conv(x)))."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = Conv3x3(x.shape[-1], self.dtype, name="conv1")(x)
        return x + Conv3x3(x.shape[-1], self.dtype, name="conv2")(nn.relu(y))


class Network(nn.Module):
    """The image network, for any height and width.

    Attributes:
      variant: 'base', 'moe' or 'film'.
      gating: how experts are chosen and computed.
      dim: features of a token; depth: blocks; patch: pixels along a token's side.
      stem, tail: channels of the stem, and of the tail (`tail`, then `tail` / 2).
      head: 'sigmoid', as published; or 'residual', the input plus the tail's output,
        which starts at the identity and learns in minutes what the sigmoid learns in hours.
      in_channels: 3, or 6 with a reference frame.
      remat: recompute the blocks' and the tail's activations in the backward pass.
    """

    variant: str = "film"
    gating: Gating = Gating(experts=16)
    dim: int = 384
    depth: int = 2
    heads: int = 8
    head_dim: int = 64
    mlp_ratio: int = 4
    patch: int = 8
    stem: int = 32
    tail: int = 128
    head: str = "sigmoid"
    dropout: float = 0.1
    in_channels: int = 3
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> tuple[Float[Array, "b h w 3"], Gate | None]:
        """Restores images.

        Args:
          x: degraded image in [-1, 1] (`normalise`); with 6 channels the reference follows.
          train: dropout on; needs the RNG 'dropout'.

        Returns:
          The image, in [0, 1] after 'sigmoid' and about so after 'residual', and the
          routers' logits and weights `[b l n e]` (None for `base`). Tokens are counted on
          the padded image.
        """
        check(self.variant, self.gating)
        if self.head not in HEADS:
            raise errors.unknown("model.head", self.head, HEADS)
        if x.shape[-1] != self.in_channels:
            raise errors.bad("channels", x.shape[-1], f"expected {self.in_channels}")
        h, w = x.shape[1:3]
        x = pad_to(x, self.patch)
        tokens = self.look(x)
        b, rows, columns, d = tokens.shape
        tokens, gate = self.mix(tokens.reshape(b, rows * columns, d), train)
        image = self.finish(tokens.reshape(b, rows, columns, d), x[..., :3])
        return image[:, :h, :w], gate

    def look(self, x):
        """Tokens `[b y x d]` of an image whose sides are multiples of the patch."""
        maps = Conv3x3(self.stem, self.dtype, name="stem")(x)
        maps = ResBlock(self.dtype, name="stem_res1")(maps)
        maps = ResBlock(self.dtype, name="stem_res2")(maps)
        self.sow("intermediates", "head", maps)
        blocks = space_to_depth(maps, self.patch)
        b, y, x, c = blocks.shape
        tokens = dense(self.dim, c, "patch_embed", self.dtype)(blocks.reshape(b, y * x, c))
        tokens = layer_norm("patch_norm", self.dtype)(tokens)
        self.sow("intermediates", "tokens", tokens)
        return tokens.reshape(b, y, x, self.dim)

    def mix(self, tokens, train=False, valid=None):
        """Tokens `[b n d]` through all blocks, and their gates; `valid [b n]` is 0 for padding."""
        block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        gates = []
        for i in range(self.depth):
            tokens, gate = block(
                self.variant,
                self.gating,
                self.heads,
                self.head_dim,
                self.mlp_ratio,
                self.dropout,
                self.dtype,
                name=f"block{i}",
            )(tokens, train, valid)
            gates.append(gate)
        self.sow("intermediates", "encoder_out", tokens)
        stacked = (
            None
            if gates[0] is None
            else Gate(*(jnp.stack(leaf, 1) for leaf in zip(*gates, strict=True)))
        )
        return tokens, stacked

    def finish(self, tokens, image):
        """The image of tokens `[b y x d]`: the full-resolution tail, most of the work."""
        pixels = dense(self.patch**2 * self.tail, self.dim, "unfold", self.dtype)(tokens)
        pixels = depth_to_space(pixels, self.patch)
        self.sow("intermediates", "decoder_in", pixels)
        res, residual = nn.remat(ResBlock) if self.remat else ResBlock, self.head == "residual"
        pixels = res(self.dtype, name="tail_res1")(pixels)
        self.sow("intermediates", "after_res1", pixels)
        pixels = Conv3x3(self.tail // 2, self.dtype, name="tail_conv")(pixels)
        pixels = res(self.dtype, name="tail_res2")(pixels)
        pixels = Conv3x3(3, self.dtype, zero=residual, name="out")(pixels).astype(jnp.float32)
        self.sow("intermediates", "pre_sigmoid", pixels)
        if residual:
            return (image + 1) / 2 + pixels
        return nn.sigmoid(pixels)


def pad_to(x: Float[Array, "b h w c"], multiple: int) -> Float[Array, "b y x c"]:
    """Extended at the bottom and the right by reflection to multiples of `multiple`."""
    h, w = x.shape[1:3]
    return jnp.pad(x, ((0, 0), (0, -h % multiple), (0, -w % multiple), (0, 0)), mode="reflect")


def start_as_published(params: Mapping[str, Any]) -> dict:
    """Fresh parameters tied as MoFME's code ties them.

    Routers and shared feed-forwards of all blocks start equal, and so do the two linears
    of a star, whose features are then gelu(v) v.
    """
    params = dict(params)
    for name in [name for name in params if name.startswith("block")]:
        block, first = dict(params[name]), params["block0"]
        if "router" in block:
            block["router"] = first["router"]
        if "star_a" in block.get("mixture", {}):
            mixture = dict(block["mixture"])
            block["mixture"] = mixture | {
                "ffn": first["mixture"]["ffn"],
                "star_b": mixture["star_a"],
            }
        params[name] = block
    return jax.tree.map(jnp.array, params)


def published_parameters(net: Network, tokens: int) -> int:
    """Parameters of the published module for a grid of `tokens`, with those it never uses.

    It holds a table of `tokens` positions, and a LayerNorm for every FiLM expert, that no
    forward pass reads; they are not in this network.
    """
    side = 2 * net.patch
    shapes = jax.eval_shape(
        lambda: net.init(jax.random.key(0), jnp.zeros((1, side, side, net.in_channels)))
    )
    own = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    norms = 2 * net.dim * net.depth * net.gating.experts if net.variant == "film" else 0
    return own + net.dim * tokens + norms


def build(model: Mapping[str, Any]) -> Network:
    """The module of `config.model`; `dims` are the channels of stem, tokens and tail."""
    fields = {name: value for name, value in model.items() if name not in ("dims", "router")}
    stem, dim, tail = model["dims"]
    return Network(**fields, stem=stem, dim=dim, tail=tail, gating=Gating(**model["router"]))


def network(model: Mapping[str, Any]) -> tuple[Callable[..., Any], Any]:
    """MoFME of the sizes `model` as a function of images, for weights from elsewhere.

    Returns:
      `apply(variables, image [b h w 3]) -> [b h w 3]` in [0, 1], for images of any size;
      a network with 6 channels takes the reference frame after the image's. And the
      shapes of `variables`.
    """
    net = build(model)

    def apply(variables, image):
        return net.apply(variables, normalise(image))[0]

    side = 2 * net.patch
    return apply, jax.eval_shape(
        net.init, jax.random.key(0), jnp.zeros((1, side, side, net.in_channels))
    )
