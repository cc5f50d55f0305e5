"""int8 for matrix products: weights by output channel, activations by row.

Symmetric: x is about step * q with q in [-127, 127] and step = max|x| / 127, so that the
error is at most half a step.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8

LEVELS = 127


def quantize(
    x: Float[Array, "*a b c"], axis: int = -2
) -> tuple[Int8[Array, "*a b c"], Float[Array, "*a 1 c"] | Float[Array, "*a b 1"]]:
    """Whole numbers and their step, one step for what lies along `axis`; a row of 0 stays 0."""
    step = jnp.abs(x).max(axis, keepdims=True) / LEVELS
    q = jnp.round(x / jnp.where(step > 0, step, 1))
    return jnp.clip(q, -LEVELS, LEVELS).astype(jnp.int8), step


def dequantize(q: Int8[Array, "*a"], step: Float[Array, "*#a"]) -> Float[Array, "*a"]:
    """step * q."""
    return q.astype(jnp.float32) * step


def product(
    x: Float[Array, "n c"], q: Int8[Array, "c d"], step: Float[Array, "1 d"]
) -> Float[Array, "n d"]:
    """x @ (step * q) with x in int8 by row too, summed exactly in int32."""
    rows, scale = quantize(x, axis=-1)
    whole = jax.lax.dot_general(rows, q, (((1,), (0,)), ((), ())), preferred_element_type=jnp.int32)
    return whole.astype(jnp.float32) * scale * step
