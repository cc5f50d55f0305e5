"""Stores the free photographs as bytes for training, and holds out some for the router.

python -m experiments.weather_model.prepare PHOTOGRAPHS OUT

PHOTOGRAPHS holds `free/` with `free.csv`, and `clean/` with `index.csv`, whose column
`free` says which of its pictures may be used. Nothing else is taken. Pictures that are
near any photograph of the embedded set (perceptual hash, in all flips and turns, at most
10 of 64 bits) are left out and named. Every fourth is held out: no part of the network
sees it; the router's labels, its calibration and the tests on clean pictures use them.
"""

import csv
import pathlib
import sys

import imagehash
import numpy as np
import PIL.Image

from wxjax import files
from wxjax.data import embedded, photographs

NEAR = 10  # bits of 64


def turns(picture: PIL.Image.Image) -> list:
    """Perceptual hashes of a picture in all flips and quarter turns."""
    steps = [None, *(PIL.Image.Transpose(i) for i in range(7))]
    every = [picture if step is None else picture.transpose(step) for step in steps]
    return [imagehash.phash(each) for each in every]


def chosen(root: pathlib.Path) -> list[pathlib.Path]:
    with open(root / "free.csv") as lines:
        free = [root / row["file"] for row in csv.DictReader(lines)]
    with open(root / "index.csv") as lines:
        rows = [row for row in csv.DictReader(lines) if row["free"] == "free"]
    more = [root / row["file"] for row in rows if row["file"].startswith("clean/")]
    return [path for path in free + more if path.exists()]


def main(root: pathlib.Path, out: pathlib.Path) -> None:
    shipped = map(embedded.photograph, embedded.PHOTOGRAPHS)
    known = [imagehash.phash(PIL.Image.fromarray(rgb)) for rgb in shipped]
    taken, left_out = [], []
    for path in chosen(root):
        hashes = turns(PIL.Image.open(path).convert("RGB"))
        nearest = min((a - b for a in hashes for b in known), default=64)
        (left_out if nearest <= NEAR else taken).append((path, int(nearest)))
    order = np.random.default_rng(0).permutation(len(taken))
    held = sorted(str(taken[i][0].name) for i in order[: len(taken) // 4])
    photographs.build([path for path, _ in taken], out)
    files.write_json(
        out / "split.json",
        {
            "held_out": held,
            "trained": sorted({path.name for path, _ in taken} - set(held)),
            "near_embedded": {path.name: bits for path, bits in left_out},
            "nearest_bits_taken": min(bits for _, bits in taken),
        },
    )
    print(f"{len(taken)} photographs, {len(held)} of them held out, {len(left_out)} left out")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
