"""Takes the averaged weights of a training that goes on, and finishes them apart.

python -m experiments.weather_model.export WORKDIR OUT [--anneal=STEPS] [--config.KEY ...]

Reads the newest checkpoint of WORKDIR (which may be training), anneals for STEPS (default
0), trains the router and calibrates it, and leaves a run in OUT that restore and
`experiments.weather_model.ship` take. A killed export goes on where it was.
"""

import pathlib
import sys

from ml_collections import ConfigDict

from wxjax import files
from wxjax.systems.moei import training
from wxjax.train import checkpoint, weights


def main(workdir: str, out: str, steps: int = 0) -> None:
    source, target = pathlib.Path(workdir), pathlib.Path(out)
    config = ConfigDict(files.read_json(source / "config.json"))
    taken = target / "taken"
    if not (taken / weights.CARD).exists():
        step = max(checkpoint.steps(source / "joint" / "checkpoints"))
        weights.save(taken, checkpoint.load_variables(source / "joint", step), {"step": step})
    variables, about = weights.load(taken)
    print(f"averaged weights of step {about['step']}")
    config.stages.anneal.num_steps = steps
    files.write_json(target / "config.json", config.to_dict())
    if steps:
        variables = training.train(config, target, "anneal", variables)
    training.finish(config, variables, target)


if __name__ == "__main__":
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    steps = next((int(w.partition("=")[2]) for w in options if w.startswith("--anneal=")), 0)
    main(*(word for word in sys.argv[1:] if not word.startswith("--")), steps)
