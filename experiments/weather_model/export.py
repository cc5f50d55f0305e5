"""Takes the averaged weights of a training that goes on, and finishes them apart.

python -m experiments.weather_model.export WORKDIR OUT [--anneal=STEPS] [--config.KEY ...]

Reads the newest checkpoint of WORKDIR (which may be training), anneals for STEPS (default
0), trains the router and calibrates it, and leaves a run in OUT that restore and
`experiments.weather_model.ship` take. A killed export goes on where it was.

Annealing starts from the parameters themselves, which an average lags behind while they still
learn fast, and wants as many devices as the training had. Without it the average is taken.
"""

import pathlib
import sys

import jax
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from wxjax import files
from wxjax.systems.moei import training
from wxjax.train import checkpoint, weights


def newest_parameters(folder: pathlib.Path, step: int) -> dict:
    """The parameters of a checkpoint as they were, not their average."""
    path = (folder / "checkpoints" / str(step)).absolute()
    state = ocp.load_checkpointables(path, {"train": None})["train"]
    return {"params": jax.device_get(state["params"])}


def main(workdir: str, out: str, steps: int = 0) -> None:
    source, target = pathlib.Path(workdir), pathlib.Path(out)
    config = ConfigDict(files.read_json(source / "config.json"))
    taken = target / "taken"
    if not (taken / weights.CARD).exists():
        step = max(checkpoint.steps(source / "joint" / "checkpoints"))
        fetch = newest_parameters if steps else checkpoint.load_variables
        weights.save(taken, fetch(source / "joint", step), {"step": step})
    variables, about = weights.load(taken)
    print(f"weights of step {about['step']}")
    config.stages.anneal.num_steps = steps
    files.write_json(target / "config.json", config.to_dict())
    if steps:
        variables = training.train(config, target, "anneal", variables)
    training.finish(config, variables, target)


if __name__ == "__main__":
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    steps = next((int(w.partition("=")[2]) for w in options if w.startswith("--anneal=")), 0)
    main(*(word for word in sys.argv[1:] if not word.startswith("--")), steps)
