"""Where trained weights come from, and how they are read back."""

import datetime
import pathlib
import subprocess
from typing import Any

import jax
from ml_collections import ConfigDict

import wxjax
from wxjax import systems
from wxjax.data import sources
from wxjax.task import Task
from wxjax.train import weights


def key(config: ConfigDict) -> jax.Array:
    return jax.random.key(config.seed)


def of(config: ConfigDict, source: Any) -> dict[str, Any]:
    """What a result depends on besides its weights."""
    return {
        "system": config.system,
        "version": wxjax.__version__,
        "commit": commit(),
        "seed": config.seed,
        "data_hash": sources.fingerprint(source),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def commit() -> str | None:
    """The checkout's commit, where the package runs from one."""
    root = pathlib.Path(wxjax.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    found = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def read(staged: ConfigDict, folder: pathlib.Path) -> tuple[Task, dict, dict]:
    """Trained weights: the task of `staged`, variables and provenance.

    Raises:
      InputError: where the weights are damaged, or belong to another model.
    """
    variables, about = weights.load(folder)
    variables = weights.widened(variables)
    task = systems.make(staged)
    weights.check(variables, jax.eval_shape(task.init, key(staged), {}), folder)
    return task, variables, about
