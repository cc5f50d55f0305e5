"""How well the degradation can be read from what the router reads.

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

SPLITS = ("router", "val_router", "val_calib", "test")
FITTED = "router"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/moei"))
    workdir = parser.parse_args().workdir
    config = ConfigDict(files.read_json(workdir / "config.json"))
    task, variables, _ = evidence.system(config, workdir)
    restore = Restorer(task, variables, config.tiles)

    def look(split, most=600):
        source = sources.open(config.data, split)
        found = []
        for i in range(min(most, len(source))):
            example = source[i]
            said = restore(example["image"], force=np.int32(0))[1]
            kind = int(example["degradation"])
            found.append((said["vector"][0], said["logits"][0], kind))
        return [np.array(column) for column in zip(*found, strict=True)]

    seen = {split: look(split) for split in SPLITS}
    tokens = config.model.dims[-1]
    parts = {"mean token": np.s_[:, :tokens], "statistics of the maps": np.s_[:, tokens:]}
    for name, part in parts.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=3000))
        model.fit(seen[FITTED][0][part], seen[FITTED][2])
        scores = {split: model.score(x[part], kind) for split, (x, _, kind) in seen.items()}
        show(f"logistic regression on the {name}", scores)
    probe = variables["params"]["router"]["probe"]
    scores = {
        split: (x @ probe["kernel"] + probe["bias"]).argmax(-1) == kind
        for split, (x, _, kind) in seen.items()
    }
    show("probe trained with dense", scores)
    show("router", {split: logits.argmax(-1) == kind for split, (_, logits, kind) in seen.items()})


def show(name: str, scores: dict) -> None:
    """One line: the share that is right, split by split."""
    print(f"{name}:", ", ".join(f"{split} {np.mean(s):.3f}" for split, s in scores.items()))


if __name__ == "__main__":
    main()
