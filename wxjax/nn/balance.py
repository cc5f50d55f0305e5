"""Losses that keep a router from sending everything to one expert.

All are means over tokens, so that they do not grow with the image. Axes: n tokens, k experts.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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
