"""Gates: from logits over experts to the weights they are mixed with."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wxjax import errors


def probabilities(
    logits: Float[Array, "*b k"], temperature: Float[Array, ""] | float = 1.0
) -> Float[Array, "*b k"]:
    """softmax(logits / temperature)."""
    return jax.nn.softmax(logits.astype(jnp.float32) / temperature)


def top_k(probs: Float[Array, "*b k"], count: int) -> Float[Array, "*b k"]:
    """The `count` largest probabilities, renormalised; 0 elsewhere."""
    k = probs.shape[-1]
    if not 1 <= count <= k:
        raise errors.bad("top_k", count, f"expected 1 to the number of experts, {k}")
    kept = jax.nn.one_hot(jax.lax.top_k(probs, count)[1], k).sum(-2)
    weights = probs * kept
    return weights / weights.sum(-1, keepdims=True)


def top_p(probs: Float[Array, "*b k"], p: float) -> Float[Array, "*b k"]:
    """The fewest experts whose probabilities sum to at least `p`, renormalised.

    An easy input keeps fewer experts than a hard one. Small `p` is top-1; 1 keeps all.
    """
    if not 0 < p <= 1:
        raise errors.bad("top_p", p, "expected a number in (0, 1]")
    order = jnp.argsort(-probs)
    ranked = jnp.take_along_axis(probs, order, axis=-1)
    # An expert is kept while the mass before it is short of p: the first always is.
    kept = jnp.cumsum(ranked, axis=-1) - ranked < p
    kept = jnp.take_along_axis(kept, jnp.argsort(order), axis=-1)
    weights = jnp.where(kept, probs, 0)
    return weights / weights.sum(-1, keepdims=True)


def abstain(probs: Float[Array, "*b k"], threshold: Float[Array, ""] | float) -> Int[Array, "*b"]:
    """Index of the chosen expert counted from 1, or 0 where no probability reaches `threshold`."""
    return jnp.where(probs.max(-1) < threshold, 0, 1 + jnp.argmax(probs, -1)).astype(jnp.int32)
