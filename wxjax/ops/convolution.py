"""Convolutions in the form that is fast on the backend at hand."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def depthwise3x3(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c"]
) -> Float[Array, "b h w c"]:
    """Depthwise 3x3 convolution (cross-correlation), stride 1, zero padding 1.

    XLA:CPU runs a grouped convolution one channel at a time, about 50 times slower
    than nine shifted multiply-adds; on GPU and TPU the native form wins.
    """
    if jax.default_backend() == "cpu":
        return depthwise3x3_shifted(x, kernel)
    return depthwise3x3_native(x, kernel)


def depthwise3x3_native(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c"]
) -> Float[Array, "b h w c"]:
    """The same by `lax.conv_general_dilated` with one group a channel."""
    return jax.lax.conv_general_dilated(
        x,
        kernel[:, :, None].astype(x.dtype),
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def depthwise3x3_shifted(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c"]
) -> Float[Array, "b h w c"]:
    """The same as a sum of nine shifted products, which XLA fuses into one pass."""
    h, w = x.shape[1:3]
    kernel = kernel.astype(x.dtype)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    terms = [
        padded[:, dy : dy + h, dx : dx + w] * kernel[dy, dx] for dy in range(3) for dx in range(3)
    ]
    return sum(terms[1:], terms[0])


def conv3x3_native(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c d"]
) -> Float[Array, "b h w d"]:
    """3x3 convolution (cross-correlation), stride 1, zero padding 1."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def conv3x3(x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c d"]) -> Float[Array, "b h w d"]:
    """`conv3x3_native` with a gradient that is fast on a CPU too.

    XLA:CPU takes a kernel's gradient as a convolution with a window as large as the image:
    nine times the forward pass at 128 channels. As a matrix product for each row of the
    image it takes a fifth of that; below 48 channels XLA's own form is the faster one.
    """
    if jax.default_backend() == "cpu" and min(kernel.shape[2:]) >= 48:
        return _conv3x3_by_rows(x, kernel)
    return conv3x3_native(x, kernel)


@jax.custom_vjp
def _conv3x3_by_rows(x, kernel):
    return conv3x3_native(x, kernel)


def _conv3x3_forward(x, kernel):
    return conv3x3_native(x, kernel), (x, kernel)


def _conv3x3_backward(kept, dy):
    x, kernel = kept
    w, (c, d) = x.shape[2], kernel.shape[2:]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def row(total, i):
        rows = jax.lax.dynamic_slice_in_dim(padded, i, 3, 1)
        seen = [rows[:, j, k : k + w].reshape(-1, c).T for j in range(3) for k in range(3)]
        slope = jax.lax.dynamic_index_in_dim(dy, i, 1, keepdims=False).reshape(-1, d)
        product = jnp.matmul(jnp.concatenate(seen), slope, preferred_element_type=jnp.float32)
        return total + product, None

    total, _ = jax.lax.scan(row, jnp.zeros((9 * c, d)), jnp.arange(x.shape[1]))
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return conv3x3_native(dy, flipped), total.reshape(kernel.shape).astype(kernel.dtype)


_conv3x3_by_rows.defvjp(_conv3x3_forward, _conv3x3_backward)


def space_to_depth(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b y x d"]:
    """Blocks of `size` x `size` pixels as channels, in the order (row, column, channel)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // size, size, w // size, size, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // size, w // size, size * size * c)


def depth_to_space(x: Float[Array, "b h w d"], size: int) -> Float[Array, "b y x c"]:
    """Inverse of `space_to_depth`."""
    b, h, w, d = x.shape
    x = x.reshape(b, h, w, size, size, d // size**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h * size, w * size, d // size**2)
