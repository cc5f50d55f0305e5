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
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.nn import adapter, attention, hyper
from wxjax.nn.attention import LoRADense, torch_uniform
from wxjax.ops import moments
from wxjax.ops.convolution import conv3x3, depth_to_space, space_to_depth
from wxjax.ops.dense import gelu

HEADS = ("linear", "conv")
WHERE = ("decoder", "bottleneck_decoder", "all")
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

        return dense(c, self.hidden, "fc2")(gelu(dense(self.hidden, c, "fc1")(x)))


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

        if self.version == 2:
            x = x + norm1(windowed(x))
            x = x + norm2(mlp(x))
        else:
            x = x + windowed(norm1(x))
            x = x + mlp(norm2(x))
        return adapter.after_block(self.shell, x, ratio=self.ratio, dtype=self.dtype)


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


class RMSNorm(nn.Module):
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 1e-5)
        return (scale * y).astype(self.dtype)


class BottleneckLayer(Shell):
    """Global attention and a gated MLP over all tokens of the image."""

    heads: int = 8
    mlp_ratio: int = 4
    chunk: int = 1024
    attention: str = "exact"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], valid=None, projections=None, key=None
    ) -> Float[Array, "b l d"]:
        b, n, d = x.shape
        hidden = self.mlp_ratio * d

        def dense(layer, features, fan_in, name, bias=False):
            init = torch_uniform(fan_in)
            inits = dict(kernel_init=init, bias_init=init, use_bias=bias)
            form = dict(rank=self.lora, dtype=self.dtype, name=name, parent=layer)
            return LoRADense(features, **form, **inits)

        def project(layer, x):
            y = RMSNorm(self.dtype, name="norm1", parent=layer)(x)
            parts = jnp.split(dense(layer, 3 * d, d, "qkv", True)(y), 3, -1)
            return [part.reshape(*part.shape[:2], self.heads, -1) for part in parts]

        def blocks(layer, x):  # as `attend_block` wants them, so that no copy is made
            q, k, v = project(layer, x)
            return q.swapaxes(1, 2), k.transpose(0, 2, 3, 1), v.swapaxes(1, 2)

        def finish(layer, x, y):
            x = x + dense(layer, d, d, "proj", True)(y.reshape(x.shape))
            z = RMSNorm(self.dtype, name="norm2", parent=layer)(x)
            gate, up = (dense(layer, hidden, d, name)(z) for name in ("gate", "up"))
            return x + dense(layer, d, hidden, "down")(gelu(gate) * up)

        def attend(layer, x, query):
            y = attention.attend_block(query, keys, values, seen)
            return finish(layer, x, y.swapaxes(1, 2))

        if hyper.is_exact(self.attention, n) and n > self.chunk:
            seen = attention.fold(jnp.ones((b, n)) if valid is None else valid, self.chunk)
            folded = attention.fold(x, self.chunk)
            queries, keys, values = each_chunk(self, blocks, seen, folded)
            x = attention.unfold(each_chunk(self, attend, seen, folded, queries), n)
        else:
            q, k, v = by_chunks(self, project, (x,), valid, self.chunk)
            y = hyper.token_attention(
                self.attention, q, k, v, valid, projections=projections, key=key, chunk=self.chunk
            )
            x = by_chunks(self, finish, (x, y), valid, self.chunk)
        if self.shell in ("adapter", "film"):  # tokens have no grid here: a row of pixels
            seen = None if valid is None else valid[:, None]
            form = dict(ratio=self.ratio, dtype=self.dtype, valid=seen)
            x = adapter.after_block(self.shell, x[:, None], **form)[:, 0]
        return x


class Bottleneck(Shell):
    """All tokens of the image, with their place on the whole image's grid."""

    depth: int = 2
    heads: int = 8
    mlp_ratio: int = 4
    chunk: int = 1024
    attention: str = "exact"

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "b l d"],
        position: Any,
        valid: Float[Array, "b l"] | None = None,
        projections: Any = None,
        key: Any = None,
    ) -> Float[Array, "b l d"]:
        """`position` holds row and column of each token, `[l 2]`.

        Where `attention` is hashed, `projections` (a layer each, `[d r]`) and `key` fix
        it; without them they come from the layer's number (`nn/hyper.py`).
        """
        d = tokens.shape[-1]
        init = torch_uniform(d)
        linear = dict(dtype=self.dtype, kernel_init=init, bias_init=init, name="input_proj")

        def embed(bottleneck, x, place):
            y = LoRADense(d, **linear, parent=bottleneck)(x)
            return y + sincos(place[0], d).astype(self.dtype)

        x = by_chunks(self, embed, (tokens, jnp.asarray(position)[None]), valid, self.chunk)
        directions = projections
        if directions is None:
            directions = [hyper.draw_projections(d // self.heads, i) for i in range(self.depth)]
        keys = jax.random.key(0) if key is None else key
        for i in range(self.depth):
            layer = BottleneckLayer(
                self.shell,
                self.ratio,
                self.rank,
                self.dtype,
                heads=self.heads,
                mlp_ratio=self.mlp_ratio,
                chunk=self.chunk,
                attention=self.attention,
                name=f"layer{i}",
            )
            inputs = x, valid, directions[i], jax.random.fold_in(keys, i)
            if valid is None or self.is_initializing():
                x = layer(*inputs)
            else:  # within a branch of its own, a layer's buffers are free for the next
                same = lambda layer, x, *_: x
                x = nn.cond((valid > 0).any(), BottleneckLayer.__call__, same, layer, *inputs)
        return x


def by_chunks(module: nn.Module, fn, arrays, valid, chunk: int) -> Any:
    """`fn(module, *arrays)` over the tokens, `chunk` of them at a time.

    So what is as wide as the MLP's hidden layer never exists for all tokens at once; a
    chunk of padding alone is skipped at run time and reads zero.

    Args:
      fn: takes parts `[b chunk ...]`; returns a tree of the same leading axes.
      valid: `[b l]`, 1 for tokens that exist; None means all.
    """
    b, n = arrays[0].shape[:2]
    if n <= chunk:
        return fn(module, *arrays)
    seen = attention.fold(jnp.ones((b, n)) if valid is None else valid, chunk)
    outputs = each_chunk(module, fn, seen, *(attention.fold(x, chunk) for x in arrays))
    return jax.tree.map(lambda y: attention.unfold(y, n), outputs)


def each_chunk(module: nn.Module, fn, seen: Float[Array, "s b m"], *folded) -> Any:
    """`fn(module, *parts)` for every chunk of arrays that `attention.fold` made."""

    def step(module, carry, item):
        real, parts = item
        like = jax.eval_shape(lambda *parts: fn(module, *parts), *parts)
        nothing = lambda module, *parts: jax.tree.map(lambda y: jnp.zeros(y.shape, y.dtype), like)
        return carry, nn.cond((real > 0).any(), fn, nothing, module, *parts)

    loop = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
    return loop(module, None, (seen, folded))[1]


def sincos(position, d: int) -> Float[Array, "l d"]:
    """Fixed 2-D position code: [E(column), E(row)], E(p) = [sin(p w_i), cos(p w_i)]."""
    omega = 10000.0 ** (-np.arange(d // 4) / (d // 4))
    angle = jnp.asarray(position, jnp.float32)[:, ::-1, None] * omega.astype(np.float32)
    code = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)
    return code.reshape(code.shape[0], d)


class Expand(nn.Module):
    """Twice the side at `features` channels: 'conv' (2x2 transposed) or 'linear' (with norm)."""

    features: int
    kind: str = "conv"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "r h w c"]) -> Float[Array, "r y x d"]:
        c = x.shape[-1]
        if self.kind == "linear":
            y = LoRADense(
                4 * self.features,
                use_bias=False,
                dtype=self.dtype,
                kernel_init=torch_uniform(c),
                name="expand",
            )(x)
            return layer_norm(dtype=self.dtype, name="norm")(depth_to_space(y, 2))
        if self.kind != "conv":
            raise errors.unknown("model.decoder.up", self.kind, ("conv", "linear"))
        init = torch_uniform(4 * self.features)
        y = LoRADense(
            4 * self.features, use_bias=False, dtype=self.dtype, kernel_init=init, name="expand"
        )(x)
        return depth_to_space(y, 2) + self.param("bias", init, (self.features,)).astype(self.dtype)


class Decoder(Shell):
    """Skips joined level by level, Swin V1 blocks, doubled sides, down to 3 channels."""

    patch: int = 4
    depth: int = 2
    head_dim: int = 64
    window: int = 8
    region: int = 256
    mlp_ratio: int = 4
    up: str = "conv"
    head: str = "linear"
    head_width: int = 16
    head_init: str = "uniform"
    remat: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "r t t d"], skips: list, image: Float[Array, "r s s 3"]
    ) -> Float[Array, "r s s 3"]:
        if self.head not in HEADS:
            raise errors.unknown("model.decoder.head", self.head, HEADS)
        side = self.region // self.patch // 2 ** (len(skips) - 1)
        block = nn.remat(SwinBlock) if self.remat else SwinBlock
        for j, skip in enumerate(reversed(skips)):
            x = jnp.concatenate([x, skip], -1)
            c = x.shape[-1]
            window = min(self.window, side)
            shift = window // 2 if side > window else 0
            for i in range(self.depth):
                x = block(
                    shell=self.shell,
                    ratio=self.ratio,
                    rank=self.rank,
                    dtype=self.dtype,
                    version=1,
                    heads=max(1, c // self.head_dim),
                    window=window,
                    shift=shift * ((i + self.depth % 2 * (j + 1)) % 2),
                    mlp_ratio=self.mlp_ratio,
                    name=f"level{j}_block{i}",
                )(x)
            x = Expand(c // 4, self.up, self.dtype, name=f"level{j}_up")(x)
            side *= 2
        while side < self.region:
            x = Expand(x.shape[-1] // 4, self.up, self.dtype, name=f"up{side * 2}")(x)
            side *= 2
        if self.head == "conv":
            return PixelHead(self.head_width, self.dtype, name="output")(x, image)
        init = nn.initializers.zeros if self.head_init == "zeros" else torch_uniform(x.shape[-1])
        return LoRADense(3, use_bias=False, dtype=self.dtype, kernel_init=init, name="output")(x)


class PixelHead(nn.Module):
    """Three 3x3 convolutions over the decoder's features and the image itself.

    Not in the published network. Its last layers double sides without overlap, which
    leaves a lattice on smooth ground, and see a streak of one pixel through patches of
    four; here neighbours are weighed at full size. Zero at first; borders are repeated.
    """

    width: int = 16
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "r s s c"], image: Float[Array, "r s s 3"]
    ) -> Float[Array, "r s s 3"]:
        x = jnp.concatenate([x.astype(self.dtype), image.astype(self.dtype)], -1)
        x = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), "edge")
        for i, features in enumerate((self.width, self.width, 3)):
            last = i == 2
            init = nn.initializers.zeros if last else nn.initializers.he_normal()
            kernel = self.param(f"kernel{i}", init, (3, 3, x.shape[-1], features))
            bias = self.param(f"bias{i}", nn.initializers.zeros, (features,))
            x = conv3x3(x, kernel.astype(self.dtype)) + bias.astype(self.dtype)
            x = x if last else nn.relu(x)
        return x[:, 3:-3, 3:-3]


class Backbone(nn.Module):
    """The three parts, and the whole for images of any size.

    Attributes:
      model: `config.model`, frozen: `region, patch, dims, depths, head_dim, window,
        bottleneck{depth, heads, chunk, attention}, decoder{depth, head_dim, window,
        up, head_init}, mlp_ratio, shell{kind, ratio, rank, where}, dtype, remat`.
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
    def features(self) -> int:
        """Length of what a router reads: the mean token and three statistics a map."""
        return self.model.dims[-1] + 3 * sum(self.model.dims)

    def encode(self, regions: Float[Array, "r s s 3"]) -> list:
        return self.encoder(regions)

    def mix(
        self, tokens, position, valid=None, projections=None, key=None
    ) -> Float[Array, "b l d"]:
        return self.bottleneck(tokens, position, valid, projections, key)

    def decode(self, tokens, skips, image) -> Float[Array, "r s s 3"]:
        """Of mixed tokens `[r t t d]`, the encoder's maps and the regions themselves `[r s s 3]`;
        without the input's share."""
        return self.decoder(tokens, skips, image)

    def __call__(
        self, x: Float[Array, "b h w 3"], return_global: bool = False
    ) -> Float[Array, "b h w 3"] | tuple:
        """The restored images, unclipped, and on demand what a router reads of each `[b v]`:
        the mean mixed token, then the statistics of every map of the encoder.

        Images whose sides are no multiple of the region are extended at the bottom
        and the right by reflection, and cropped back.
        """
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
        if not return_global:
            return y
        share = jnp.full((rows * columns,), 1 / (rows * columns))
        parts = [jax.vmap(moments.central)(m).reshape(b, -1, 3, m.shape[-1]) for m in maps]
        whole = [jax.vmap(lambda x: moments.describe(moments.merge(x, share)))(p) for p in parts]
        return y, jnp.concatenate([mixed.astype(jnp.float32).mean(1), *whole], -1)


def by_regions(module: nn.Module, images: int, fn, *arrays) -> Any:
    """`fn(module, *arrays)` of regions, a few at a time in a loop where that saves memory.

    For training with rematerialised blocks: the loop's steps keep the blocks' inputs, and
    the backward pass computes the rest of a step again when it comes to it. Without the
    loop, XLA on a CPU merges what is computed again with what was thrown away.

    Args:
      images: how many images the regions `[images * r ...]` belong to; every step takes
        some of each, so that a batch split over devices stays split. As many as there are
        regions: no loop.
    """
    n = jax.tree.leaves(arrays)[0].shape[0]
    regions = n // images
    each = max(
        k for k in range(1, regions + 1) if regions % k == 0 and k * images <= max(4, images)
    )
    steps = regions // each
    if steps == 1:
        return fn(module, *arrays)

    def fold(x):
        x = x.reshape(images, steps, each, *x.shape[1:]).swapaxes(0, 1)
        return x.reshape(steps, images * each, *x.shape[3:])

    def unfold(y):
        y = y.reshape(steps, images, each, *y.shape[2:]).swapaxes(0, 1)
        return y.reshape(n, *y.shape[3:])

    step = lambda module, carry, parts: (carry, fn(module, *parts))
    loop = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
    return jax.tree.map(unfold, loop(module, None, jax.tree.map(fold, arrays))[1])


def split(x: Float[Array, "b h w c"], side: int) -> Float[Array, "r s s c"]:
    """Regions of `side`, row by row, image by image."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // side, side, w // side, side, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, side, side, c)


def join(x: Float[Array, "r s s c"], rows: int, columns: int) -> Float[Array, "b h w c"]:
    """Inverse of `split`."""
    s, c = x.shape[1], x.shape[-1]
    x = x.reshape(-1, rows, columns, s, s, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, rows * s, columns * s, c)
