"""What a restored picture is worth: one value an example, and means over rows."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from wxjax.metrics import perceptual, protocols, statistics
from wxjax.ops import color

METRICS = ("psnr", "ssim", "mse", "lpips")


def measure(
    outputs: Mapping[str, Any], batch: Mapping[str, Any], *, protocol: str, crop_border: int
) -> dict[str, np.ndarray]:
    """PSNR, SSIM, MSE and LPIPS of each example, on the 8-bit picture that is written.

    A single target stands for all images, and its share of the work is done once.
    """
    pictures, truths = ([eight_bits(x) for x in v] for v in (outputs["image"], batch["target"]))
    groups = [pictures] if len(truths) == 1 else [[picture] for picture in pictures]
    found = []
    for group, truth in zip(groups, truths, strict=True):
        scores = protocols.measure_all(group, truth, protocol, crop_border)
        far = perceptual.distances(group, truth)
        found += [{**score, "lpips": d} for score, d in zip(scores, far, strict=True)]
    return {name: np.array([x[name] for x in found]) for name in METRICS}


def squared_error(outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """MSE alone, on the 8-bit picture: all that soft labels and calibration need."""
    images = outputs["image"]
    pairs = zip(images, np.broadcast_to(batch["target"], np.shape(images)), strict=True)
    errors = [eight_bits(a) / 255.0 - eight_bits(b) / 255.0 for a, b in pairs]
    return {"mse": np.asarray([np.mean(error**2) for error in errors])}


def eight_bits(image: Any) -> np.ndarray:
    """uint8 as is; float images clipped and rounded as a file would be."""
    image = np.asarray(image)
    return image if image.dtype == np.uint8 else np.asarray(color.round_to_uint8(image))


def summarize(rows: list[dict]) -> dict[str, float]:
    """Means a degradation, their mean over degradations (macro), and H-Mean of the macros."""
    out: dict[str, float] = {}
    kinds = sorted({row["degradation"] for row in rows})
    for name in (name for name in ("psnr", "ssim", "lpips") if name in rows[0]["metrics"]):
        means = {}
        for kind in kinds:
            values = [row["metrics"][name] for row in rows if row["degradation"] == kind]
            finite = [v for v in values if v is not None and math.isfinite(v)]
            if finite:
                means[kind] = float(np.mean(finite))
        out |= {f"{name}_{kind}": mean for kind, mean in means.items()}
        out[f"{name}_macro"] = float(np.mean(list(means.values())))
    if "psnr_macro" in out and "lpips_macro" in out:
        out["hmean"] = float(statistics.h_mean(out["psnr_macro"], out["lpips_macro"]))
    return out
