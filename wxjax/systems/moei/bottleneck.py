"""The global bottleneck, the only place where one region sees another.

Axes: l tokens of an image, d features of a token.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax.nn import adapter, attention, hyper
from wxjax.nn.attention import LoRADense, torch_uniform
from wxjax.ops.dense import gelu
from wxjax.systems.moei.blocks import Shell


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
        chunk = even(tokens.shape[1], self.chunk)
        init = torch_uniform(d)
        linear = dict(dtype=self.dtype, kernel_init=init, bias_init=init, name="input_proj")

        def embed(bottleneck, x, place):
            y = LoRADense(d, **linear, parent=bottleneck)(x)
            return y + sincos(place[0], d).astype(self.dtype)

        x = by_chunks(self, embed, (tokens, jnp.asarray(position)[None]), valid, chunk)
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
                chunk=chunk,
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


def even(count: int, most: int) -> int:
    """The size of equal chunks of at most `most` that take `count` tokens."""
    return -(-count // -(-count // most))


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
