"""Named ways to score a file: the same picture moves by 8 dB from one to the next.

Host functions in float64 on uint8 pictures `[h w 3]`, so that a number belongs to the
file that was written. A protocol says on which values PSNR and SSIM are taken; none
hides a change of size, but for the two that are defined by one.
"""

import functools
import logging
import math
import os
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from wxjax import errors
from wxjax.metrics import image
from wxjax.ops import color, filters

_log = logging.getLogger(__name__)
_MOFME_SIZE = (480, 720)  # height, width
_ROWS = 64  # at a time: what a core works on stays in its cache


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
      ssim_values: of SSIM where they are not those of PSNR.
      floor: added to the MSE inside the logarithm; without it equal pictures give +inf.
      size: (height, width) both pictures are resized to first (Pillow's bicubic).
      warning: said once a process.
    """

    values: str = "rgb"
    window: str = "gaussian"
    shrink: str = "none"
    ssim_values: str = ""
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
    "rvsd": Protocol(ssim_values="y"),
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
piq's SSIM, also on floats there; rvsd: the authors' script, pyiqa's PSNR on RGB and SSIM
on Y, a mean over frames of each video and then over videos.
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
    return measure_all([prediction], target, protocol, crop_border)[0]


def measure_all(
    predictions: Sequence[UInt8[np.ndarray, "_h _w 3"]],
    target: UInt8[np.ndarray, "H W 3"],
    protocol: str = "default",
    crop_border: int = 0,
) -> list[dict[str, float]]:
    """`measure` of several pictures against one truth, whose share of the work is done once.

    Memory is that of a few rows, however large and many the pictures are; the rows are
    shared out among the processor's cores.
    """
    if protocol not in PROTOCOLS:
        raise errors.unknown("protocol", protocol, PROTOCOLS)
    rules = PROTOCOLS[protocol]
    if rules.warning:
        _warn_once(rules.warning)
    pictures = [*predictions, target]
    if rules.size:
        pictures = [_resize(picture, rules.size) for picture in pictures]
    height, width = pictures[-1].shape[:2]
    for picture in pictures:
        if picture.shape[:2] != (height, width):
            sizes = ["x".join(map(str, v.shape[:2])) for v in (picture, pictures[-1])]
            raise errors.bad("prediction", sizes[0], f"expected the size of the target, {sizes[1]}")
    image.check_crop(crop_border, (height, width))
    inside = np.s_[crop_border : height - crop_border, crop_border : width - crop_border]
    pictures = [picture[inside] for picture in pictures]
    found = []
    for mse, ssim in zip(_mse(pictures, rules), _ssim(pictures, rules), strict=True):
        with np.errstate(divide="ignore"):
            psnr = float(-10 * np.log10(mse + rules.floor))
        found.append({"psnr": psnr, "ssim": float(ssim), "mse": float(mse)})
    return found


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


def _mse(pictures: Sequence[np.ndarray], rules: Protocol) -> np.ndarray:
    """Of each picture against the last, on the protocol's values."""

    def part(rows: slice) -> list[float]:
        *xs, y = (_values(picture[rows], rules.values) for picture in pictures)
        return [float(np.square(x - y).mean(-1).sum()) for x in xs]

    h, w = pictures[0].shape[:2]
    return _over_rows(part, h, 1) / (h * w)


def _ssim(pictures: Sequence[np.ndarray], rules: Protocol) -> np.ndarray:
    """Of each picture against the last: mean over positions of the window, then channels."""

    def values(picture: np.ndarray) -> np.ndarray:
        return _values(picture, rules.ssim_values or rules.values)

    if rules.shrink != "none":
        pictures = [_shrink(values(picture), rules) for picture in pictures]
        values = lambda picture: picture
    h, w = pictures[0].shape[:2]
    size = image.window_size((h, w))
    mean, unbias = functools.partial(_window_mean, kernel=np.full(size, 1 / size)), 1.0
    if rules.window == "gaussian":
        kernel = filters.gaussian_kernel(image.SIGMA, size // 2)
        mean = functools.partial(_window_mean, kernel=kernel)
    elif rules.window == "uniform":
        unbias = size**2 / max(size**2 - 1, 1)
    else:  # one window, the whole picture
        mean = lambda v: v.mean((0, 1), keepdims=True)
    c1, c2 = image.K1**2, image.K2**2

    def part(rows: slice) -> list[float]:
        *xs, y = (values(picture[rows]) for picture in pictures)
        mean_y, square_y, sums = mean(y), mean(y * y), []
        for x in xs:
            mean_x, square_x, product = mean(x), mean(x * x), mean(x * y)
            variances = unbias * (square_x + square_y - mean_x**2 - mean_y**2)
            covariance = unbias * (product - mean_x * mean_y)
            luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
            found = luminance * (2 * covariance + c2) / (variances + c2)
            sums.append(float(found.mean(-1).sum()))
        return sums

    if rules.window == "global":
        return np.asarray(part(np.s_[:]))
    return _over_rows(part, h, size) / ((h - size + 1) * (w - size + 1))


def _over_rows(part: Callable[[slice], list[float]], height: int, size: int) -> np.ndarray:
    """Sums of `part` over all rows, taken so that every window of `size` lies in one slice."""
    starts = range(0, height - size + 1, _ROWS)
    slices = [slice(i, min(i + _ROWS + size - 1, height)) for i in starts]
    with futures.ThreadPoolExecutor(min(len(slices), os.cpu_count() or 1)) as pool:
        return np.array([math.fsum(column) for column in zip(*pool.map(part, slices), strict=True)])


def _window_mean(x: Float[np.ndarray, "h w c"], kernel: np.ndarray) -> Float[np.ndarray, "H W c"]:
    """The weighted mean in every window that fits whole, in float64."""
    half = len(kernel) // 2
    means = cv2.sepFilter2D(x, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    return means.reshape(x.shape)[half : x.shape[0] - half, half : x.shape[1] - half]
