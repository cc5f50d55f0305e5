"""Does a data set say what it claims: near-duplicates across splits, shifted pairs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import imagehash
import numpy as np
from jaxtyping import UInt8
from PIL import Image

_LONGEST = 1024  # pairs are aligned at this size at most
_CHUNK = 512
# An affine map is believed when it explains this share of what the shift leaves
# unexplained. On aligned pairs under heavy rain ECC wins up to a third by bending.
_SHARE = 0.67


def perceptual_hash(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """64-bit pHash (signs of the lowest DCT terms of a 32x32 picture), 16 hex digits."""
    return str(imagehash.phash(Image.fromarray(image)))


def near_duplicates(
    hashes: Sequence[str], groups: Sequence[Any], *, hamming: int = 4
) -> list[tuple[int, int, int]]:
    """(i, j, distance) of every i < j at most `hamming` bits apart in different groups."""
    bits = np.array([int(value, 16) for value in hashes], np.uint64)
    _, labels = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
    found = []
    for start in range(0, len(bits), _CHUNK):
        rows = slice(start, start + _CHUNK)
        distance = np.bitwise_count(bits[rows, None] ^ bits[None])
        close = (distance <= hamming) & (labels[rows, None] != labels[None])
        for i, j in np.argwhere(close):
            if start + i < j:
                found.append((int(start + i), int(j), int(distance[i, j])))
    return found


class Alignment(NamedTuple):
    """How far a pair is off, in pixels of the full picture.

    Attributes:
      dx, dy: shift of the degraded picture against the clean one (phase correlation).
      response: of phase correlation, 0 to 1; low where the weather hides the scene.
      affine: largest movement of a corner under the affine map of ECC; None where
        ECC found none.
      correlation: ECC's coefficient there.
      off: pixels to judge by: the shift where it makes the pair more alike (else 0), or
        the affine map's movement where it explains much more.
    """

    dx: float
    dy: float
    response: float
    affine: float | None
    correlation: float | None
    off: float


def align(raw: UInt8[np.ndarray, "h w 3"], clean: UInt8[np.ndarray, "h w 3"]) -> Alignment:
    """Phase correlation for a shift, then ECC (Evangelidis and Psarakis 2008) for an affine map.

    Both look at gradients, which haze weakens but does not move.
    """
    scale = min(1.0, _LONGEST / max(raw.shape[:2]))
    a, b = _edges(clean, scale), _edges(raw, scale)
    window = cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F)
    (dx, dy), response = cv2.phaseCorrelate(a, b, window)
    edge = int(np.ceil(max(abs(dx), abs(dy)))) + 1  # beyond it the shifted picture is made up
    before, moved = (_correlation(a, c, edge) for c in (b, _shifted(b, dx, dy)))
    # A peak that makes the pair no more alike was the weather's.
    off = float(np.hypot(dx, dy)) if moved > before else 0.0
    affine, correlation = _affine(a, b, (dx, dy) if moved > before else (0.0, 0.0))
    best = max(before, moved)
    if affine is not None and correlation - best > _SHARE * (1 - best):
        off = affine
    return Alignment(
        float(dx) / scale,
        float(dy) / scale,
        float(response),
        None if affine is None else affine / scale,
        correlation,
        off / scale,
    )


def _edges(image: np.ndarray, scale: float) -> np.ndarray:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    gray = cv2.GaussianBlur(gray, (0, 0), 1.0)
    gradient = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    return np.sqrt(gradient)  # so that few strong edges, or flakes, do not outweigh all others


def _shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    back = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        image, back, image.shape[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT
    )


def _correlation(a: np.ndarray, b: np.ndarray, edge: int) -> float:
    inside = np.s_[edge:-edge, edge:-edge] if 4 * edge < min(a.shape) else np.s_[:]
    a, b = a[inside] - a[inside].mean(), b[inside] - b[inside].mean()
    return float((a * b).sum() / (np.sqrt((a * a).sum() * (b * b).sum()) + 1e-9))


def _affine(a: np.ndarray, b: np.ndarray, start: tuple[float, float]):
    warp = np.array([[1, 0, start[0]], [0, 1, start[1]]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    try:
        value, warp = cv2.findTransformECC(a, b, warp, cv2.MOTION_AFFINE, stop, None, 3)
    except cv2.error:  # it does not converge where the weather hides the scene
        return None, None
    h, w = a.shape
    corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]], np.float32)
    moved = corners @ warp.T - corners[:, :2]
    # A pair that is turned moves its corners; the middle two values forgive one bad corner.
    return float(np.median(np.hypot(*moved.T))), float(value)
