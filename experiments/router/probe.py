"""How well linear classifiers read the degradation from what the router reads.

python -m experiments.router.probe --workdir=runs/moei
"""

import argparse
import pathlib

import numpy as np
from ml_collections import ConfigDict
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wxjax import files
from wxjax.data import sources
from wxjax.evaluate.runner import Restorer
from wxjax.recipes import evidence

READS = {"mean": [0], "std": [1], "mean+std": [0, 1], "all": [0, 1, 2, 3]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/moei"))
    workdir = parser.parse_args().workdir
    config = ConfigDict(files.read_json(workdir / "config.json"))
    task, variables, _ = evidence.system(config, workdir)
    restore = Restorer(task, variables, config.tiles)

    def look(split, most=600):
        source = sources.open(config.data, split)
        seen, kinds = [], []
        for i in range(min(most, len(source))):
            example = source[i]
            said = restore(example["image"], force=np.int32(0))[1]
            grid = said["grid"][0].reshape(64, -1)
            seen.append((said["vector"][0], grid.std(0), grid.max(0), grid.min(0)))
            kinds.append(int(example["degradation"]))
        return np.array(seen), np.array(kinds)

    splits = {name: look(name) for name in ("train", "val_router", "val_calib", "test")}
    for read, parts in READS.items():
        flat = {n: (x[:, parts].reshape(len(x), -1), y) for n, (x, y) in splits.items()}
        for fitted in ("train", "val_router"):
            for c in (0.01, 0.1, 1.0):
                model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
                model.fit(*flat[fitted])
                scores = {name: f"{model.score(*xy):.3f}" for name, xy in flat.items()}
                print(read, f"C={c}", f"fitted on {fitted}:", scores)


if __name__ == "__main__":
    main()
