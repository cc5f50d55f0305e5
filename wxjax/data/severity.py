"""How strong the weather in one picture is, from 0 to 1, with no clean picture beside it."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from wxjax import errors

_SIDE = 320  # strengths are compared at one scale: the shorter side of what is measured


def estimate(image: UInt8[np.ndarray, "h w 3"], kind: str) -> float:
    """Strength of haze, rain or snow; grows with the strength of the synthesis.

    A picture statistic, not a measurement: strong texture reads as some rain or snow,
    a white wall as some haze. For one scene its order is that of the true strength.

    Raises:
      InputError: for a kind without an estimate.
    """
    if kind not in ESTIMATES:
        raise errors.unknown("kind", kind, ESTIMATES)
    return float(np.clip(ESTIMATES[kind](_shrink(image)), 0, 1))


def haze(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Dark channel (He et al. 2009, eq. 5) and the contrast that is left."""
    small = image.astype(np.float32) / 255
    dark = cv2.erode(small.min(axis=2), np.ones((15, 15), np.uint8))
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    mean = cv2.blur(gray, (15, 15))
    spread = np.sqrt(np.maximum(cv2.blur(gray * gray, (15, 15)) - mean**2, 0))
    flat = 1 - min(1.0, float(spread.mean()) / 0.15)
    return 1.15 * (0.75 * float(dark.mean()) + 0.25 * flat)


def rain(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Share of pixels on thin bright lines of the commonest steep direction, beyond chance.

    Lines are ridges of the smoothed picture (one strong negative curvature); directions
    are counted in 45-degree windows, and what the median window holds is taken for
    texture. White in each channel, as water is, so the darkest channel is read.
    """
    across, along, angle = _ridges(_darkest(image), 0.7)
    lines = (across > 0.01) & (np.abs(along) < 0.6 * across)
    counts = np.histogram(angle[lines], 36, (-90, 90))[0] / angle.size
    windows = np.convolve(np.r_[counts[-4:], counts, counts[:4]], np.ones(9), "valid")
    steep = windows[9:27]  # within 45 degrees of the vertical: rain falls
    return 4.5 * float(steep.max() - np.median(windows))


def snow(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Density of bright round blobs: maxima of a DoG, a flake each, larger ones counting more."""
    darkest = _darkest(image)
    total = 0.0
    for sigma, weight in ((0.6, 1.0), (1.8, 1.5)):
        inner = cv2.GaussianBlur(darkest, (0, 0), sigma)
        blob = inner - cv2.GaussianBlur(darkest, (0, 0), 1.6 * sigma)  # about a LoG
        peak = blob >= cv2.dilate(blob, np.ones((3, 3), np.uint8)) - 1e-7
        total += weight * float((peak & (blob > 0.04) & _round(inner)).mean())
    return 40 * total


ESTIMATES = {"haze": haze, "rain": rain, "snow": snow}


def _shrink(image: np.ndarray) -> np.ndarray:
    scale = _SIDE / min(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _darkest(image: np.ndarray) -> np.ndarray:
    return image.min(axis=2).astype(np.float32) / 255


def _curvature(inner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    orders = ((2, 0), (0, 2), (1, 1))
    xx, yy, xy = (cv2.Sobel(inner, cv2.CV_32F, *order, scale=0.25) for order in orders)
    return xx, yy, xy


def _ridges(channel: Float[np.ndarray, "h w"], sigma: float):
    """Curvature across (positive on a bright line), along, and direction in degrees."""
    xx, yy, xy = _curvature(cv2.GaussianBlur(channel, (0, 0), sigma))
    root = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    axis = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the larger curvature: along the line
    degrees = np.rad2deg(np.arctan2(np.cos(axis), np.sin(axis)))  # from the vertical
    scale = sigma**2 / 2
    return scale * (root - xx - yy), scale * (root + xx + yy), (degrees + 90) % 180 - 90


def _round(inner: Float[np.ndarray, "h w"]) -> np.ndarray:
    """Where the two curvatures are alike: a blob, not a line (Lowe 2004, section 4.1)."""
    xx, yy, xy = _curvature(inner)
    determinant = xx * yy - xy * xy
    return (determinant > 0) & ((xx + yy) ** 2 < 6.25 * determinant)  # ratio 4
