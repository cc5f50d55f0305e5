"""The plug between a system and everything that trains, measures or ships it."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from wxjax import errors

DEGRADATIONS = ("haze", "rain", "snow")

Variables = Any  # Linen collections: {"params": ..., ...}
Batch = dict[str, Any]
Outputs = dict[str, Any]
Row = dict[str, Any]


class Task(NamedTuple):
    """A system as five pure functions.

    Attributes:
      init: `(key, batch) -> variables`.
      loss: `(variables, batch, key, step) -> (scalar, (metrics, stats))`, where
        `metrics` are named scalars and `stats` the updated mutable collections.
      predict: `(variables, batch) -> outputs`; the only inference path.
      measure: `(outputs, batch) -> {name: [b ...]}`, one value an example.
      summarize: `(rows) -> {name: float}`.
    """

    init: Callable[..., Variables]
    loss: Callable[..., tuple[Any, tuple[dict, dict]]]
    predict: Callable[..., Outputs]
    measure: Callable[..., dict[str, Any]]
    summarize: Callable[[list[Row]], dict[str, float]]


SYSTEMS = {"moei": "wxjax.systems.moei.task"}


def load(config) -> Task:
    """The task that `config.system` names; imports that system alone."""
    if config.system not in SYSTEMS:
        raise errors.unknown("config.system", config.system, SYSTEMS)
    return importlib.import_module(SYSTEMS[config.system]).make(config)
