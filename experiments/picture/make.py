"""Draws a landscape, puts weather over it, cleans it with a trained run: docs/result.jpg.

python -m experiments.picture.make --workdir=runs/moei
"""

import argparse
import pathlib

import cv2
import numpy as np
from ml_collections import ConfigDict

from wxjax import files
from wxjax.data import synthesis
from wxjax.data.synthesis.depth import smooth_noise
from wxjax.evaluate.runner import Restorer
from wxjax.ops.color import round_to_uint8
from wxjax.recipes import evidence

SIZE = (288, 432)


def landscape(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sky, ridges, meadow and trees, with their distance: `[h w 3]` uint8, `[h w]`."""
    h, w = SIZE
    down = np.linspace(0, 1, h)[:, None, None]
    image = np.array([0.36, 0.58, 0.86]) * (1 - down) + np.array([0.93, 0.87, 0.75]) * down
    image = np.repeat(image, w, 1)
    depth = np.full((h, w), 1.0)
    for i, far in enumerate(np.linspace(0.9, 0.25, 5)):
        waves = sum(
            rng.normal() / k * np.sin(np.linspace(0, 2 * np.pi * k, w) + rng.uniform(0, 6))
            for k in range(1, 14)
        )
        ridge = h * (0.36 + 0.1 * i) + (26 - 3 * i) * waves
        below = np.arange(h)[:, None] > ridge
        grain = smooth_noise(SIZE, 3, rng)[..., None] + 0.6 * rng.normal(size=(h, w, 1))
        near = 1 - far
        colour = np.array([0.28, 0.36, 0.42]) * far + np.array([0.30, 0.46, 0.16]) * near
        image = np.where(below[..., None], np.clip(colour * (1 + 0.16 * grain), 0, 1), image)
        depth = np.where(below, far, depth)
    for _ in range(14):
        x, base = int(rng.uniform(0, w)), int(rng.uniform(0.78, 0.98) * h)
        tall = int(rng.uniform(0.14, 0.3) * h * base / h)
        cv2.rectangle(image, (x - 2, base - tall // 3), (x + 2, base), (0.26, 0.17, 0.1), -1)
        green = tuple((np.array([0.1, 0.28, 0.1]) * rng.uniform(0.7, 1.5)).tolist())
        for step in range(4):
            top, wide = base - tall + step * tall // 6, tall // 7 + step * tall // 14
            corners = np.array(
                [[x, top - tall // 5], [x - wide, top + tall // 5], [x + wide, top + tall // 5]]
            )
            cv2.fillPoly(image, [corners], green, cv2.LINE_AA)
            cv2.fillPoly(depth, [corners], 0.1)
    return round_to_uint8(image.astype(np.float32)), depth.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/moei"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/result.jpg"))
    arguments = parser.parse_args()
    config = ConfigDict(files.read_json(arguments.workdir / "config.json"))
    task, variables, _ = evidence.system(config, arguments.workdir)
    restore = Restorer(task, variables, config.tiles)
    clean, depth = landscape(np.random.default_rng(5))
    rows = []
    for seed, kind in enumerate(("haze", "rain", "snow")):
        weather, _ = synthesis.degrade(clean, kind, np.random.default_rng(seed), 0.6, depth)
        restored, said = restore(weather, force=np.int32(-1))
        print(kind, evidence.ROUTES[int(said["route"][0])], float(said["confidence"][0]))
        rows.append(np.concatenate([weather, round_to_uint8(restored)], 0))
    picture = np.concatenate(rows, 1)
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    files.write_bytes(arguments.out, data.tobytes())


if __name__ == "__main__":
    main()
