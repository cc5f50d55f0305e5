"""Quality per byte at given hours: a baked basis against codecs that store every frame.

Bytes are those of the pixels' codes alone; nothing is entropy-coded in a basis, so any pixel of
any hour can be read by itself, which no codec allows.
"""

import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from wxjax.systems.tod import basis as bases

RANKS = (2, 4, 6, 8, 12)
QUALITIES = {"JPEG": (20, 50, 80), "WEBP": (20, 50, 80), "AVIF": (30, 50, 70)}


def compressed(frames: np.ndarray, kind: str, quality: int) -> tuple[int, np.ndarray]:
    """Bytes of all frames as files of a codec, and what comes back, uint8."""
    total, back = 0, []
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, format=kind, quality=quality)
        total += file.tell()
        file.seek(0)
        back.append(np.asarray(Image.open(file).convert("RGB")))
    return total, np.stack(back)


def codecs() -> list[str]:
    """Those that this Pillow can write."""
    from PIL import features

    return [kind for kind in QUALITIES if kind == "JPEG" or features.check(kind.lower())]


def curve(
    hours: np.ndarray, frames: np.ndarray, period: float, measure: Callable, track=iter
) -> list[dict]:
    """A row a method and setting: bytes, bits a pixel and frame, mean PSNR, SSIM, LPIPS.

    Args:
      frames: uint8 `[t h w 3]`, given and stored; measure: `(pictures, truth) -> {name: [b]}`.
    """
    count, height, width, _ = frames.shape
    ranks = [rank for rank in RANKS if rank <= count]
    jobs: Sequence = [*(("svd int8", r) for r in ranks), *(("basis", 8 * r) for r in ranks[:-1])]
    jobs = [*jobs, *((kind, quality) for kind in codecs() for quality in QUALITIES[kind])]
    found = []
    for (size, shown), (method, setting) in zip(
        (store(hours, frames, period, *job) for job in track(jobs)), jobs, strict=True
    ):
        scores = [measure({"image": a[None]}, {"target": b[None]})
                  for a, b in zip(shown, frames, strict=True)]  # fmt: skip
        psnr = [min(60.0, float(s["psnr"][0])) for s in scores]
        found.append({
            "method": method, "setting": setting, "bytes": size,
            "share": size / frames.nbytes, "bits": 8 * size / (count * height * width),
            "psnr": float(np.mean(psnr)),
            **{name: float(np.mean([s[name][0] for s in scores])) for name in ("ssim", "lpips")},
        })  # fmt: skip
    return found


def store(hours, frames, period, method: str, setting: int) -> tuple[int, Iterator | np.ndarray]:
    """Bytes of one method at one setting, and the frames as it shows them, uint8.

    `svd int8`: so many components of 8 bits; `basis`: so many bits a value, shared out.
    """
    if method not in ("svd int8", "basis"):
        return compressed(frames, method, setting)
    values = frames / np.float32(255)
    make = bases.fit if method == "svd int8" else bases.fit_bytes
    found = make(values, hours, setting, period)
    shown = (np.rint(np.clip(found(float(hour)), 0, 1) * 255).astype(np.uint8) for hour in hours)
    return found.bytes, shown


def light(hours, frames, period, mask, measure: Callable) -> list[dict]:
    """The same for light maps, float32 `[t h w 3]`: both kinds of basis, no codec.

    Args:
      measure: `(prediction, truth, mask, peak) -> {name: value}`.
    """
    peak, found = float(frames[:, mask].max()), []
    valid = np.where(mask[..., None], frames, 0)
    ranks = [rank for rank in RANKS if rank <= len(frames)]
    jobs = [*(("svd int8", rank) for rank in ranks), *(("basis", 8 * rank) for rank in ranks)]
    for method, setting in jobs:
        make = bases.fit if method == "svd int8" else bases.fit_bytes
        made = make(valid, hours, setting, period)
        scores = [measure(np.maximum(made(float(h)), 0), f, mask, peak) for h, f in
                  zip(hours, frames, strict=True)]  # fmt: skip
        error = float(np.mean([score["mse"] for score in scores]))
        found.append({
            "method": method, "setting": setting, "bytes": made.bytes,
            "share": made.bytes / frames.nbytes,
            "bits": 8 * made.bytes / frames[..., 0].size,
            "pooled": -10 * np.log10(error),
            **{name: float(np.mean([s[name] for s in scores])) for name in scores[0]},
        })  # fmt: skip
    return found
