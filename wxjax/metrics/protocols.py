"""Named ways to score a file: the same picture moves by 8 dB from one to the next.

Host functions in float64 on uint8 pictures `[h w 3]`, so that a number belongs to the
file that was written. A protocol says on which values PSNR and SSIM are taken; none
hides a change of size, but for the two that are defined by one.
"""

import functools
import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from wxjax import errors
from wxjax.metrics import image
from wxjax.ops import color, filters

_log = logging.getLogger(__name__)
_MOFME_SIZE = (480, 720)  # height, width


class Protocol(NamedTuple):
    """What a protocol computes on; every value is a plain name or number.

    Attributes:
      values: 'rgb', 'y' (BT.601, 16-235), 'y-rounded' (to bytes, as MATLAB rounds) or
        'y-swapped' (the weights of red and blue exchanged).
      window: 'gaussian' (11, sigma 1.5, population moments), 'uniform' (11, sample
        moments: scikit-image's default) or 'global' (one window, the whole picture).
      shrink: how pictures are averaged down to about 256 pixels before SSIM: 'none',
        'adaptive' (bins of PyTorch's adaptive_avg_pool2d) or 'whole' (whole blocks
        only, the rest is cut off).
      floor: added to the MSE inside the logarithm; without it equal pictures give +inf.
      size: (height, width) both pictures are resized to first (Pillow's bicubic).
      warning: said once a process.
    """

    values: str = "rgb"
    window: str = "gaussian"
    shrink: str = "none"
    floor: float = 0.0
    size: tuple[int, int] | None = None
    warning: str = ""


PROTOCOLS = {
    "default": Protocol(),
    "rgb-native": Protocol(),
    "y-native": Protocol(values="y"),
    "restormer-y": Protocol(values="y-rounded"),
    "weatherdiff-y": Protocol(values="y"),
    "histoformer-y": Protocol(
        values="y-swapped",
        window="uniform",
        warning="histoformer-y scores as published, with red and blue swapped and a uniform "
        "window: compare it with histoformer-y numbers only",
    ),
    "reside-rgb": Protocol(shrink="adaptive"),
    "mofme-480x720": Protocol(shrink="whole", floor=1e-8, size=_MOFME_SIZE),
    "dwt-fork-global": Protocol(
        window="global",
        warning="dwt-fork-global takes SSIM over one window, the whole picture: it is near 1 for "
        "any blurred picture",
    ),
}
"""By name, as their authors' scripts compute them.

restormer-y: Restormer's evaluate_PSNR_SSIM.m; weatherdiff-y: WeatherDiffusion's
utils/metrics.py; histoformer-y: Histoformer's compute_psnr.py (it also resizes a
picture that does not fit without a word; here that is an error); reside-rgb:
DehazeFormer's test.py, which scores floats, here the file; mofme-480x720: MoFME with
piq's SSIM, also on floats there.
"""


def measure(
    prediction: UInt8[np.ndarray, "h w 3"],
    target: UInt8[np.ndarray, "H W 3"],
    protocol: str = "default",
    crop_border: int = 0,
) -> dict[str, float]:
    """PSNR (dB), SSIM and MSE (values in [0, 1]) of two pictures under a named protocol.

    MSE is taken on the values that PSNR is taken on. PSNR of equal pictures is +inf
    (mofme-480x720: 80). A side below 11 pixels shrinks the SSIM window to the largest
    odd size that fits; the uniform window's sample moments need at least 2 x 2 samples
    and fall back to population moments on a single one.

    Args:
      protocol: a name of `PROTOCOLS`.
      crop_border: pixels ignored on every side, after a resize where there is one.

    Raises:
      InputError: for an unknown protocol, pictures of different sizes, or a crop that
        leaves no pixel.
    """
    if protocol not in PROTOCOLS:
        raise errors.unknown("protocol", protocol, PROTOCOLS)
    rules = PROTOCOLS[protocol]
    if rules.warning:
        _warn_once(rules.warning)
    if rules.size:
        prediction, target = (_resize(picture, rules.size) for picture in (prediction, target))
    if prediction.shape != target.shape:
        sizes = ["x".join(map(str, picture.shape[:2])) for picture in (prediction, target)]
        raise errors.bad("prediction", sizes[0], f"expected the size of the target, {sizes[1]}")
    image.check_crop(crop_border, target.shape[:2])
    inside = np.s_[crop_border : target.shape[0] - crop_border]
    across = np.s_[crop_border : target.shape[1] - crop_border]
    x, y = (_values(picture[inside, across], rules.values) for picture in (prediction, target))
    mse = float(np.mean(np.square(x - y)))
    with np.errstate(divide="ignore"):
        psnr = float(-10 * np.log10(mse + rules.floor))
    return {"psnr": psnr, "ssim": _ssim(_shrink(x, rules), _shrink(y, rules), rules), "mse": mse}


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning(message)


def _resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))


def _values(picture: np.ndarray, kind: str) -> Float[np.ndarray, "h w c"]:
    unit = picture / 255.0
    if kind == "rgb":
        return unit
    weights = np.array(color.STUDIO_601)[:: -1 if kind == "y-swapped" else 1]
    y = (unit @ weights + 16 / 255)[..., None]
    return np.floor(y * 255 + 0.5) / 255 if kind == "y-rounded" else y


def _shrink(x: np.ndarray, rules: Protocol) -> np.ndarray:
    h, w, c = x.shape
    f = max(1, round(min(h, w) / 256))
    if rules.shrink == "none" or f == 1:
        return x
    if rules.shrink == "whole":
        whole = x[: h // f * f, : w // f * f]
        return whole.reshape(h // f, f, w // f, f, c).mean((1, 3))
    rows, columns = _bins(h, h // f), _bins(w, w // f)
    return np.einsum("Hh,hwc,Ww->HWc", rows, x, columns, optimize=True)


def _bins(before: int, after: int) -> np.ndarray:
    """Means over [floor(i n / m), ceil((i + 1) n / m)), which overlap where m divides n not."""
    matrix = np.zeros((after, before))
    for i in range(after):
        start, stop = i * before // after, -(-(i + 1) * before // after)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


def _ssim(x: np.ndarray, y: np.ndarray, rules: Protocol) -> float:
    return float(
        np.mean([_ssim_channel(x[..., c], y[..., c], rules.window) for c in range(x.shape[-1])])
    )


def _ssim_channel(x: np.ndarray, y: np.ndarray, window: str) -> float:
    size = image.window_size(x.shape)
    unbias = 1.0
    if window == "gaussian":
        kernel = filters.gaussian_kernel(image.SIGMA, size // 2)
    else:
        kernel = np.full(size, 1 / size)
        unbias = size**2 / max(size**2 - 1, 1)
    if window == "global":
        mean, unbias = np.mean, 1.0
    else:
        mean = functools.partial(_window_mean, kernel=kernel)
    mean_x, mean_y = mean(x), mean(y)
    variances = unbias * (mean(x * x + y * y) - mean_x**2 - mean_y**2)
    covariance = unbias * (mean(x * y) - mean_x * mean_y)
    c1, c2 = image.K1**2, image.K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


def _window_mean(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The weighted mean in every window that fits whole."""
    from scipy import ndimage  # a quarter of a second to import: only where it is used

    half = len(kernel) // 2
    x = ndimage.correlate1d(x, kernel, axis=0)[half : x.shape[0] - half]
    return ndimage.correlate1d(x, kernel, axis=1)[:, half : x.shape[1] - half]
