"""The plug between a system and everything that trains, measures or ships it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

DEGRADATIONS = ("haze", "rain", "snow")

Variables = Any  # Linen collections: {"params": ..., ...}
Batch = dict[str, Any]
Outputs = dict[str, Any]
Row = dict[str, Any]


@runtime_checkable
class Source(Protocol):
    """Examples at random access: what a data set is to everything that reads it.

    An example is a dict with `id`; `index` is its stable number. Two sources of equal `repr`
    hold the same examples: a run that goes on compares it.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> dict[str, Any]: ...


class Parts(NamedTuple):
    """Inference in pieces, for images larger than the memory (`evaluate/stream.py`).

    Attributes:
      look: `(variables, route, tiles [n t t 3]) -> {tokens [n k k d], maps, moments}`.
      mix: `(variables, seen, force) -> {tokens [l d], route [], said}`.
      finish: `(variables, route, tokens [n k k d], tiles, maps=None) -> [n t t 3]`; without
        `maps` it looks again.
      step: pixels along the side of a token; features: d.
      local: whether tokens of different tiles never meet.
      passes: 2 where looking depends on the route that only `mix` decides.
      leave: the route that leaves a picture as it is, and needs no `finish`; -1: none.
    """

    look: Callable[..., dict[str, Any]]
    mix: Callable[..., dict[str, Any]]
    finish: Callable[..., Any]
    step: int
    features: int
    local: bool = False
    passes: int = 1
    leave: int = -1


class Stream(NamedTuple):
    """Inference frame by frame, in constant memory and without looking ahead.

    Attributes:
      init_state: `(height, width) -> state`, a dict of arrays that can be saved.
      step: `(variables, state, frame [h w 3], remember=True) -> (state, frame, said)`; pure.
      reset: `(state) -> state` that knows no frame before.
    """

    init_state: Callable[..., dict[str, Any]]
    step: Callable[..., tuple[dict[str, Any], Any, dict[str, Any]]]
    reset: Callable[..., dict[str, Any]]


class Task(NamedTuple):
    """A system as five pure functions.

    Attributes:
      init: `(key, batch) -> variables`.
      loss: `(variables, batch, key, step) -> (scalar, (metrics, stats))`, where
        `metrics` are named scalars and `stats` the updated mutable collections.
      predict: `(variables, batch) -> outputs`; the only inference path.
      measure: `(outputs, batch) -> {name: [b ...]}`, one value an example.
      summarize: `(rows) -> {name: float}`.
      parts: `predict` in pieces, where the system can.
      prepare: `(variables) -> variables` with what depends on the weights alone, computed
        once a checkpoint.
      stream: video, where the system has one that remembers.
      scale: pixels along the output for one along the input.
    """

    init: Callable[..., Variables]
    loss: Callable[..., tuple[Any, tuple[dict, dict]]]
    predict: Callable[..., Outputs]
    measure: Callable[..., dict[str, Any]]
    summarize: Callable[[list[Row]], dict[str, float]]
    parts: Parts | None = None
    prepare: Callable[[Variables], Variables] = lambda variables: variables
    stream: Stream | None = None
    scale: int = 1
