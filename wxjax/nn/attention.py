"""Window attention of Swin (versions 1 and 2) and global attention over many tokens.

Axes: n windows, t tokens of a window, h heads, d features of a head, c channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Shaped

from wxjax.nn.softmax import attend
from wxjax.ops.dense import product

FAR = -100.0  # what Swin adds between tokens that only the cyclic shift made neighbours
GONE = -1e30  # what hides a token altogether; finite, so that nothing becomes NaN


def to_windows(x: Float[Array, "b h w c"], size: int) -> Float[Array, "n t c"]:
    """Windows row by row, those of one image together; tokens row by row."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // size, size, w // size, size, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, size * size, c)


def from_windows(x: Float[Array, "n t c"], size: int, h: int, w: int) -> Float[Array, "b h w c"]:
    """Inverse of `to_windows`."""
    c = x.shape[-1]
    x = x.reshape(-1, h // size, w // size, size, size, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, h, w, c)


def relative_index(size: int) -> np.ndarray:
    """Row of the bias table for each (query, key): (dy + w - 1)(2w - 1) + dx + w - 1."""
    y, x = np.divmod(np.arange(size * size), size)
    dy, dx = y[:, None] - y, x[:, None] - x
    return (dy + size - 1) * (2 * size - 1) + dx + size - 1


def shift_mask(h: int, w: int, size: int, shift: int) -> np.ndarray:
    """`[windows t t]`: 0 within an original neighbourhood, -100 across the seam of the roll."""

    def label(length):
        position = np.arange(length)
        return (position >= length - size).astype(int) + (position >= length - shift)

    ids = (3 * label(h)[:, None] + label(w))[None, ..., None].astype(np.float32)
    ids = ids.reshape(1, h // size, size, w // size, size).transpose(0, 1, 3, 2, 4)
    ids = ids.reshape(-1, size * size)
    return np.where(ids[:, :, None] == ids[:, None, :], 0.0, FAR).astype(np.float32)


class LoRADense(nn.Module):
    """A dense layer with an optional low-rank delta: x W + b + (x A) B (Hu et al., 2021).

    `rank` 0 is a plain dense layer. B starts at zero, so a fresh delta changes nothing.
    """

    features: int
    use_bias: bool = True
    rank: int = 0
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.truncated_normal(0.02)
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b d"]:
        c = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (c, self.features))
        y = product(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.use_bias:
            y = y + self.param("bias", self.bias_init, (self.features,)).astype(self.dtype)
        if self.rank:
            down = self.param("shell_down", nn.initializers.normal(c**-0.5), (c, self.rank))
            up = self.param("shell_up", nn.initializers.zeros, (self.rank, self.features))
            low = product(x.astype(self.dtype), down.astype(self.dtype))
            y = y + product(low, up.astype(self.dtype))
        return y


def torch_uniform(fan_in: int) -> nn.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default for weights and biases."""
    bound = fan_in**-0.5

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class CosineWindowAttention(nn.Module):
    """Scaled cosine attention with a continuous position bias (Swin V2, section 3).

    The bias depends on weights alone. Where the collection `tables` is given it is
    read from there, so it is computed once a checkpoint and not once a call.
    """

    heads: int
    window: int
    rank: int = 0
    dtype: DTypeLike = jnp.float32

    def setup_bias(self) -> Float[Array, "h t t"]:
        w, small = self.window, nn.initializers.truncated_normal(0.02)
        hidden = nn.Dense(512, kernel_init=small, name="cpb_hidden")
        out = nn.Dense(self.heads, use_bias=False, kernel_init=small, name="cpb_out")
        if self.has_variable("tables", "bias") and not self.is_initializing():
            return self.get_variable("tables", "bias")
        offset = np.arange(-(w - 1), w, dtype=np.float32) * 8 / max(1, w - 1)
        offset = np.sign(offset) * np.log2(np.abs(offset) + 1) / 3
        features = np.stack(np.meshgrid(offset, offset, indexing="ij"), -1).reshape(-1, 2)
        table = 16 * nn.sigmoid(out(nn.relu(hidden(features))))
        bias = table[relative_index(w)].transpose(2, 0, 1)
        if self.is_mutable_collection("tables") and not self.is_initializing():
            self.put_variable("tables", "bias", bias)
        return bias

    @nn.compact
    def __call__(
        self, x: Float[Array, "n t c"], mask: np.ndarray | None = None
    ) -> Float[Array, "n t c"]:
        n, t, c = x.shape
        qkv = LoRADense(3 * c, use_bias=False, rank=self.rank, dtype=self.dtype, name="qkv")(x)
        q_bias = self.param("q_bias", nn.initializers.zeros, (c,))
        v_bias = self.param("v_bias", nn.initializers.zeros, (c,))
        qkv = qkv + jnp.concatenate([q_bias, jnp.zeros(c), v_bias]).astype(self.dtype)
        q, k, v = (part.reshape(n, t, self.heads, -1) for part in jnp.split(qkv, 3, -1))
        scale = self.param(
            "logit_scale", nn.initializers.constant(np.log(10.0)), (self.heads, 1, 1)
        )
        scale = jnp.exp(jnp.minimum(scale, np.log(100.0)))[:, 0]
        q = (unit(q) * scale).astype(self.dtype)
        y = attend(q, unit(k).astype(self.dtype), v, self.setup_bias(), mask)
        return LoRADense(c, rank=self.rank, dtype=self.dtype, name="proj")(y.reshape(n, t, c))


def unit(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """x / max(|x|, 1e-12) over the last axis, in float32, with a finite gradient at 0."""
    x = x.astype(jnp.float32)
    square = jnp.sum(x * x, -1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


class WindowAttention(nn.Module):
    """Attention of Swin V1: scaled dot products plus a learned table of position biases."""

    heads: int
    window: int
    rank: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "n t c"], mask: np.ndarray | None = None
    ) -> Float[Array, "n t c"]:
        n, t, c = x.shape
        d = c // self.heads
        linear = dict(
            rank=self.rank,
            dtype=self.dtype,
            kernel_init=torch_uniform(c),
            bias_init=torch_uniform(c),
        )
        qkv = LoRADense(3 * c, **linear, name="qkv")(x)
        q, k, v = (part.reshape(n, t, self.heads, d) for part in jnp.split(qkv, 3, -1))
        rows = (2 * self.window - 1) ** 2
        table = self.param("bias_table", nn.initializers.truncated_normal(0.02), (rows, self.heads))
        bias = table[relative_index(self.window)].transpose(2, 0, 1)
        y = attend(q * d**-0.5, k, v, bias, mask)
        return LoRADense(c, **linear, name="proj")(y.reshape(n, t, c))


def global_attention(
    q: Float[Array, "b n h d"],
    k: Float[Array, "b n h d"],
    v: Float[Array, "b n h d"],
    valid: Float[Array, "b n"] | None = None,
    *,
    chunk: int = 512,
) -> Float[Array, "b n h d"]:
    """Exact softmax attention over all tokens, `chunk` queries by `chunk` keys at a time.

    The running maximum and sum of Milakov & Gimelshein ("Online normalizer calculation for
    softmax", 2018) keep a block of logits in cache: never more than `chunk`^2 a head exist,
    whatever the image's size, and the backward pass computes them again.

    Args:
      valid: 1 for tokens that exist, 0 for padding, which gets no weight. A block of
        nothing but padding is skipped at run time, as queries (they read zero) and as keys.
    """
    b, n, h, d = q.shape
    if n <= chunk:
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k).astype(jnp.float32) * d**-0.5
        logits = (
            logits if valid is None else logits + jnp.where(valid > 0, 0.0, GONE)[:, None, None]
        )
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits).astype(v.dtype), v)
    seen = fold(jnp.ones((b, n)) if valid is None else valid, chunk)
    queries, keys, values = (fold(x, chunk).swapaxes(2, 3) for x in (q, k, v))
    keys = keys.swapaxes(3, 4)

    def attend_real(item):
        query, real = item
        nothing = lambda query: jnp.zeros(query.shape, v.dtype)
        fn = lambda query: attend_block(query, keys, values, seen)
        return jax.lax.cond((real > 0).any(), fn, nothing, query)

    return unfold(jax.lax.map(attend_real, (queries, seen)).swapaxes(2, 3), n)


def fold(x: Shaped[Array, "b n *c"], chunk: int) -> Shaped[Array, "s b m *c"]:
    """`chunk` tokens at a time, zeros after the last; no copy for one image of whole chunks."""
    b, n = x.shape[:2]
    steps = -(-n // chunk)
    x = jnp.pad(x, ((0, 0), (0, steps * chunk - n)) + ((0, 0),) * (x.ndim - 2))
    return x.reshape(b, steps, chunk, *x.shape[2:]).swapaxes(0, 1)


def unfold(x: Shaped[Array, "s b m *c"], n: int) -> Shaped[Array, "b n *c"]:
    """Inverse of `fold`, for `n` tokens."""
    steps, b, chunk = x.shape[:3]
    return x.swapaxes(0, 1).reshape(b, steps * chunk, *x.shape[3:])[:, :n]


@jax.checkpoint
def attend_block(
    query: Float[Array, "b h q d"],
    keys: Float[Array, "s b h d m"],
    values: Float[Array, "s b h m d"],
    seen: Float[Array, "s b m"],
) -> Float[Array, "b h q d"]:
    """Softmax attention of some queries to all keys, which come in blocks.

    Args:
      seen: 1 for keys that exist, 0 for padding; a block of padding alone is skipped.
    """
    b, h, m, d = query.shape
    query = (query * d**-0.5).astype(query.dtype)
    exact = dict(preferred_element_type=jnp.float32)

    def step(carry, block):
        most, total, sums = carry
        key, value, real = block
        logits = jnp.einsum("bhqd,bhdk->bhqk", query, key, **exact)
        logits = logits + jnp.where(real > 0, 0.0, GONE)[:, None, None]
        top = jnp.maximum(most, logits.max(-1, keepdims=True))
        weights, fade = jnp.exp(logits - top), jnp.exp(most - top)
        part = jnp.einsum("bhqk,bhkd->bhqd", weights.astype(value.dtype), value, **exact)
        return top, total * fade + weights.sum(-1, keepdims=True), sums * fade + part

    def skip_padding(carry, block):
        return jax.lax.cond((block[-1] > 0).any(), step, lambda c, _: c, carry, block), None

    column = jnp.zeros((b, h, m, 1))
    start = column + GONE, column, jnp.zeros((b, h, m, d))
    (_, total, sums), _ = jax.lax.scan(skip_padding, start, (keys, values, seen))
    return (sums / total).astype(values.dtype)
