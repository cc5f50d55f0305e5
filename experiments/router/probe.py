"""How well the degradation can be read from a picture's own statistics, network or not.

python -m experiments.router.probe --out=results.json
python -m experiments.router.probe --workdir=runs/moei --out=results.json    the router too
"""

import argparse
import pathlib
import unittest.mock

import numpy as np
from ml_collections import ConfigDict

from configs.moei import get_config
from wxjax import files
from wxjax.data import embedded, sources
from wxjax.evaluate.runner import Restorer
from wxjax.recipes import evidence
from wxjax.systems.moei import router

COUNT = 240


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results.json"))
    given = parser.parse_args()
    data = get_config().data
    fitted = {name: read(sources.open(data, name)) for name in ("train", "router")}
    seen = {name: read(examples(name)) for name in ("val_router", "val_calib", "test")}
    seen["composed"], seen["skies"] = read(composed(open=0.0)), read(composed(open=1.0))
    found = {}
    for splits in (("train",), ("router",), ("train", "router")):
        x, kind = (np.concatenate(parts) for parts in zip(*map(fitted.get, splits), strict=True))
        for strength in (0.1, 0.3, 1.0):
            start = router.fit_start(x, kind, 3, strength)
            found[f"{'+'.join(splits)} strength {strength}"] = {
                split: score(x @ start["kernel"] + start["bias"], kind)
                for split, (x, kind) in seen.items()
            }
    if given.workdir:
        found["router"] = {
            name: routed(given.workdir, name) for name in ("val_router", "val_calib")
        }
        found["router"]["test"] = routed(given.workdir, "test")
    for name, row in found.items():
        print(
            name, ", ".join(f"{split} {s['right']:.3f}/{s['nll']:.3f}" for split, s in row.items())
        )
    files.write_json(given.out, found)


def examples(split: str):
    """The split's photographs as the run evaluates them, validation with more of them."""
    data = get_config().data
    count = data.eval_count if split == "test" else COUNT
    return embedded.Embedded(split, crop=data.eval_crop, count=count)


def composed(open: float):
    """Scenes of the validation photographs as in training, `open` of them under a wide sky."""
    splits = {"composed": embedded.SPLITS["val_router"] + embedded.SPLITS["val_calib"]}
    with unittest.mock.patch.dict(embedded.SPLITS, splits):
        source = embedded.Embedded("composed", crop=get_config().data.eval_crop, count=COUNT)
        source.composed, source.open = True, open
        source._plans = [source._plan(i) for i in range(COUNT)]
        return [source[i] for i in range(COUNT)]


def read(source) -> tuple[np.ndarray, np.ndarray]:
    """Statistics and degradation of every picture."""
    every = [source[i] for i in range(len(source))]
    x = np.stack([router.signs_of(example["image"]) for example in every])
    return x, np.array([int(example["degradation"]) for example in every])


def score(logits: np.ndarray, kind: np.ndarray) -> dict[str, float]:
    """Share that is right, and mean negative log-likelihood in nats."""
    z = logits - logits.max(-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    nll = -log_p[np.arange(len(kind)), kind].mean()
    return {"right": float((z.argmax(-1) == kind).mean()), "nll": float(nll)}


def routed(workdir: pathlib.Path, split: str) -> dict[str, float]:
    """What the trained router answers, uncalibrated."""
    config = ConfigDict(files.read_json(workdir / "config.json"))
    task, variables, _ = evidence.system(config, workdir)
    restore = Restorer(task, variables, config.tiles)
    source = sources.open(config.data, split)
    every = [source[i] for i in range(len(source))]
    logits = [restore(x["image"], force=np.int32(0))[1]["logits"][0] for x in every]
    return score(np.array(logits), np.array([int(x["degradation"]) for x in every]))


if __name__ == "__main__":
    main()
