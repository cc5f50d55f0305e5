"""Small linear filters as weighted sums of shifted slices, with mirrored borders.

The sums are what XLA fuses into one loop on every backend; its CPU convolution of a
depthwise kernel is about fifty times slower. Axes are those of `[b h w c]`.
Borders repeat the image mirrored at its edge pixels (`reflect` of NumPy: the edge is
not doubled); an image of one row or column is mirrored onto itself.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ROWS, COLUMNS = -3, -2


def gaussian_kernel(sigma: float, radius: int | None = None) -> Float[np.ndarray, "k"]:
    """A sampled Gaussian that sums to 1, of 2 radius + 1 taps; radius 3 sigma by default."""
    radius = max(1, math.ceil(3 * sigma)) if radius is None else radius
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * np.square(x / sigma))
    return weights / weights.sum()


def correlate(x: Float[Array, "*b h w c"], weights: np.ndarray, axis: int) -> Float[Array, "..."]:
    """sum_k weights[k] x[i + k] along `axis`, where the whole window fits ("valid").

    Reverse-mode differentiable only. Call it inside compiled code: outside, every shifted
    slice is a program of its own.
    """
    return _correlate(x, tuple(float(w) for w in weights), axis % x.ndim)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _correlate(x: Array, weights: tuple[float, ...], axis: int) -> Array:
    length = x.shape[axis] - len(weights) + 1
    terms = (
        w * jax.lax.slice_in_dim(x, k, k + length, axis=axis) for k, w in enumerate(weights) if w
    )
    return sum(terms)


def _forward(x: Array, weights: tuple[float, ...], axis: int) -> tuple[Array, None]:
    return _correlate(x, weights, axis), None


def _backward(weights: tuple[float, ...], axis: int, _: None, slope: Array) -> tuple[Array]:
    # The transpose that JAX derives sums padded arrays: the gradient of SSIM took 687 ms on two
    # cores (4 x 256 x 256 x 3), and takes 104 with one padded array and the kernel turned round.
    pad = [(0, 0)] * slope.ndim
    pad[axis] = (len(weights) - 1, len(weights) - 1)
    return (_correlate(jnp.pad(slope, pad), weights[::-1], axis),)


_correlate.defvjp(_forward, _backward)


def separable(
    x: Float[Array, "*b h w c"], rows: np.ndarray, columns: np.ndarray
) -> Float[Array, "*b h w c"]:
    """Correlates with `rows` down the image and `columns` across it; the size stays."""
    pad = [(0, 0)] * (x.ndim - 3) + [_half(rows), _half(columns), (0, 0)]
    x = jnp.pad(x, pad, mode="reflect")
    return correlate(correlate(x, rows, ROWS), columns, COLUMNS)


def blur(x: Float[Array, "*b h w c"], sigma: float) -> Float[Array, "*b h w c"]:
    """Gaussian blur; sigma in pixels, 0 gives the image back."""
    if sigma == 0:
        return x
    kernel = gaussian_kernel(sigma)
    return separable(x, kernel, kernel)


def sobel(
    x: Float[Array, "*b h w c"],
) -> tuple[Float[Array, "*b h w c"], Float[Array, "*b h w c"]]:
    """Gradients (down, across) in value a pixel: the 3x3 Sobel pair divided by 8."""
    smooth, slope = np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2
    return separable(x, slope, smooth), separable(x, smooth, slope)


def laplacian_of_gaussian(x: Float[Array, "*b h w c"], sigma: float) -> Float[Array, "*b h w c"]:
    """-sigma^2 Laplacian(G_sigma * x): the scale-normalised blob filter (Lindeberg, 1998).

    Positive on bright blobs, most for a blob of radius sqrt(2) sigma; zero on flat
    areas to rounding, since the sampled second derivative is made to sum to 0.
    """
    kernel = gaussian_kernel(sigma, radius=max(1, math.ceil(4 * sigma)))
    position = np.arange(len(kernel)) - len(kernel) // 2
    second = kernel * (np.square(position / sigma) - 1)
    second -= second.mean()
    return -(separable(x, second, kernel) + separable(x, kernel, second))


def difference_of_gaussians(
    x: Float[Array, "*b h w c"], sigma: float, ratio: float = 1.6
) -> Float[Array, "*b h w c"]:
    """G_sigma * x - G_(ratio sigma) * x: a band pass, positive on bright spots."""
    return blur(x, sigma) - blur(x, ratio * sigma)


def structure_tensor(
    x: Float[Array, "*b h w c"], sigma: float | None = None
) -> tuple[Float[Array, "*b h w"], Float[Array, "*b h w"], Float[Array, "*b h w"]]:
    """Products of gradients (down^2, down across, across^2), summed over channels.

    Args:
      sigma: pixels over which the products are averaged; None leaves them a pixel.
    """
    down, across = sobel(x)
    products = (jnp.sum(a * b, -1) for a, b in ((down, down), (down, across), (across, across)))
    if sigma is None:
        return tuple(products)
    return tuple(blur(product[..., None], sigma)[..., 0] for product in products)


def orientation(
    down2: Float[Array, "*b"], mixed: Float[Array, "*b"], across2: Float[Array, "*b"]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"], Float[Array, "*b"]]:
    """Direction along which a picture changes least, from its structure tensor.

    The eigenvector of the smaller eigenvalue, written in double angles (Bigun and
    Granlund, 1987), so that nothing jumps at 180 degrees.

    Returns:
      cos 2a, sin 2a of the angle a between that direction and the row axis (a = 0:
      horizontal lines, 90 degrees: vertical lines; anticlockwise on the screen), and
      the coherence (l1 - l2) / (l1 + l2) in [0, 1]: 0 without a preferred direction,
      1 for perfect stripes. All three are 0 where there is no gradient.
    """
    total = down2 + across2
    cosine, sine = down2 - across2, 2 * mixed
    squared = cosine**2 + sine**2
    some = (total > 1e-12) & (squared > 1e-30)
    # The guarded values keep the gradient of sqrt and of the quotients finite at 0.
    length = jnp.sqrt(jnp.where(some, squared, 1))
    coherence = jnp.where(some, length / jnp.where(some, total, 1), 0)
    return (
        jnp.where(some, cosine / length, 0),
        jnp.where(some, sine / length, 0),
        jnp.minimum(coherence, 1),
    )


def _half(weights: np.ndarray) -> tuple[int, int]:
    return (len(weights) // 2, (len(weights) - 1) // 2)
