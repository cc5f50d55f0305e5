"""Sixty samples of the synthesis, and the statistics of its residuals beside public pairs'.

python -m experiments.synthesis.run PHOTOGRAPHS [--pairs=DIR] [--out=DIR]

PHOTOGRAPHS is what `experiments.weather_model.prepare` stores; DIR of pairs holds
`pairs.csv`. Writes `samples.png` (not committed: it shows photographs) and
`results/statistics.json`.

The residual is input minus truth. `along` and `across`: full widths at half maximum of its
autocorrelation's central peak along and across the direction in which that is longest, in
pixels; `above`, `below`: the share of pixels that differ from their surroundings (a blur of
sigma 8) by more than 0.1; `contrast`: standard deviation of the input over that of the truth;
`red_blue`: mean of R - B of the residual. Means over pictures.
"""

import collections
import pathlib
import sys

import cv2
import jax
import numpy as np

from experiments.weather_model import measure
from wxjax import files
from wxjax.data import photographs
from wxjax.data.synthesis import pools
from wxjax.systems.weather import degrade


def statistics(image: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Of one pair, float in [0, 1]."""
    residual = image - truth
    grey = residual.mean(-1)
    around = cv2.GaussianBlur(grey, (0, 0), 8)
    along, across = widths(grey - around)
    return {
        "psnr": float(-10 * np.log10((residual**2).mean() + 1e-10)),
        "along": along,
        "across": across,
        "above": float((grey - around > 0.1).mean()),
        "below": float((grey - around < -0.1).mean()),
        "contrast": float(image.std() / max(1e-6, truth.std())),
        "red_blue": float((residual[..., 0] - residual[..., 2]).mean()),
    }


def widths(x: np.ndarray, reach: int = 40) -> tuple[float, float]:
    """Longest and shortest full width at half maximum of the autocorrelation's peak."""
    x = x - x.mean()
    power = np.abs(np.fft.fft2(x)) ** 2
    peak = np.fft.fftshift(np.fft.ifft2(power).real)
    h, w = peak.shape
    peak = peak / max(1e-12, peak[h // 2, w // 2])
    found = []
    for angle in np.deg2rad(np.arange(0, 180, 5)):
        r = np.arange(0, min(reach, h // 2 - 1, w // 2 - 1), 0.5)
        y, x = h // 2 + r * np.sin(angle), w // 2 + r * np.cos(angle)
        line = cv2.remap(
            peak.astype(np.float32), x[None].astype(np.float32), y[None].astype(np.float32), 1
        )[0]
        under = np.flatnonzero(line < 0.5)
        found.append(2 * r[under[0]] if len(under) else 2 * r[-1])
    return float(max(found)), float(min(found))


def means(rows: list[dict]) -> dict[str, float]:
    return {"count": len(rows)} | {
        k: round(float(np.mean([r[k] for r in rows])), 3) for k in rows[0]
    }


def main(stored: str, pairs: str | None, out: str) -> None:
    source = photographs.Photographs(stored)
    layers = jax.device_put(pools.make(0, streaks=192, flakes=128, drops=64))
    program = jax.jit(degrade.degrade)
    rng = np.random.default_rng(0)
    groups = collections.defaultdict(list)
    tiles = []
    for number in range(20):
        kinds = np.resize(np.arange(len(degrade.KINDS)), 35)
        crops = [source.crop(rng, 256) for _ in kinds]
        clean, depth = (np.stack(x) for x in zip(*crops, strict=True))
        shares = np.eye(len(degrade.KINDS), dtype=np.float32)[kinds]
        sample = jax.device_get(program(jax.random.key(number), clean, depth, layers, shares))
        for i, kind in enumerate(kinds):
            name = f"ours, {degrade.KINDS[kind]}"
            if kind:
                groups[name].append(statistics(sample.image[i], sample.target[i]))
            if len(tiles) < 60 and number < 2:
                tiles.append(np.vstack([sample.image[i], sample.target[i]]))
    if pairs:
        for name, _, _, image, truth in measure.pairs(pathlib.Path(pairs)):
            groups[name].append(statistics(image / np.float32(255), truth / np.float32(255)))
    folder = pathlib.Path(out)
    files.write_json(folder / "statistics.json", {k: means(v) for k, v in groups.items()})
    sheet = np.vstack([np.hstack(tiles[r : r + 10]) for r in range(0, 60, 10)])
    cv2.imwrite(str(folder.parent / "samples.png"), np.rint(sheet[..., ::-1] * 255))
    for name, row in ((k, means(v)) for k, v in groups.items()):
        print(f"{name:36s}", "  ".join(f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    flags = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    main(words[0], flags.get("pairs"), flags.get("out", "experiments/synthesis/results"))
