"""What a diffusion has to beat: a linear filter, and small EDSR, RCAN and SwinIR.

All add to the bicubic picture and start at an answer of zero, so at bicubic; all compute at
the small frame's side and end in one pixel shuffle. Sizes are a config's, far below the
published ones; EDSR (Lim et al., CVPRW 2017), RCAN (Zhang et al., ECCV 2018), SwinIR (Liang
et al., ICCVW 2021).
Axes: b images, h w of the small image, c channels, d features.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.systems.irsr.blocks import Conv3x3, Dense, SwinLayer
from wxjax.systems.irsr.resize import bicubic, pixel_shuffle

KINDS = ("bicubic", "linear", "edsr", "rcan", "swinir")
TAPS = 9


class Linear(nn.Module):
    """One filter of 9 x 9 small pixels for each of a small pixel's places in the large frame."""

    channels: int
    scale: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        out = self.channels * self.scale**2
        kernel = self.param("kernel", nn.initializers.zeros, (TAPS, TAPS, self.channels, out))
        bias = self.param("bias", nn.initializers.zeros, (out,))
        half = TAPS // 2
        x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)), mode="edge")
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", None, None, axes) + bias


class Residual(nn.Module):
    """Blocks between a first and a last convolution, with a path around them all."""

    channels: int
    scale: int
    block: Callable[[str], nn.Module]
    width: int
    blocks: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        first = x = Conv3x3(self.width, name="conv_in")(x)
        for i in range(self.blocks):
            x = self.block(f"block{i}")(x)
        x = first + Conv3x3(self.width, name="conv_body")(x)
        return Conv3x3(self.channels * self.scale**2, zero=True, name="conv_out")(x)


class EDSRBlock(nn.Module):
    """Convolution, ReLU, convolution, and the input: no normalisation."""

    width: int
    attention: int = 0

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        y = nn.relu(Conv3x3(self.width, name="conv1")(x))
        y = Conv3x3(self.width, name="conv2")(y)
        if self.attention:  # RCAN's: a gain a channel, from all places' mean
            seen = nn.relu(Dense(self.width // self.attention, name="down")(y.mean((1, 2))))
            y = y * nn.sigmoid(Dense(self.width, name="up")(seen))[:, None, None]
        return x + y


class RCANGroup(nn.Module):
    """Blocks with channel attention, a convolution, and the group's input."""

    width: int
    depth: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        y = x
        for i in range(self.depth):
            y = EDSRBlock(self.width, attention=8, name=f"block{i}")(y)
        return x + Conv3x3(self.width, name="conv")(y)


class SwinGroup(nn.Module):
    """Windows, shifted windows, a convolution, and the group's input.

    The layer is the diffusion UNet's: group normalisation where SwinIR has a layer's.
    """

    width: int
    dim: int
    window: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        sizes = dict(dim=self.dim, heads=self.dim // 16, depth=2, mlp_ratio=2)
        layer = SwinLayer(side=8 * self.window, window=self.window, mask="swin", **sizes)
        return x + Conv3x3(self.width, name="conv")(layer(x))


def make(config: Mapping[str, Any]) -> tuple[nn.Module, int]:
    """The network of `config['model']`, and what the sides of its input must divide by."""
    model = config["model"]
    kind, sizes, ends = model["kind"], model["baseline"], (model["channels"], model["scale"])
    if kind not in KINDS:
        raise errors.unknown("model.kind", kind, KINDS)
    width, window = sizes["width"], sizes["window"]
    blocks: dict[str, Callable[[str], nn.Module]] = {
        "edsr": lambda name: EDSRBlock(width, name=name),
        "rcan": lambda name: RCANGroup(width, sizes["depth"], name=name),
        "swinir": lambda name: SwinGroup(width, sizes["swin_dim"], window, name=name),
    }
    if kind in ("bicubic", "linear"):
        return Linear(*ends), 1
    count = sizes["blocks"] if kind == "edsr" else sizes["groups"]
    return Residual(*ends, blocks[kind], width, count), window if kind == "swinir" else 1


def init(net: nn.Module, multiple: int, channels: int, key: Any) -> dict[str, Any]:
    side = max(8, multiple)
    return {"params": {"net": net.init(key, jnp.zeros((1, side, side, channels)))["params"]}}


def enlarge(
    net: nn.Module, scale: int, multiple: int, variables: Mapping, x: Float[Array, "b h w c"]
) -> Float[Array, "b H W c"]:
    """The large frame, in the range of the small one."""
    h, w, c = x.shape[1:]
    spare = [(0, -side % multiple) for side in (h, w)]
    padded = jnp.pad(x, ((0, 0), *spare, (0, 0)), mode="symmetric")
    more = pixel_shuffle(net.apply({"params": variables["params"]["net"]}, padded), scale)
    return bicubic(x, (scale * h, scale * w), like="torch") + more[:, : scale * h, : scale * w]


def fit(pairs: Iterable[tuple[np.ndarray, np.ndarray]], scale: int) -> dict[str, np.ndarray]:
    """`Linear`'s parameters in closed form: least squares over all pixels of the pairs.

    Normal equations in float64, with a ridge of 1e-9 of the mean power; on the difference
    from the mean of the 81 taps, so that a constant frame is left as it is.

    Args:
      pairs: small `[b h w 1]` and large `[b H W 1]`, of one range.
    """
    half, size = TAPS // 2, TAPS**2
    power, product = np.zeros((size, size)), np.zeros((size, scale**2))
    for small, large in pairs:
        h, w = small.shape[1:3]
        up = bicubic(jnp.asarray(small), (scale * h, scale * w), like="torch")
        missing = np.asarray(large - up, np.float64)[..., 0]
        missing = missing.reshape(-1, h, scale, w, scale).transpose(0, 1, 3, 2, 4)
        missing = missing.reshape(-1, h, w, scale**2)[:, half : h - half, half : w - half]
        seen = np.lib.stride_tricks.sliding_window_view(small[..., 0], (TAPS, TAPS), (1, 2))
        seen = seen.reshape(-1, size).astype(np.float64)
        seen = seen - seen.mean(1, keepdims=True)
        power += seen.T @ seen
        product += seen.T @ missing.reshape(-1, scale**2)
    if not power.any():
        raise errors.InputError("no pairs to fit the linear filter to: the training set is empty.")
    kernel = np.linalg.solve(power + 1e-9 * np.trace(power) / size * np.eye(size), product)
    kernel = kernel - kernel.mean(0)  # the taps' mean taken off, as a filter
    kernel = kernel.reshape(TAPS, TAPS, 1, scale**2).astype(np.float32)
    return {"kernel": kernel, "bias": np.zeros(scale**2, np.float32)}
