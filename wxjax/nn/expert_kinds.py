"""Kinds of experts, each one function of its parameters and its input.

An expert is a function `expert(params, x, at) -> y` that touches its parameters only
through `at.dot(x, kernel)` and `at.row(vector)`, so that the same code runs with the
parameters of one expert and with those of all, stacked on a leading axis.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array


class At(NamedTuple):
    """How an expert reaches its parameters."""

    dot: Callable[[Array, Array], Array]
    row: Callable[[Array], Array]


ONE = At(dot=lambda x, kernel: x @ kernel, row=lambda vector: vector)


class Expert(NamedTuple):
    """A kind of expert.

    Attributes:
      apply: `(params, x [r d], at) -> [r d]`.
      fold: `(params stacked on e, x [t d], weights [t e]) -> [t d]`, the mixture in one
        matrix product, or None.
      merge: `(params stacked on e, weights [e]) -> params` of one expert that equals the
        mixture, or None where the mixture of functions is no function of that kind.
    """

    apply: Callable[..., Array]
    fold: Callable[..., Array] | None = None
    merge: Callable[..., Any] | None = None


def _film(params, x, at):
    scale, shift = jnp.split(at.dot(x, params["kernel"]) + at.row(params["bias"]), 2, -1)
    return scale * x + shift


def _fold_film(params, x, weights):
    kernel, bias = params["kernel"], params["bias"]
    e, d, _ = kernel.shape
    spread = (weights[:, :, None] * x[:, None]).reshape(-1, e * d)
    scale, shift = jnp.split(spread @ kernel.reshape(e * d, -1) + weights @ bias, 2, -1)
    return scale * x + shift


def _merge_film(params, weights):
    return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1), params)


# (G x + g) x + (S x + s), with kernel = [G | S] `[d 2d]` and bias = [g | s] `[2d]`
# (Zhang et al., AAAI 2024). Its parameters enter linearly, so a mixture is an expert.
film = Expert(_film, _fold_film, _merge_film)


def _ffn(params, x, at):
    x = x * at.row(params["scale"]) + at.row(params["shift"])
    hidden = at.dot(x, params["kernel1"]) + at.row(params["bias1"])
    return at.dot(jax.nn.gelu(hidden, approximate=False), params["kernel2"]) + at.row(
        params["bias2"]
    )


# W2 gelu(W1 (scale x + shift) + b1) + b2: x comes normalised, scale and shift are each
# expert's LayerNorm.
ffn = Expert(_ffn)
