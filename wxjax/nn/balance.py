"""Losses that keep a router from sending everything to one expert.

All are means over tokens, so that they do not grow with the image. Axes: n tokens, k experts.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped


def squared_variation(x: Float[Array, "k"]) -> Float[Array, ""]:
    """(standard deviation / mean)^2: 0 where all are equal, k - 1 where one has all."""
    return x.var() / jnp.maximum(x.mean(), 1e-9) ** 2


def importance(probs: Float[Array, "*n k"]) -> Float[Array, ""]:
    """Squared variation of the experts' total probability (Shazeer et al., 2017, eq. 6-7)."""
    return squared_variation(probs.reshape(-1, probs.shape[-1]).mean(0))


def load(logits: Float[Array, "*n k"], count: int, noise: float) -> Float[Array, ""]:
    """Squared variation of the experts' expected number of tokens.

    An expert is taken when its logit under Gaussian noise reaches the token's `count`-th
    largest, which makes the count smooth (Shazeer et al., 2017, eq. 8-11; the threshold
    as in Riquelme et al., 2021, appendix A).

    Args:
      noise: standard deviation; Riquelme et al. take 1 / k.
    """
    logits = logits.reshape(-1, logits.shape[-1]).astype(jnp.float32)
    threshold = jax.lax.top_k(logits, count)[0][:, -1:]
    taken = jax.scipy.stats.norm.cdf((logits - threshold) / noise)
    return squared_variation(taken.mean(0))


def switch(probs: Float[Array, "*n k"], weights: Float[Array, "*n k"]) -> Float[Array, ""]:
    """k sum_e f_e P_e, 1 where balanced and k where one expert has all (Fedus et al., 2021, eq. 4).

    f_e is the share of the kept slots that went to expert e (no gradient), P_e its mean
    probability.

    Args:
      probs: softmax over *all* experts. Over the kept ones alone the loss could not pull
        an expert back that is never kept.
      weights: what was kept: 0 for the others.
    """
    k = probs.shape[-1]
    kept = (weights.reshape(-1, k) > 0).astype(jnp.float32)
    share = kept.sum(0) / jnp.maximum(kept.sum(), 1)
    return k * (jax.lax.stop_gradient(share) * probs.reshape(-1, k).mean(0)).sum()


def router_z(logits: Float[Array, "*n k"]) -> Float[Array, ""]:
    """Mean of logsumexp(logits)^2: keeps logits small (Zoph et al., 2022, eq. 5)."""
    return (jax.nn.logsumexp(logits.astype(jnp.float32), axis=-1) ** 2).mean()


def variance(probs: Float[Array, "*n k"]) -> Float[Array, ""]:
    """Unbiased variance over experts of their mean probability.

    Its minimum, 0, is reached too by a gate that ignores its input; kept to compare with.
    """
    return probs.reshape(-1, probs.shape[-1]).mean(0).var(ddof=1)


def decidedness(probs: Float[Array, "*n k"], beta: float = 0.4) -> Float[Array, ""]:
    """-H(mean p) + beta mean H(p), nats: low where experts share the work and inputs decide.

    With beta = 1 this is minus the mutual information of input and expert. At least -log k
    (one-hot and balanced); (beta - 1) log k for a gate that is uniform everywhere.
    """
    flat = probs.reshape(-1, probs.shape[-1]).astype(jnp.float32)
    return beta * _entropy(flat).mean() - _entropy(flat.mean(0))


def _entropy(probs: Float[Array, "*n k"]) -> Float[Array, "*n"]:
    # x log x at 0 with a finite gradient.
    return -(probs * jnp.log(jnp.maximum(probs, 1e-9))).sum(-1)


def diversity(outputs: Float[Array, "n k d"]) -> Float[Array, ""]:
    """Mean squared cosine between the outputs of two experts on one input; 0 if orthogonal."""
    k = outputs.shape[1]
    norms = jnp.sqrt((outputs**2).sum(-1, keepdims=True) + 1e-12)
    unit = outputs / norms
    cosine = jnp.einsum("nid,njd->nij", unit, unit)
    pairs = jnp.triu(jnp.ones((k, k)), 1)
    return (pairs * cosine**2).sum((1, 2)).mean() / jnp.maximum(pairs.sum(), 1)


def bias_step(
    weights: Shaped[Array, "*n k"], bias: Float[Array, "k"], rate: float = 1e-3
) -> Float[Array, "k"]:
    """The selection bias moved by `rate` towards experts taken less than the mean.

    Changes which experts are chosen and not how they are weighted, so no loss is needed
    (Wang et al., 2024, arXiv 2408.15664).
    """
    load = (weights.reshape(-1, weights.shape[-1]) > 0).mean(0)
    return bias + rate * jnp.sign(load.mean() - load)
