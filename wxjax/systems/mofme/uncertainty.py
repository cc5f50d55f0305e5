"""Routing under uncertainty: Monte-Carlo dropout on the router's input.

What the network uses is `samples` and `probit`: a token about which thinned routers
disagree gets logits closer to each other, and so softer weights, a probability vector
always. `code_weights` and `paper_weights` are the two definitions of MoFME's
uncertainty-aware router (Zhang et al., AAAI 2024), for study: the published code cannot
run (its second einsum fails for every shape), and repaired it degenerates, because its
samples are equal; neither gives a probability vector.

Axes: m samples, d features, k experts.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wxjax.nn import routing

EPS_COVARIANCE = 1e-5
EPS_NORM = 1e-5


def masks(
    key: PRNGKeyArray, count: int, shape: tuple[int, ...], rate: float
) -> Float[Array, "m *b d"]:
    """`count` inverted dropout masks: 0 with probability `rate`, else 1 / (1 - rate)."""
    keep = jax.random.bernoulli(key, 1 - rate, (count, *shape))
    return keep.astype(jnp.float32) / (1 - rate)


def samples(
    x: Float[Array, "*b d"],
    kernel: Float[Array, "d k"],
    bias: Float[Array, "k"],
    thinned: Float[Array, "m *#b d"],
) -> Float[Array, "m *b k"]:
    """Logits of a linear router for each mask on its input.

    One mask a sample, `[m d]` with as many axes of length 1 as x has, makes the samples
    m fixed routers, and so the same image the same result in every batch.
    """
    return (x[None] * thinned) @ kernel + bias


def probit(logits: Float[Array, "m *b k"]) -> Float[Array, "*b k"]:
    """mu / sqrt(1 + pi/8 var): the mean-field softmax of Gaussian logits (MacKay, 1992).

    One sample, or samples that agree, come back as they are.
    """
    m = logits.shape[0]
    if m == 1:
        return logits[0]
    variance = logits.var(0, ddof=1)
    return logits.mean(0) / jnp.sqrt(1 + jnp.pi / 8 * variance)


def code_weights(
    logits: Float[Array, "m *b k"], count: int
) -> dict[str, Float[Array, "*b k"] | Float[Array, "m *b k"] | Float[Array, "*b k k"]]:
    """The code's formula, its second einsum repaired.

    p_m = softmax(top-k(logits_m)), mu their mean, C their covariance over m - 1,
    z_m = (C + eps I)^-1 (p_m - mu), u_m = z_m / (|z_m| + eps), weights = mean u_m.
    Ill-conditioned, as C has rank m - 1 < k: in float32 the weights are good to 1e-4.
    """
    k = logits.shape[-1]
    probs = routing.scatter(routing.select(logits, count), k)
    mean = probs.mean(0)
    off = probs - mean
    covariance = jnp.einsum("m...i,m...j->...ij", off, off) / (logits.shape[0] - 1)
    regular = covariance + EPS_COVARIANCE * jnp.eye(k)
    z = jnp.moveaxis(jnp.linalg.solve(regular, jnp.moveaxis(off, 0, -1)), -1, 0)
    unit = z / (jnp.linalg.norm(z, axis=-1, keepdims=True) + EPS_NORM)
    return {
        "probs": probs,
        "mu": mean,
        "cov": covariance,
        "unit": unit,
        "weights": unit.mean(0),
    }


def paper_weights(
    logits: Float[Array, "m *b k"], deterministic: Float[Array, "*b k"]
) -> dict[str, Float[Array, "*b k"]]:
    """The paper's formula with a diagonal covariance.

    z = (r - mu) / (var + eps), weights = z / (|z| + eps), r the softmax without dropout.
    """
    probs = routing.probabilities(logits)
    mean, variance = probs.mean(0), probs.var(0, ddof=1)
    z = (routing.probabilities(deterministic) - mean) / (variance + EPS_COVARIANCE)
    weights = z / (jnp.linalg.norm(z, axis=-1, keepdims=True) + EPS_NORM)
    return {"mu": mean, "var": variance, "weights": weights}
