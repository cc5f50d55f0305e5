"""Real weather before and after, side by side, for the eye.

python -m experiments.weather_model.gallery FOLDER MODEL OUT

Writes a PNG a picture (before left, after right, at full size up to 1600 px a side) and
`index.html`. The pictures of others are not part of the project.
"""

import html
import pathlib
import sys

import cv2
import numpy as np

from experiments.weather_model import measure
from wxjax import files
from wxjax.data import sources
from wxjax.evaluate.stream import Streamer
from wxjax.systems.moei import training

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif")


def main(folder: str, model: str, out: str) -> None:
    task, variables, tiles = training.load(pathlib.Path(model))
    run = Streamer(task, variables, tiles)
    target = pathlib.Path(out)
    target.mkdir(parents=True, exist_ok=True)
    rows = []
    paths = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in ENDINGS)
    for path in paths:
        image = measure.smaller(sources.read_uint8(path))
        restored, said = run(image)
        route = measure.ROUTES[int(said["route"][0])]
        name = f"{path.parent.name}-{path.stem}.png"
        pair = np.hstack([image, np.full((len(image), 8, 3), 255, np.uint8), restored])
        cv2.imwrite(str(target / name), pair[..., ::-1])
        sure = float(said["confidence"][0])
        print(f"{name}: {route} {sure:.2f}", flush=True)
        rows.append(f"<p>{html.escape(name)}: {route}, {sure:.2f}<br><img src='{name}'></p>")
    files.write_text(target / "index.html", "<meta charset=utf-8>" + "\n".join(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
