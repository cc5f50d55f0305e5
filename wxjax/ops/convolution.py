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
