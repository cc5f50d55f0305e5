"""Quality of baked light, which has no white: by one peak for all hours, and tile by tile.

Irradiance is linear and unbounded; a mask says which texels are of a surface. NumPy, float64.
"""

import numpy as np
from jaxtyping import Bool, Float

from wxjax.metrics import perceptual, protocols

TILE = 256


def psnr(
    prediction: Float[np.ndarray, "h w c"],
    target: Float[np.ndarray, "h w c"],
    mask: Bool[np.ndarray, "h w"] | None,
    peak: float,
) -> float:
    """dB over valid texels under a given peak; inf where they are equal."""
    valid = np.ones(target.shape[:2], bool) if mask is None else mask
    error = np.mean(np.square(np.float64(prediction[valid]) - target[valid]))
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.float64(peak) ** 2 / error))


def tiles(height: int, width: int, side: int = TILE) -> list[tuple[slice, slice]]:
    """Whole tiles where the map has one, smaller ones at its right and lower border."""
    return [
        (slice(y, min(y + side, height)), slice(x, min(x + side, width)))
        for y in range(0, height, side)
        for x in range(0, width, side)
    ]


def measure(
    prediction: Float[np.ndarray, "h w 3"],
    target: Float[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"] | None,
    peak: float,
) -> dict[str, float]:
    """`psnr` (global peak), `psnr_tile` (each tile's own peak), `ssim`, `lpips`, `mse`.

    SSIM and LPIPS on tiles whose truth and prediction are divided by the truth's peak, both by
    the same: an error of exposure is not normalised away. Texels that are not valid are set to
    0 in both.
    """
    valid = np.ones(target.shape[:2], bool) if mask is None else mask
    scores = []
    for place in tiles(*target.shape[:2]):
        inside = valid[place][..., None]
        a, b = (np.where(inside, v[place], 0) for v in (prediction, target))
        top = float(b.max())
        if not inside.any() or top <= 0:
            continue
        shown = [np.rint(255 * np.clip(v / top, 0, 1)).astype(np.uint8) for v in (a, b)]
        scores.append((
            min(100.0, psnr(a, b, valid[place], top)),
            protocols.measure(*shown)["ssim"],
            perceptual.distances([shown[0]], shown[1])[0],
        ))  # fmt: skip
    tile, ssim, lpips = np.mean(scores, 0) if scores else (np.nan,) * 3
    error = float(np.mean(np.square(np.float64(prediction[valid]) - target[valid]))) / peak**2
    whole = psnr(prediction, target, mask, peak)
    return {"psnr": whole, "psnr_tile": tile, "ssim": ssim, "lpips": lpips, "mse": error}
