"""Raw pixels as features: what any trained network must be far above.

    python -m experiments.reid.baselines --out=experiments/reid/baselines.json \
        people synthnt=rgbnt201:DIR omniglot3=npz:FILE
"""

import argparse
import pathlib

import numpy as np

from wxjax import files
from wxjax.systems.reid import measure as evaluation
from wxjax.systems.reid import ranking
from wxjax.systems.reid.data import gallery
from wxjax.systems.reid.data.pedestrians import Pedestrians


def score(known, feature: np.ndarray) -> dict:
    ranked, _, _ = evaluation.compare(known, feature)
    found = ranking.scores(ranked)
    return {name: found[name] for name in ("valid", "map", "minp", "rank1")}


def measure(source) -> dict:
    known = evaluation.describe(source)
    whole = evaluation.raw_pixels(source)
    bands = np.split(whole, len(source.modalities), 1)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    alone = dict(zip(source.modalities, bands, strict=True))
    return {"all": score(known, whole)} | {n: score(known, unit(x)) for n, x in alone.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("baselines.json"))
    options = parser.parse_args()
    found = {}
    for text in options.sets:
        name, _, place = text.partition("=")
        if not place:
            source = Pedestrians("test", identities=40, takes=4)
        else:
            layout, _, root = place.partition(":")
            bands = ("ink", "time", "direction") if layout == "npz" else ("rgb", "nir", "tir")
            size = (48, 48) if layout == "npz" else (128, 64)
            source = gallery.read(root, layout, "test", modalities=bands, size=size)
        found[name] = measure(source)
        for band, row in found[name].items():
            print(f"{name:12s} {band:10s} mAP {100 * row['map']:.1f}  "
                  f"Rank-1 {100 * row['rank1']:.1f}  ({row['valid']} queries)")  # fmt: skip
    files.write_json(options.out, found)


if __name__ == "__main__":
    main()
