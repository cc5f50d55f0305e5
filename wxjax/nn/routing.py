"""Gates: from logits over experts to the weights they are mixed with.

Axes: b anything, n tokens, k experts, s slots (the experts a token may keep, best first).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wxjax import errors


class Choice(NamedTuple):
    """The experts each token keeps, best first.

    Attributes:
      index: `[*b s]` which expert; every index of a token differs.
      weight: `[*b s]` sums to 1 over s; 0 in a slot that is not used.
    """

    index: Int[Array, "*b s"]
    weight: Float[Array, "*b s"]


def probabilities(
    logits: Float[Array, "*b k"],
    temperature: Float[Array, ""] | float = 1.0,
    lapse: Float[Array, ""] | float = 0.0,
) -> Float[Array, "*b k"]:
    """softmax(logits / temperature), a share `lapse` of it even over the experts."""
    weights = jax.nn.softmax(logits.astype(jnp.float32) / temperature)
    return (1 - lapse) * weights + lapse / weights.shape[-1]


def select(
    logits: Float[Array, "*b k"],
    count: int,
    p: float = 1.0,
    temperature: Float[Array, ""] | float = 1.0,
    least: int = 1,
) -> Choice:
    """The `count` best experts of each token, or fewer: those ranked before the mass exceeds `p`.

    Rank j is kept while the probability of the ranks before it is at most `p`, so the first
    always is. Weights are the softmax over the kept logits. Ties go to the lower index. The
    selection is piecewise constant: gradients flow through the weights of the kept.

    Args:
      count: slots a token, k_max.
      p: of the mass of all experts, not of the `count` best; 1 keeps `count` experts.
      least: experts that are kept whatever the mass.

    Raises:
      InputError: for `count` or `p` out of range.
    """
    check(count, p, logits.shape[-1])
    logits = logits.astype(jnp.float32) / temperature
    ranked, index = jax.lax.top_k(logits, count)
    if p < 1:
        mass = jnp.exp(ranked - jax.nn.logsumexp(logits, axis=-1, keepdims=True))
        kept = jnp.cumsum(mass, axis=-1) - mass <= p
        # The first rank's difference is exactly 0, so no token is left without an expert.
        kept = kept | (jnp.arange(count) < least)
        weight = jax.nn.softmax(ranked, where=kept)
    else:
        weight = jax.nn.softmax(ranked)
    return Choice(index.astype(jnp.int32), weight)


def check(count: int, p: float, k: int) -> None:
    """Raises InputError where `count` of `k` experts, or the mass `p`, cannot be kept."""
    if not 1 <= count <= k:
        raise errors.bad("top_k", count, f"expected 1 to the number of experts, {k}")
    if not 0 < p <= 1:
        raise errors.bad("top_p", p, "expected a number in (0, 1]")


def scatter(choice: Choice, k: int) -> Float[Array, "*b k"]:
    """The weight of every expert, 0 for those not kept."""
    hot = jax.nn.one_hot(choice.index, k, dtype=choice.weight.dtype)
    return jnp.einsum("...s,...sk->...k", choice.weight, hot)


def top_k(probs: Float[Array, "*b k"], count: int) -> Float[Array, "*b k"]:
    """The `count` largest probabilities, renormalised; 0 elsewhere."""
    k = probs.shape[-1]
    check(count, 1.0, k)
    kept = jax.nn.one_hot(jax.lax.top_k(probs, count)[1], k).sum(-2)
    weights = probs * kept
    return weights / weights.sum(-1, keepdims=True)


def top_p(probs: Float[Array, "*b k"], p: float, k_max: int | None = None) -> Float[Array, "*b k"]:
    """The fewest experts whose probabilities sum to more than `p`, renormalised.

    An easy input keeps fewer experts than a hard one. Small `p` is top-1; 1 keeps all,
    or the `k_max` most probable.
    """
    k = probs.shape[-1]
    k_max = k if k_max is None else k_max
    check(k_max, p, k)
    ranked, index = jax.lax.top_k(probs, k_max)
    # An expert is kept while the mass before it is at most p: the first always is.
    kept = (jnp.cumsum(ranked, axis=-1) - ranked <= p) | (p >= 1)
    weight = jnp.where(kept, ranked, 0)
    weight = weight / weight.sum(-1, keepdims=True)
    return scatter(Choice(index.astype(jnp.int32), weight), k)


def abstain(probs: Float[Array, "*b k"], threshold: Float[Array, ""] | float) -> Int[Array, "*b"]:
    """Index of the chosen expert counted from 1, or 0 where no probability reaches `threshold`."""
    return jnp.where(probs.max(-1) < threshold, 0, 1 + jnp.argmax(probs, -1)).astype(jnp.int32)


def frame_level(logits: Float[Array, "*b n k"], count: int, p: float = 1.0) -> Choice:
    """One choice for all tokens of an image: by the mean of their probabilities.

    A network that merges its experts by these weights costs one expert, whatever k is.
    """
    mean = probabilities(logits).mean(-2)
    return select(jnp.log(jnp.maximum(mean, 1e-20)), count, p)


def statistics(
    weights: Float[Array, "*b n k"], slots: int, valid: Float[Array, "n"] | None = None
) -> dict[str, Float[Array, "*b"] | Float[Array, "*b s"]]:
    """What a gate did with the tokens of an image, in shapes that do not depend on it.

    Args:
      valid: 0 for tokens that do not count.

    Returns:
      `count` mean number of experts kept; `histogram [*b slots]` share of tokens that
      keep 1, 2, ... `slots`; `usage [*b k]` mean weight of each expert; `entropy` of a
      token's weights in nats, mean.
    """
    kept = (weights > 0).sum(-1)
    sizes = jnp.arange(1, slots + 1)
    logs = jnp.log(jnp.where(weights > 0, weights, 1))
    n = weights.shape[-2]
    share = jnp.full(n, 1 / n) if valid is None else valid / valid.sum()
    mean = lambda x: jnp.einsum("...nk,n->...k", x.astype(jnp.float32), share)
    alone = lambda x: mean(x[..., None])[..., 0]
    return {
        "count": alone(kept),
        "histogram": mean(kept[..., None] == sizes),
        "usage": mean(weights),
        "entropy": alone(-(weights * logs).sum(-1)),
    }
