"""Several ways to enlarge the same frames, measured on what a file would hold.

One value a frame and way; means with bootstrap intervals over frames, and paired
differences from the first way. Pictures are kept beside the numbers.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from wxjax import errors, files
from wxjax.evaluate import runner
from wxjax.metrics import restoration, statistics
from wxjax.ops import color

METRICS = ("psnr", "ssim", "lpips", "bias")


def measure(
    ways: Mapping[str, Callable],
    source: Any,
    out: pathlib.Path,
    *,
    samples: int,
    crop_border: int = 0,
) -> dict[str, Any]:
    """Writes `frames.jsonl` and `samples/`, and returns the summary.

    Args:
      ways: name -> `image [h w c]` of 8 or 16 bits to `[H W c]` float32; the first is what
        the others are compared with.
      source: examples with `image` and `target`.
      samples: pictures to keep.

    Raises:
      InputError: for a source without pairs, or of another factor than a way's.
    """
    rows: list[dict] = []
    for number, example in enumerate(runner.track(source, len(source), "measure")):
        if "target" not in example or "image" not in example:
            raise errors.InputError(f"{example['id']}: no large frame beside the small one.")
        truth = codes(example["target"])
        pictures = {}
        for name, way in ways.items():
            found, said = way(example["image"])
            if found.shape[:2] != truth.shape[:2]:
                sizes = [f"{x.shape[1]}x{x.shape[0]}" for x in (found, truth)]
                rule = f"expected the truth's size, {sizes[1]}. Another factor?"
                raise errors.bad(example["id"], f"{name} gives {sizes[0]}", rule)
            pictures[name] = codes(found)
            scores = score(pictures[name], truth, crop_border)
            rows.append({"id": example["id"], "kind": example["kind"], "way": name, **scores})
            if "latency_ms" in said:
                rows[-1]["ms_per_mp"] = said["latency_ms"] / (truth.shape[0] * truth.shape[1] / 1e6)
        if number < samples:
            keep(out / "samples", number, example, pictures, truth)
    files.write_jsonl(out / "frames.jsonl", rows)
    return {
        "frames": len(source),
        "protocol": "8-bit codes, grey, full range; SSIM 11x11 Gaussian window; LPIPS AlexNet; "
        f"border crop {crop_border}",
        "ways": summarize(rows, list(ways)),
        "kinds": {
            kind: summarize([row for row in rows if row["kind"] == kind], list(ways))
            for kind in sorted({row["kind"] for row in rows})
        },
        "ids": [row["id"] for row in rows if row["way"] == next(iter(ways))],
    }


def codes(x: np.ndarray) -> np.ndarray:
    """`[h w 1]` or `[h w 3]` uint8, as an 8-bit file would hold it."""
    if x.dtype == np.uint16:
        return np.floor(x / 257 + 0.5).astype(np.uint8)
    return x if x.dtype == np.uint8 else np.asarray(color.round_to_uint8(x))


def score(picture: np.ndarray, truth: np.ndarray, crop_border: int) -> dict[str, float]:
    """PSNR, SSIM, LPIPS, and the mean error in grey levels."""
    pair = [np.broadcast_to(x, (*x.shape[:2], 3))[None] for x in (picture, truth)]
    options = dict(protocol="default", crop_border=crop_border)
    found = restoration.measure({"image": pair[0]}, {"target": pair[1]}, **options)
    bias = picture.astype(np.float64).mean() - truth.astype(np.float64).mean()
    return {**{name: float(found[name][0]) for name in ("psnr", "ssim", "lpips")}, "bias": bias}


def summarize(rows: list[dict], ways: list[str]) -> dict[str, dict]:
    """For each way and metric the mean with its interval, and the difference from the first."""
    table = {
        way: {name: np.array([row[name] for row in rows if row["way"] == way]) for name in METRICS}
        for way in ways
    }
    out: dict[str, dict] = {}
    for way in ways:
        out[way] = {}
        for name in METRICS:
            values = table[way][name]
            out[way][name] = interval(values)
            if way != ways[0]:
                out[way][f"{name}_gain"] = interval(values - table[ways[0]][name])
        spent = [row["ms_per_mp"] for row in rows if row["way"] == way and "ms_per_mp" in row]
        out[way]["ms_per_mp"] = float(np.median(spent)) if spent else None
    return out


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean and 95 % bootstrap interval over frames."""
    found = statistics.bootstrap(np.asarray(values, np.float64))
    return {name: found[name] for name in ("mean", "low", "high")}


def keep(
    folder: pathlib.Path,
    number: int,
    example: Mapping,
    pictures: Mapping[str, np.ndarray],
    truth: np.ndarray,
) -> None:
    """One strip a frame: the richest window of the small frame, each way, and the truth."""
    from PIL import Image

    side = min(96, *truth.shape[:2])
    y, x = busiest(truth[..., 0], side)
    scale = truth.shape[0] // example["image"].shape[0]
    small = codes(example["image"])[
        y // scale : (y + side) // scale, x // scale : (x + side) // scale
    ]
    small = small.repeat(scale, 0).repeat(scale, 1)[:side, :side]
    cut = np.s_[y : y + small.shape[0], x : x + small.shape[1]]
    parts = [small, *(picture[cut] for picture in pictures.values()), truth[cut]]
    strip = np.concatenate([part[..., 0] for part in parts], 1).repeat(2, 0).repeat(2, 1)
    with files.atomic(folder / f"{number:02d}.png") as handle:
        Image.fromarray(strip).save(handle, format="PNG")
    names = ["input", *pictures, "truth"]
    about = {"id": example["id"], "window": [int(y), int(x), int(side)], "parts": names}
    files.write_json(folder / f"{number:02d}.json", about)


def busiest(truth: np.ndarray, side: int) -> tuple[int, int]:
    """Row and column, multiples of 8, of the window with most change in it."""
    change = np.abs(np.diff(truth.astype(np.float32), axis=0))[:, 1:]
    change = change + np.abs(np.diff(truth.astype(np.float32), axis=1))[1:]
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = (range(0, max(1, n - side), 8) for n in truth.shape)
    best, place = -1.0, (0, 0)
    for y in rows:
        for x in columns:
            y2, x2 = min(y + side, len(change)), min(x + side, change.shape[1])
            total = sums[y2, x2] - sums[y, x2] - sums[y2, x] + sums[y, x]
            if total > best:
                best, place = total, (y, x)
    return place
