"""Softmax attention over many small windows, with a backward pass of its own.

Axes: n windows, t tokens of a window, h heads, d features of a head, w windows of a mask.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax.ops.dense import column_sum


@jax.custom_vjp
def attend(
    q: Float[Array, "n t h d"],
    k: Float[Array, "n t h d"],
    v: Float[Array, "n t h d"],
    bias: Float[Array, "h t t"],
    mask: Float[Array, "w t t"] | None = None,
) -> Float[Array, "n t h d"]:
    """softmax(q k^T + bias + mask) v in each window; the softmax in float32.

    Window i takes mask i mod w; the mask gets no gradient. The division by the sum of
    weights is put off to the output, which is smaller than the weights, in the backward
    pass to the output's gradient. There every product has its contracted axis where a
    matrix product wants it, so no table of t x t weights is ever transposed.
    """
    return _forward(q, k, v, bias, mask)[0]


def _forward(q, k, v, bias, mask):
    n, t, h, _ = q.shape
    q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    logits = jnp.einsum("nhqd,nhkd->nhqk", q, k, preferred_element_type=jnp.float32) + bias
    if mask is not None:
        logits = logits.reshape(-1, mask.shape[0], h, t, t) + mask[:, None]
        logits = logits.reshape(n, h, t, t)
    weights = jnp.exp(logits - logits.max(-1, keepdims=True))
    share = 1 / weights.sum(-1, keepdims=True)
    weights = weights.astype(v.dtype)
    y = jnp.einsum("nhqk,nhkd->nhqd", weights, v, preferred_element_type=jnp.float32) * share
    y = y.astype(v.dtype)
    return y.swapaxes(1, 2), (q, k, v, weights, share, y)


def _backward(saved, dy):
    q, k, v, weights, share, y = saved
    dy = dy.swapaxes(1, 2)
    inner = jnp.sum(dy.astype(jnp.float32) * y, -1, keepdims=True) * share
    dy = (dy * share).astype(v.dtype)
    slope = jnp.einsum("nhqd,nhkd->nhqk", dy, v, preferred_element_type=jnp.float32) - inner
    slope = (weights * slope).astype(v.dtype)
    dq = jnp.einsum("nhqk,nhkd->nqhd", slope, k)
    dk = jnp.einsum("nhdq,nhqk->nhdk", q.swapaxes(2, 3), slope)
    dv = jnp.einsum("nhdq,nhqk->nhdk", dy.swapaxes(2, 3), weights)
    return dq, dk.transpose(0, 3, 1, 2), dv.transpose(0, 3, 1, 2), column_sum(slope), None


attend.defvjp(_forward, _backward)
