"""What the net on the router's start is worth on photographs it never saw, and its calibration.

python -m experiments.router.net --workdir=runs/moei --out=experiments/router/net.json

After `wxjax --config=configs/moei.py`. Every expert is tried on both validation splits and on
the pictures that carry soft labels; the net is trained anew by each row, the start stays.
"""

import argparse
import functools
import pathlib
import tempfile

import numpy as np
from ml_collections import ConfigDict

from wxjax import files
from wxjax.data import sources
from wxjax.evaluate.runner import Seen
from wxjax.metrics import calibration
from wxjax.recipes import moei
from wxjax.systems.moei import router as routers
from wxjax.train import weights

ROWS = ((0, 1e-4), (100, 1e-4), (200, 2e-4), (200, 1e-3))  # steps, learning rate
SPLITS = ("val_router", "val_calib")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/moei"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("net.json"))
    given = parser.parse_args()
    config = ConfigDict(files.read_json(given.workdir / "config.json"))
    variables, _ = weights.load(given.workdir / "system")
    start = variables["params"]["router"]["start"]
    load = functools.cache(lambda split: sources.open(config.data, split))
    labelled = sources.spread(load(moei.router_split(config)), config.router.labels)
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        tried = {"labels": labelled, **{split: load(split) for split in SPLITS}}
        seen = {
            split: moei.look(config, variables, source, place / split)
            for split, source in tried.items()
        }
        rows = {}
        for steps, rate in ROWS:
            logits = trained(config, seen, start, steps, rate, place / f"{steps}_{rate}")
            rows[f"{steps} steps at {rate:g}"] = {
                split: score(logits[split], seen[split]) for split in seen
            }
            if not steps:
                fits = calibrated(logits, seen)
    for name, row in rows.items():
        told = (
            f"{s} {x['right']:.3f}, {x['psnr']:.2f} of {x['oracle']:.2f}" for s, x in row.items()
        )
        print(name, "; ".join(told))
    for name, fit in fits.items():
        print(name, {key: round(value, 3) for key, value in fit.items()})
    files.write_json(given.out, {"net": rows, "calibration": fits})


def trained(config, seen: dict[str, Seen], start, steps: int, rate: float, place) -> dict:
    """Logits by split of the start with a net of so many steps; of the start alone for none."""
    if not steps:
        size = len(start["kernel"])
        ask = lambda x: x[:, -size:] @ start["kernel"] + start["bias"]
        return {split: ask(each.vector) for split, each in seen.items()}
    changed = ConfigDict(config.to_dict())
    stage = changed.stages.router
    stage.num_steps = stage.checkpoint.every_steps = stage.evaluate.every_steps = steps
    stage.optimizer.learning_rate = rate
    params = moei.train_router(changed, seen["labels"], place, start)["params"]["router"]
    net = routers.Router(**{k: changed.router[k] for k in ("kind", "width", "depth")})
    ask = lambda each: np.asarray(routers.logits(net, params, each.vector, each.grid))
    return {split: ask(each) for split, each in seen.items()}


def score(logits: np.ndarray, seen: Seen) -> dict[str, float]:
    """Share on the degradation's label, and PSNR of the expert chosen beside the best one's."""
    psnr = -10 * np.log10(np.maximum(seen.mse[:, 1:], 1e-10))
    chosen = logits.argmax(-1)
    return {
        "right": float((chosen == seen.degradation).mean()),
        "psnr": float(psnr[np.arange(len(chosen)), chosen].mean()),
        "oracle": float(psnr.max(-1).mean()),
        "best_is_own": float((psnr.argmax(-1) == seen.degradation).mean()),
    }


def calibrated(logits: dict[str, np.ndarray], seen: dict[str, Seen]) -> dict[str, dict]:
    """Fitted on one validation split, read on the other: the temperature alone, and lapses too."""
    best = {split: seen[split].mse[:, 1:].argmin(-1) for split in SPLITS}
    out = {}
    for here, there in (SPLITS, SPLITS[::-1]):
        alone = calibration.fit_temperature(logits[here], best[here]), 0.0
        both = calibration.fit_lapses(logits[here], best[here])
        for name, (t, rate) in (("temperature", alone), ("lapses", both)):
            p = calibration.with_lapses(calibration.softmax(logits[there], t), rate)
            right = p.argmax(-1) == best[there]
            out[f"{here}, {there}: {name}"] = {
                "temperature": t,
                "lapse": rate,
                "nll": calibration.nll(p, best[there]),
                "ece": calibration.ece(p.max(-1), right),
            }
    return out


if __name__ == "__main__":
    main()
