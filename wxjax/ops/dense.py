"""Dense products and the exact GELU in the form that XLA differentiates well.

On a CPU the gradient of an MLP on maps `[b h w c]` takes a third of the time in this
form: a product over several leading axes has its weight gradient computed from
transposed copies, and `jax.nn.gelu`'s erfc is evaluated three times over.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def product(x: Float[Array, "*b c"], kernel: Float[Array, "c d"]) -> Float[Array, "*b d"]:
    """x W over the last axis, as one product of matrices."""
    flat = x.reshape(-1, x.shape[-1])
    return (flat @ kernel).reshape(*x.shape[:-1], kernel.shape[1])


def gelu(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel, 2016), by erf."""
    half = 0.5 * x  # one constant less for XLA:CPU to spread over a map of its own
    return half + half * jax.lax.erf(x * 2**-0.5)


def fence(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """x, behind which XLA:CPU begins another fusion.

    It takes both products of an MLP on narrow rows, and the norms around them, for one kernel,
    which is slower than a kernel each (`python -m experiments.bench.kernels`). Optimization
    barriers are gone before it fuses; a rounding to the same format stays.
    """
    if jax.default_backend() != "cpu":
        return x
    kind = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, kind.nexp, kind.nmant)


def column_sum(x: Float[Array, "n *d"]) -> Float[Array, "*d"]:
    """Sum over the first axis in float32, by a product: XLA:CPU's own is 80 times slower
    where few long rows are summed, as in the gradient of a table that all windows share.
    """
    ones = jnp.ones((1, x.shape[0]), x.dtype)
    flat = x.reshape(x.shape[0], -1)
    total = jnp.matmul(
        ones, flat, precision=jax.lax.Precision.HIGHEST, preferred_element_type=jnp.float32
    )
    return total.reshape(x.shape[1:])


@jax.custom_vjp
def shift(x: Float[Array, "*b d"], bias: Float[Array, "d"]) -> Float[Array, "*b d"]:
    """x + bias, whose gradient is a `column_sum`: of a map's narrow rows half of the backward."""
    return x + bias


def _shift_backward(_, dy):
    return dy, column_sum(dy.reshape(-1, dy.shape[-1])).astype(dy.dtype)


shift.defvjp(lambda x, bias: (x + bias, None), _shift_backward)


@jax.custom_vjp
def affine(
    x: Float[Array, "*b d"], scale: Float[Array, "d"], bias: Float[Array, "d"]
) -> Float[Array, "*b d"]:
    """x * scale + bias, such as behind a norm; its gradients' sums as in `shift`."""
    return x * scale + bias


def _affine_backward(kept, dy):
    x, scale = kept
    d = x.shape[-1]
    slope = column_sum((dy * x).reshape(-1, d)).astype(scale.dtype)
    return dy * scale, slope, column_sum(dy.reshape(-1, d)).astype(scale.dtype)


affine.defvjp(lambda x, scale, bias: (x * scale + bias, (x, scale)), _affine_backward)
