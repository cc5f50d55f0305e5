"""What recipes are made of: one stage of training, and the config that it sees."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import grain
import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import mesh as meshes
from wxjax import systems
from wxjax.data import pipeline
from wxjax.task import DEGRADATIONS, Task
from wxjax.train import checkpoint, loop
from wxjax.train.state import TrainState

TRAINING = ("num_steps", "ema_decay", "accumulate", "log_every")


def stage_config(config: ConfigDict, stage: str, length: str, **changes: Any) -> ConfigDict:
    """`config` as one stage's task and the loop see it.

    Args:
      stage: what trains, `config.stage` (dense, dehaze, ..., router).
      length: which of `config.stages` says how long and how fast.
    """
    out = ConfigDict(json.loads(config.to_json_best_effort()))
    out.stage = stage
    training = config.stages[length]
    for name, value in training.items():
        if name != "evaluate":
            out[name] = value
    out.evaluate.update(training.evaluate)
    for name, value in changes.items():
        out[name] = value
    return out


def train(
    config: ConfigDict,
    source: Any,
    workdir: pathlib.Path,
    *,
    name: str,
    variables: Any = None,
    validation: Any = None,
) -> dict:
    """One stage of image training; returns averaged variables, at once where it is done."""
    task = systems.make(config)
    batches = pipeline.train_batches(
        source,
        crops=tuple(config.data.crops),
        batch_size=config.data.batch_size,
        seed=config.seed,
        num_steps=config.num_steps,
        augment=config.data.augment,
        emphasis=config.data.emphasis,
    )
    evaluate = validator(task, validation) if validation is not None else None
    state = loop.train(
        task, config, batches, workdir, variables=variables, evaluate=evaluate, name=name
    )
    return chosen(config, workdir, state)


def chosen(config: ConfigDict, workdir: pathlib.Path, state: TrainState) -> dict:
    """Averaged variables of the best step of `checkpoint.best`, of the last where none is named."""
    step = checkpoint.best_step(workdir / "checkpoints", config.checkpoint.best)
    if step in (None, int(state.step)):
        return jax.device_get(state.variables)
    print(f"step {step} was best by {config.checkpoint.best}, and is used")
    return checkpoint.load_variables(workdir, step)


def validator(task: Task, batch: dict) -> Callable:
    """Macro figures on one fixed batch of crops, for the training curves."""
    predict = jax.jit(task.predict)

    def evaluate(variables, step):
        outputs = predict(variables, {"image": batch["image"]})
        values = task.measure(jax.device_get(outputs), batch)
        rows = [
            {"degradation": kind, "metrics": {name: float(v[i]) for name, v in values.items()}}
            for i, kind in enumerate(batch["kind"])
        ]
        return task.summarize(rows)

    return evaluate


def validation_batch(source: Any, *, side: int, count: int) -> dict:
    """The middle `side` x `side` pixels of `count` examples spread over a source."""
    picks = np.unique(np.linspace(0, len(source) - 1, count).round().astype(int))
    images, targets, kinds = [], [], []
    for i in picks:
        example = source[int(i)]
        h, w, _ = example["image"].shape
        if min(h, w) < side or int(example["degradation"]) < 0:
            continue
        y, x = (h - side) // 2, (w - side) // 2
        place = np.s_[y : y + side, x : x + side]
        images.append(example["image"][place] / np.float32(255))
        targets.append(example["target"][place])
        kinds.append(DEGRADATIONS[int(example["degradation"])])
    return {"image": np.stack(images), "target": np.stack(targets), "kind": kinds}


def train_on_arrays(
    config: ConfigDict,
    arrays: dict[str, np.ndarray],
    workdir: pathlib.Path,
    *,
    batch_size: int,
    name: str,
    variables: Any = None,
) -> dict:
    """One stage on examples that fit in memory, such as a router's vectors."""
    task = systems.make(config)
    source = Rows(arrays)
    batches = iter(
        grain.MapDataset.source(source)
        .seed(config.seed)
        .shuffle()
        .repeat(None)
        .batch(min(batch_size, len(source)), drop_remainder=True)
        .to_iter_dataset()
    )
    mesh = meshes.make(1)
    state = loop.train(task, config, batches, workdir, variables=variables, name=name, mesh=mesh)
    return jax.device_get(state.variables)


class Rows:
    """Named arrays with one leading axis as a random-access source."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self._length = len(next(iter(self._arrays.values())))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> dict:
        return {name: array[i] for name, array in self._arrays.items()}

    def __repr__(self) -> str:
        shapes = {name: array.shape for name, array in self._arrays.items()}
        return f"Rows({shapes})"
