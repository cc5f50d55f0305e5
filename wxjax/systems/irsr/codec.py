"""Images as latents of wavelet sub-bands, and back: functions without any state.

`encode` gives what is diffused, `z`, and what is not, `side`; `decode` is handed both. A
published codec kept the bands it did not diffuse from whatever was encoded last; to do as
it did, hand over the `side` of the enlarged input.
Axes: b images, h w of the image, y x of the latent, c channels of the image, k of the latent.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from wxjax import errors
from wxjax.nn.attention import torch_uniform
from wxjax.systems.irsr import resize, wavelet
from wxjax.systems.irsr.wavelet import Bands, Details

KINDS = ("packed", "ll", "fullband", "allbands", "allbands_learnable", "none")


class Codec(NamedTuple):
    """Which bands a latent holds, and how.

    Attributes:
      kind: 'packed', every band and nothing lost; 'none', pixels as channels; the others are
        those of DifIISR-DWT, kept for comparison: 'll', the low band alone; 'fullband', the
        bands of the coarsest level; 'allbands', and the finer level's shrunk to their side,
        by means and cubics, or by learned convolutions ('allbands_learnable').
      wavelet, levels, mode: of `systems/irsr/wavelet.py`.
    """

    kind: str = "packed"
    wavelet: str = "haar"
    levels: int = 2
    mode: str = "periodization"

    @property
    def factor(self) -> int:
        """Pixels along the side of a place in the latent."""
        return 2**self.levels

    @property
    def margin(self) -> int:
        """Pixels added all round, so that no filter carries one border to the opposite one."""
        taps = len(wavelet.filters(self.wavelet).dec_lo)
        return 0 if self.wavelet == "haar" or self.kind == "none" else taps * self.factor

    def channels(self, image: int = 1) -> int:
        """Of the latent of an image with `image` channels."""
        whole = 4**self.levels
        fold = {"ll": 1, "fullband": 4, "packed": whole, "none": whole}
        return image * fold.get(self.kind, 7)


class Encoded(NamedTuple):
    """A latent `[b y x k]`, and the bands beside it: details of the levels left out."""

    z: Array
    side: tuple[Details, ...]


def check(codec: Codec) -> None:
    """Raises InputError for a codec that there is not."""
    if codec.kind not in KINDS:
        raise errors.unknown("codec.kind", codec.kind, KINDS)
    wavelet.check(codec.wavelet, codec.levels, codec.mode)
    if codec.kind.startswith("allbands") and codec.levels != 2:
        raise errors.bad("codec.levels", codec.levels, f"{codec.kind} has 2")
    if codec.mode != "periodization" and codec.wavelet != "haar":
        cure = "Try 'periodization', which halves every side; a margin keeps borders apart."
        raise errors.bad("codec.mode", codec.mode, "expected sides that a UNet can halve", cure)


def init(codec: Codec, key: Key[Array, ""], image: int = 1) -> dict[str, Any]:
    """Parameters: none but for 'allbands_learnable', as PyTorch draws them."""
    if codec.kind != "allbands_learnable":
        return {}
    c, keys = 3 * image, jax.random.split(key, 4)
    down, up = torch_uniform(9 * c), torch_uniform(16 * c)
    return {
        "down": {"kernel": down(keys[0], (3, 3, c, c)), "bias": down(keys[1], (c,))},
        "up": {"kernel": up(keys[2], (4, 4, c, c)), "bias": up(keys[3], (c,))},
    }


def pads(codec: Codec, size: tuple[int, int], multiple: int, margin: int) -> list:
    """Pixels before and after each axis of `[b h w c]`: the margin, and to whole latents."""
    step = math.lcm(codec.factor * multiple, 1)
    return [(0, 0), *((margin, margin + -(side + 2 * margin) % step) for side in size), (0, 0)]


def encode(
    codec: Codec,
    params: Mapping[str, Any],
    x: Float[Array, "b h w c"],
    *,
    multiple: int = 1,
    margin: int | None = None,
) -> Encoded:
    """The latent of images of any size.

    Args:
      x: in [-1, 1]; not that anything would be clipped.
      multiple: the latent's sides become multiples of it; images are continued by their
        mirror, below and to the right.
      margin: pixels all round; None for `codec.margin`. 0 in training, where crops have
        whole latents.
    """
    check(codec)
    margin = codec.margin if margin is None else margin
    x = jnp.pad(x, pads(codec, x.shape[1:3], multiple, margin), mode="symmetric")
    if codec.kind == "none":
        return Encoded(resize.pixel_unshuffle(x, codec.factor), ())
    bands = wavelet.forward(x, codec.wavelet, codec.levels, codec.mode)
    if codec.kind == "packed":
        return Encoded(wavelet.pack(bands), ())
    if codec.kind == "ll":
        return Encoded(bands.low, bands.details)
    z = jnp.concatenate([bands.low, *bands.details[0]], -1)
    if codec.kind == "fullband":
        return Encoded(z, bands.details[1:])
    fine = jnp.concatenate(bands.details[1], -1)
    return Encoded(jnp.concatenate([z, shrink(codec, params, fine)], -1), ())


def decode(
    codec: Codec,
    params: Mapping[str, Any],
    z: Float[Array, "b y x k"],
    side: tuple[Details, ...],
    size: tuple[int, int],
    *,
    margin: int | None = None,
) -> Float[Array, "b h w c"]:
    """The image of height and width `size`; `margin` as it was encoded with."""
    check(codec)
    margin = codec.margin if margin is None else margin
    whole = (codec.factor * z.shape[1], codec.factor * z.shape[2])
    if codec.kind == "none":
        x = resize.pixel_shuffle(z, codec.factor)
    else:
        x = wavelet.inverse(bands_of(codec, params, z, side), whole, codec.wavelet, codec.mode)
    return x[:, margin : margin + size[0], margin : margin + size[1]]


def bands_of(codec: Codec, params: Mapping[str, Any], z: Array, side: tuple) -> Bands:
    """All bands of a latent."""
    if codec.kind == "packed":
        return wavelet.unpack(z, codec.levels)
    if codec.kind == "ll":
        return Bands(z, side)
    c = z.shape[-1] // (4 if codec.kind == "fullband" else 7)
    low, *high = jnp.split(z[..., : 4 * c], 4, -1)
    if codec.kind != "fullband":
        fine = enlarge(codec, params, z[..., 4 * c :])
        side = (Details(*jnp.split(fine, 3, -1)),)
    return Bands(low, (Details(*high), *side))


def shrink(codec: Codec, params: Mapping[str, Any], fine: Array) -> Array:
    """The finest bands at half their side: means of 2x2, or the learned convolution."""
    if codec.kind == "allbands":
        b, h, w, c = fine.shape
        return fine.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))
    return _convolve(fine, params["down"], stride=2, pad=1)


def enlarge(codec: Codec, params: Mapping[str, Any], coarse: Array) -> Array:
    """Bands at twice their side: by OpenCV's cubic, or the learned transposed convolution."""
    if codec.kind == "allbands":
        h, w = coarse.shape[1:3]
        return resize.bicubic(coarse, (2 * h, 2 * w), like="torch")
    return _convolve(coarse, params["up"], dilate=2, pad=2)


def _convolve(x: Array, layer: Mapping, *, stride: int = 1, dilate: int = 1, pad: int) -> Array:
    y = jax.lax.conv_general_dilated(
        x,
        layer["kernel"],
        (stride, stride),
        ((pad, pad), (pad, pad)),
        lhs_dilation=(dilate, dilate),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + layer["bias"]


def scales(codec: Codec, image: int = 1) -> dict[str, slice]:
    """Where a packed latent has its low band ('low') and each level's details ('level2', ...)."""
    found, start = {"low": slice(0, image)}, image
    for i in range(codec.levels):
        stop = start + 3 * image * 4**i
        found[f"level{codec.levels - i}"] = slice(start, stop)
        start = stop
    return found


def finer_low(codec: Codec, z: Float[Array, "b y x k"]) -> Float[Array, "b y x m"]:
    """The next finer low band, packed, from the coarsest level's four bands.

    What the second stage of a cascade is told of the first's result.
    """
    c = z.shape[-1] // 4
    low, *high = (z[..., i * c : (i + 1) * c] for i in range(4))
    fine = wavelet.synthesise(low, Details(*high), codec.wavelet, codec.mode)
    y, x = z.shape[1:3]
    return resize.pixel_unshuffle(fine[:, : 2 * y, : 2 * x], 2)
