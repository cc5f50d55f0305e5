"""Named terms x weights x schedules: one scalar to minimise, one log by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.losses import perceptual, pixel, structure

Weight = float | int | Sequence | Callable[..., Any]

# (output, target, image, lpips_weights) -> [b]
_TERMS: dict[str, Callable[..., Array]] = {
    "charbonnier": lambda y, t, x, w: pixel.charbonnier(y, t),
    "l1": lambda y, t, x, w: pixel.l1(y, t),
    "mse": lambda y, t, x, w: pixel.mse(y, t),
    "smooth_l1": lambda y, t, x, w: pixel.smooth_l1(y, t),
    "decibels": lambda y, t, x, w: pixel.decibels(y, t),
    "fft_l1": lambda y, t, x, w: pixel.fft_l1(y, t),
    "fft_l1_official": lambda y, t, x, w: pixel.fft_l1(y, t, scale="official"),
    "ssim": lambda y, t, x, w: structure.dissimilarity(y, t),
    "edge": lambda y, t, x, w: structure.edge(y, t),
    "direction": lambda y, t, x, w: structure.direction(y, t, x),
    "flakes": lambda y, t, x, w: structure.flakes(y, t, x),
    "flakes_dog": lambda y, t, x, w: structure.flakes(y, t, x, kind="dog"),
    "lpips": lambda y, t, x, w: perceptual.lpips(y, t, w),
    "lpips_vgg16": lambda y, t, x, w: perceptual.lpips(y, t, w, net="vgg16"),
    "vgg": lambda y, t, x, w: perceptual.vgg(y, t, w),
}
NAMES = tuple(_TERMS)


def image_terms(
    names: Iterable[str],
    output: Float[Array, "b h w 3"],
    target: Float[Array, "b h w 3"],
    image: Float[Array, "b h w 3"],
    *,
    lpips_weights: Mapping[str, Any] | None = None,
) -> dict[str, Float[Array, "b"]]:
    """The terms asked for, and no other, each one value an example.

    Args:
      output: what the network made of `image`; not clipped (a clipped value has no gradient).
      lpips_weights: by net, `{"alexnet": metrics.perceptual.weights("alexnet")}`, where
        they are to be arguments of the compiled step rather than part of it.

    Raises:
      InputError: for a name that is not in `NAMES`.
    """
    found = {}
    for name in names:
        if name not in _TERMS:
            raise errors.unknown("loss", name, NAMES)
        net = "vgg16" if name in ("lpips_vgg16", "vgg") else "alexnet"
        weights = (lpips_weights or {}).get(net)
        found[name] = _TERMS[name](output, target, image, weights)
    return found


def total(
    terms: Mapping[str, Float[Array, "b"]], weights: Mapping[str, Weight], step: Any = 0
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The sum over names of weight(step) x mean over the batch, and the unweighted means.

    A term without a weight is logged and not added.

    Args:
      weights: by name a number, a function of the step, or corners ((step, weight), ...)
        joined by straight lines and constant outside, which a config can hold.

    Raises:
      InputError: for a weight whose term is not there, or corners that do not rise in step.
    """
    for name in weights:
        if name not in terms:
            raise errors.unknown("loss weight", name, terms)
    means = {name: value.mean() for name, value in terms.items()}
    parts = [weight_at(weight, step, name) * means[name] for name, weight in weights.items()]
    return sum(parts, jnp.float32(0)), means


def weight_at(weight: Weight, step: Any, name: str = "weight") -> Any:
    """The value of a weight at a step; `total` says what a weight can be."""
    if callable(weight):
        return weight(step)
    if not isinstance(weight, Sequence):
        return weight
    steps, values = zip(*weight, strict=True)
    if any(later <= earlier for earlier, later in zip(steps, steps[1:], strict=False)):
        raise errors.bad(name, tuple(weight), "expected corners (step, weight) with rising steps")
    return jnp.interp(jnp.asarray(step, jnp.float32), jnp.array(steps), jnp.array(values))
