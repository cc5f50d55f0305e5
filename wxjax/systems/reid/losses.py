"""Losses that make features of one identity near and of others far. Axes: b shots, d features."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def squared_distances(x: Float[Array, "a d"], y: Float[Array, "b d"]) -> Float[Array, "a b"]:
    """|x_i - y_j|^2, at least 0."""
    norms = (x**2).sum(-1)[:, None] + (y**2).sum(-1)
    product = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(norms - 2 * product, 0)


def batch_hard_triplet(
    feature: Float[Array, "b d"], label: Int[Array, "b"], margin: float | None = None
) -> Float[Array, "b"]:
    """For every anchor: its farthest positive against its nearest negative, Euclidean.

    softplus(d_ap - d_an), or with a margin max(0, d_ap - d_an + margin) (Hermans et al.,
    2017). An anchor without a positive or a negative in the batch counts 0.
    """
    # The root has no gradient at 0, where a shot meets itself or its copy.
    distance = jnp.sqrt(squared_distances(feature, feature) + 1e-12)
    same = label[:, None] == label
    positive = same & ~jnp.eye(len(label), dtype=bool)
    farthest = jnp.where(positive, distance, -jnp.inf).max(1)
    nearest = jnp.where(same, jnp.inf, distance).min(1)
    usable = positive.any(1) & ~same.all(1)
    gap = jnp.where(usable, farthest, 0) - jnp.where(usable, nearest, 0)
    value = jax.nn.softplus(gap) if margin is None else jnp.maximum(gap + margin, 0)
    return jnp.where(usable, value, 0)


def identity(
    logits: Float[Array, "b i"], label: Int[Array, "b"], smoothing: float = 0.1
) -> Float[Array, "b"]:
    """Cross entropy against (1 - smoothing) one-hot + smoothing / i (Szegedy et al., 2016)."""
    hot = jax.nn.one_hot(label, logits.shape[-1])
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(hot, smoothing))
