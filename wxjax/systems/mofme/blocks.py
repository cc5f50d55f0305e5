"""Transformer blocks of MoFME: attention, then one of three feed-forward halves.

Axes: b images, n tokens, d features of a token, e experts.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wxjax.nn import attention, expert_kinds
from wxjax.nn.attention import torch_uniform
from wxjax.systems.mofme.gating import Gate, Gating, Router, mixture


def dense(features: int, fan_in: int, name: str, dtype: DTypeLike, bias: bool = True) -> nn.Dense:
    init = torch_uniform(fan_in)
    return nn.Dense(
        features, use_bias=bias, dtype=dtype, kernel_init=init, bias_init=init, name=name
    )


def layer_norm(name: str, dtype: DTypeLike, affine: bool = True) -> nn.LayerNorm:
    return nn.LayerNorm(
        epsilon=1e-5,
        use_fast_variance=False,
        use_scale=affine,
        use_bias=affine,
        dtype=dtype,
        name=name,
    )


class Attention(nn.Module):
    """Global attention of all tokens; heads have 64 features whatever d is."""

    heads: int = 8
    head_dim: int = 64
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        train: bool = False,
        valid: Float[Array, "b n"] | None = None,
    ) -> Float[Array, "b n d"]:
        b, n, d = x.shape
        inner = self.heads * self.head_dim
        qkv = dense(3 * inner, d, "qkv", self.dtype, bias=False)(x)
        q, k, v = jnp.moveaxis(qkv.reshape(b, n, 3, self.heads, self.head_dim), 2, 0)
        y = attention.global_attention(q, k, v, valid).reshape(b, n, inner)
        y = dense(d, inner, "proj", self.dtype)(y)
        return nn.Dropout(self.dropout, deterministic=not train)(y)


class FeedForward(nn.Module):
    """W2 gelu(W1 x + b1) + b2."""

    hidden: int
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], train: bool = False) -> Float[Array, "b n d"]:
        d = x.shape[-1]
        y = nn.gelu(dense(self.hidden, d, "fc1", self.dtype)(x), approximate=False)
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        y = dense(d, self.hidden, "fc2", self.dtype)(y)
        return nn.Dropout(self.dropout, deterministic=not train)(y)


class FilmMixture(nn.Module):
    """FiLM experts on star features, then one shared feed-forward (Zhang et al., AAAI 2024)."""

    gating: Gating
    hidden: int
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], logits: Float[Array, "b n e"], train=False):
        d, e = x.shape[-1], self.gating.experts
        init = torch_uniform(d)
        u = layer_norm("norm", self.dtype)(x)
        star = nn.gelu(dense(d, d, "star_a", self.dtype)(u), approximate=False)
        z = star * dense(d, d, "star_b", self.dtype)(u)
        params = {
            "kernel": self.param("expert_kernel", init, (e, d, 2 * d)).astype(self.dtype),
            "bias": self.param("expert_bias", init, (e, 2 * d)).astype(self.dtype),
        }
        y, weights = mixture(expert_kinds.film, params, z, logits, self.gating)
        self.sow("intermediates", "mixed", y)
        y = FeedForward(self.hidden, self.dropout, self.dtype, name="ffn")(y, train)
        return y, weights


class FfnMixture(nn.Module):
    """Feed-forward experts, each with a LayerNorm of its own: the ordinary mixture.

    The hidden units of the experts get no dropout, their sum does.
    """

    gating: Gating
    hidden: int
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], logits: Float[Array, "b n e"], train=False):
        d, e, h = x.shape[-1], self.gating.experts, self.hidden
        narrow, wide = torch_uniform(d), torch_uniform(h)
        shapes = {
            "scale": (nn.initializers.ones, (e, d)),
            "shift": (nn.initializers.zeros, (e, d)),
            "kernel1": (narrow, (e, d, h)),
            "bias1": (narrow, (e, h)),
            "kernel2": (wide, (e, h, d)),
            "bias2": (wide, (e, d)),
        }
        params = {
            name: self.param(f"expert_{name}", *spec).astype(self.dtype)
            for name, spec in shapes.items()
        }
        unit = layer_norm("norm", self.dtype, affine=False)(x)
        y, weights = mixture(expert_kinds.ffn, params, unit, logits, self.gating)
        return nn.Dropout(self.dropout, deterministic=not train)(y), weights


class Block(nn.Module):
    """t + attention, then t + feed-forward half; the router reads t between the two."""

    variant: str
    gating: Gating
    heads: int = 8
    head_dim: int = 64
    mlp_ratio: int = 4
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        train: bool = False,
        valid: Float[Array, "b n"] | None = None,
    ) -> tuple[Float[Array, "b n d"], Gate | None]:
        hidden = self.mlp_ratio * x.shape[-1]
        attend = Attention(self.heads, self.head_dim, self.dropout, self.dtype, name="attn")
        y = attend(layer_norm("attn_norm", self.dtype)(x), train, valid)
        self.sow("intermediates", "attention", y)
        x = x + y
        if self.variant == "base":
            y = layer_norm("norm", self.dtype)(x)
            return x + FeedForward(hidden, self.dropout, self.dtype, name="ffn")(y, train), None
        logits = Router(self.gating, name="router")(x, train)
        half = FilmMixture if self.variant == "film" else FfnMixture
        half = half(self.gating, hidden, self.dropout, self.dtype, name="mixture")
        y, weights = half(x, logits, train)
        self.sow("intermediates", "half", y)
        return x + y, Gate(logits, weights)
