"""Clean photographs and pictures that are none: how many come back as they were.

python -m experiments.weather_model.clean STORE MODEL [--out=FILE]

The held-out photographs of STORE that neither the network nor the gate saw, at a long side of
at most 1024, and 40 drawn pictures (`wxjax/data/foreign.py`).
"""

import pathlib
import sys

import numpy as np

from experiments.weather_model.measure import ROUTES, psnr
from wxjax import files
from wxjax.data import foreign, photographs
from wxjax.evaluate.stream import Streamer
from wxjax.systems.moei import training


def main(store: str, model: str, out: str | None) -> None:
    held = files.read_json(pathlib.Path(store) / "split.json")["held_out"]
    source = photographs.Photographs(store, held[len(held) // 2 :])
    run = Streamer(*training.load(pathlib.Path(model)))
    rng = np.random.default_rng(5)
    pictures = [(row["name"], source.picture(i)) for i, row in enumerate(source.rows)]
    pictures += [
        (f"{kind}-{i}", foreign.draw(kind, 320, rng)) for i in range(8) for kind in foreign.KINDS
    ]
    rows = []
    for name, image in pictures:
        restored, said = run(np.ascontiguousarray(image))
        change = int(np.abs(restored.astype(int) - image).max())
        route = ROUTES[int(said["route"][0])]
        row = {"name": name, "route": route, "change": change}
        row["psnr"] = None if change == 0 else round(psnr(restored, image), 2)
        rows.append(row)
    for group, of in (("photographs", rows[: len(source)]), ("drawn", rows[len(source) :])):
        same = sum(row["change"] <= 1 for row in of)
        worst = min((row["psnr"] for row in of if row["psnr"]), default=None)
        print(f"{group}: {same} of {len(of)} within a grey level; the worst {worst} dB")
    if out:
        files.write_json(pathlib.Path(out), rows)


if __name__ == "__main__":
    flags = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
    main(*(word for word in sys.argv[1:] if not word.startswith("--")), flags.get("out"))
