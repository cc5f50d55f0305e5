"""What training minimises beside the chain's own error. One value an example.

After the published training code of DifIISR-DWT; LPIPS is `losses/perceptual.py`'s.
Axes: t steps, b images, h w height width, c channels, k bands of the latent.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.losses import perceptual
from wxjax.systems.irsr import wavelet
from wxjax.systems.irsr.diffusion import Schedule

# Weights of the first, the middle and the last third of the steps.
STEP_WEIGHTS = {
    "thirds": (1.0, 0.1, 0.001),
    "early": (1.0, 0.0, 0.0),
    "relaxed": (1.0, 0.5, 0.1),
}
NAMES = ("lpips", "lpips_vgg16", "edge", "frequency", "details", "l1")


def latent_error(
    out: Float[Array, "b y x k"], target: Float[Array, "b y x k"], bands: Float[Array, "k"]
) -> Float[Array, "b"]:
    """Mean of bands x squared error."""
    return (bands * jnp.square(out - target)).mean((1, 2, 3))


def step_weights(plan: Schedule, kind: str = "thirds") -> Float[np.ndarray, "t"]:
    """`[t]`, what an image's loss counts at each step: less where x_0 is a guess.

    Args:
      kind: 'thirds', 'early' or 'relaxed', steps by thirds of the schedule; 'smooth',
        1 / (1 + kappa^2 eta), the square of the input's scale; 'all', 1.

    Raises:
      InputError: for another kind.
    """
    if kind == "smooth":
        return 1 / (1 + plan.kappa**2 * plan.eta)
    if kind == "all":
        return np.ones_like(plan.eta)
    if kind not in STEP_WEIGHTS:
        raise errors.unknown("losses.steps", kind, [*STEP_WEIGHTS, "smooth", "all"])
    total = len(plan.eta)
    third = (np.arange(total) >= total // 3).astype(int) + (np.arange(total) >= 2 * total // 3)
    return np.array(STEP_WEIGHTS[kind])[third]


def edge(output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, "b"]:
    """Mean absolute difference of the Sobel magnitudes, zeros beyond the border."""
    return jnp.abs(magnitude(output) - magnitude(target)).mean((1, 2, 3))


def magnitude(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """sqrt(gx^2 + gy^2 + 1e-8) of the unscaled Sobel pair ([-1 0 1; -2 0 2; -1 0 1])."""
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    down, across = x[:, 2:] - x[:, :-2], x[:, :, 2:] - x[:, :, :-2]
    gy = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    gx = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    return jnp.sqrt(gx**2 + gy**2 + 1e-8)


def frequency(
    output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]
) -> Float[Array, "b"]:
    """Mean over the plane of (1 + radius) x difference of orthonormal Fourier magnitudes.

    The radius is 0 at the constant and sqrt(2) in the corners.
    """
    ours, theirs = (
        jnp.fft.fftshift(jnp.fft.fft2(x, axes=(1, 2), norm="ortho"), (1, 2))
        for x in (output, target)
    )
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in output.shape[1:3])
    weight = 1 + np.hypot(y[:, None], x)[..., None]
    return (weight * jnp.abs(_size(ours) - _size(theirs))).mean((1, 2, 3))


def _size(z: Array) -> Array:
    """|z|, with a finite gradient at 0."""
    return jnp.sqrt(z.real**2 + z.imag**2 + 1e-12)


def details(output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, "b"]:
    """L1 of Haar details on three scales, each scale's mean: a sense of sharpness without weights
    from elsewhere."""
    bands = wavelet.forward(output - target, "haar", 3)
    scales = (
        sum(jnp.abs(band).mean((1, 2, 3)) for band in level) / 3 / 2**i
        for i, level in enumerate(reversed(bands.details))
    )
    return sum(scales) / len(bands.details)


def image_terms(
    names: tuple[str, ...], output: Float[Array, "b h w c"], target: Float[Array, "b h w c"]
) -> dict[str, Float[Array, "b"]]:
    """The terms asked for, of images in [0, 1]; the output is clipped to that for LPIPS alone.

    Raises:
      InputError: for a name that is not in `NAMES`.
    """
    found = {}
    for name in names:
        if name not in NAMES:
            raise errors.unknown("loss", name, NAMES)
        if name.startswith("lpips"):
            net = "vgg16" if name == "lpips_vgg16" else "alexnet"
            pair = (colour(jnp.clip(output, 0, 1)), colour(target))
            found[name] = perceptual.lpips(*pair, net=net)
        elif name == "l1":
            found[name] = jnp.abs(output - target).mean((1, 2, 3))
        else:
            found[name] = {"edge": edge, "frequency": frequency, "details": details}[name](
                output, target
            )
    return found


def colour(x: Float[Array, "b h w c"]) -> Float[Array, "b h w 3"]:
    """A grey image as three equal channels; a colour image as it is."""
    return jnp.broadcast_to(x, (*x.shape[:3], 3)) if x.shape[-1] == 1 else x
