"""How steady a restored clip is: warping error, flow differences, and a flow-free difference.

Optical flow is OpenCV's DIS (Kroeger et al., 2016) at its medium preset. Scores taken with
another flow are not comparable: write `FLOW` beside every number.

Host functions on uint8 clips `[t h w 3]`.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

FLOW = "opencv DIS, medium preset"


def flow(
    first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 2"]:
    """Where each pixel of `first` lies in `second`: steps right and down, in pixels."""
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    return finder.calc(*grey, None)


def warp(image: np.ndarray, way: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w c"]:
    """`image` read at x + way(x), between pixels by straight lines."""
    h, w = way.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    place = x + way[..., 0], y + way[..., 1]
    return cv2.remap(
        image.astype(np.float32), *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def visible(
    forward: Float[np.ndarray, "h w 2"], backward: Float[np.ndarray, "h w 2"]
) -> Bool[np.ndarray, "h w"]:
    """Pixels that both frames show, away from where motion breaks off.

    |f + b(x + f)|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5, inside the frame, and
    |grad f|^2 <= 0.01 |f|^2 + 0.002 (Ruder et al. 2016; Lai et al. 2018).
    """
    h, w = forward.shape[:2]
    back = warp(backward, forward)
    length = lambda way: (way**2).sum(-1)
    agree = length(forward + back) <= 0.01 * (length(forward) + length(back)) + 0.5
    y, x = np.mgrid[:h, :w].astype(np.float32)
    right, down = x + forward[..., 0], y + forward[..., 1]
    inside = (right >= 0) & (right <= w - 1) & (down >= 0) & (down <= h - 1)
    slopes = sum(length(np.stack(np.gradient(forward[..., i]), -1)) for i in (0, 1))
    return agree & inside & (slopes <= 0.01 * length(forward) + 0.002)


def measure(
    output: UInt8[np.ndarray, "t h w 3"], clean: UInt8[np.ndarray, "t h w 3"]
) -> dict[str, float]:
    """Temporal scores of a restored clip against its truth, lower is steadier.

    Returns:
      `warping`: mean over pairs of frames of sum M |O_t - warp(O_t+1)|^2 / sum M over
        visible pixels and channels, values in [0, 1], flow of the clean clip (Lai et al.
        2018); `warping_floor`: the same of the clean clip; `tof`: mean |flow(G_t-1, G_t) -
        flow(O_t-1, O_t)| in pixels (TecoGAN); `difference`: mean squared
        (O_t - O_t-1) - (G_t - G_t-1), no flow in it. A single frame has none.
    """
    sums: dict[str, list[float]] = {
        k: [] for k in ("warping", "warping_floor", "tof", "difference")
    }
    for t in range(len(clean) - 1):
        forward, backward = flow(clean[t], clean[t + 1]), flow(clean[t + 1], clean[t])
        mask = visible(forward, backward)
        if mask.any():
            sums["warping"].append(warping_error(output[t], output[t + 1], forward, mask))
            sums["warping_floor"].append(warping_error(clean[t], clean[t + 1], forward, mask))
        sums["tof"].append(float(np.abs(forward - flow(output[t], output[t + 1])).mean()))
        pair = [x[t : t + 2].astype(np.float32) / 255 for x in (output, clean)]
        moves = [x[1] - x[0] for x in pair]
        sums["difference"].append(float(((moves[0] - moves[1]) ** 2).mean()))
    return {name: float(np.mean(values)) for name, values in sums.items() if values}


def warping_error(
    first: np.ndarray, second: np.ndarray, forward: np.ndarray, mask: np.ndarray
) -> float:
    """Mean squared difference of two uint8 frames along a flow, where the mask is true."""
    gap = (first.astype(np.float32) - warp(second, forward)) / 255
    return float((gap[mask] ** 2).mean())


def profile(clip: UInt8[np.ndarray, "t h w 3"], row: int | None = None) -> np.ndarray:
    """One row of pixels over time, `[t w 3]`: flicker shows as noise, steadiness as lines."""
    return clip[:, clip.shape[1] // 2 if row is None else row]
