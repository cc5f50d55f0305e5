"""docs/result.jpg: photographs of installed packages under drawn weather, and restored.

python -m experiments.picture.shipped [--model=weather] [--out=docs/result.jpg]

Public-domain and CC0 photographs (scikit-image), none of which trained the model. The
weather is that of `wxjax/systems/weather/degrade.py`, by seed. Above the input, below what
`restore` makes of it with the router's own choice.
"""

import pathlib
import sys

import cv2
import jax
import numpy as np
import PIL.Image

from wxjax import models
from wxjax.data import embedded
from wxjax.data.synthesis import depth, pools
from wxjax.evaluate.stream import Streamer
from wxjax.systems.moei import training
from wxjax.systems.weather import degrade

SHOWN = (("rocket", "rain", 5), ("chelsea", "snow", 2), ("astronaut", "haze", 9))
SIDE = 416


def square(name: str) -> np.ndarray:
    """The middle of a photograph, SIDE pixels a side."""
    rgb = embedded.photograph(name)
    side = min(rgb.shape[:2])
    y, x = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    part = rgb[y : y + side, x : x + side]
    form = cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC
    return cv2.resize(part, (SIDE, SIDE), interpolation=form)


def weather(rgb: np.ndarray, kind: str, seed: int) -> np.ndarray:
    layers = pools.make(seed, streaks=4, flakes=4, drops=1, side=SIDE)
    distance, _ = depth.pseudo(rgb, np.random.default_rng(seed))
    far = np.rint(255 * distance).astype(np.uint8)
    shares = np.eye(len(degrade.KINDS), dtype=np.float32)[[degrade.KINDS.index(kind)]]
    draws = degrade.Draws(typical=1.0, darken=0.0, noise=0.0, jpeg=0.0, blur=0.0, color=0.0)
    key = jax.random.key(seed)
    sample = degrade.degrade(key, rgb[None], far[None], layers, shares, draws=draws)
    return np.rint(255 * np.asarray(sample.image[0])).astype(np.uint8)


def main(model: str, out: str) -> None:
    folder = models.folder(model) or pathlib.Path(model)
    run = Streamer(*training.load(folder))
    columns = []
    for name, kind, seed in SHOWN:
        clean = square(name)
        image = weather(clean, kind, seed)
        restored, said = run(image)
        psnr = lambda x, y=clean: -10 * np.log10(((x / 255 - y / 255) ** 2).mean())
        route = int(said["route"][0])
        print(f"{name}: {kind}, route {route}, {psnr(image):.2f} -> {psnr(restored):.2f} dB")
        columns.append(np.vstack([image, np.full((8, SIDE, 3), 255, np.uint8), restored]))
    gap = np.full((len(columns[0]), 8, 3), 255, np.uint8)
    sheet = np.hstack([columns[0], gap, columns[1], gap, columns[2]])
    PIL.Image.fromarray(sheet).save(out, quality=88)


if __name__ == "__main__":
    flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
    main(flags.get("model", "weather"), flags.get("out", "docs/result.jpg"))
