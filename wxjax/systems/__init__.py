"""The systems, and the plug by which everything else reaches them.

A system is a folder with a module `system` whose `SYSTEM` says what it can do. The module
imports cheaply: what a part needs is imported when it is called. Nothing outside a system's
folder knows it by name.
"""

import importlib
import pathlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from wxjax import errors
from wxjax.command import Command
from wxjax.task import Task

SYSTEMS = {
    "moei": "wxjax.systems.moei.system",
    "weather": "wxjax.systems.moei.shipped",
    "dehazexl": "wxjax.systems.moei.alone",
    "mofme": "wxjax.systems.mofme.system",
    "mofme_video": "wxjax.systems.mofme.films",
    "irsr": "wxjax.systems.irsr.system",
    "tod": "wxjax.systems.tod.system",
    "reid": "wxjax.systems.reid.system",
}


class Late:
    """What a module holds, imported when it is asked for: 'package.module:name'."""

    def __init__(self, path: str):
        self.path = path

    def resolve(self) -> Any:
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.resolve()(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Late({self.path!r})"


class EvaluateOptions(NamedTuple):
    """`data` None is the test split of the run's own data, whose rows belong in the workdir."""

    data: str | None = None
    out: pathlib.Path | None = None
    degradation: str | None = None

    def folder(self, workdir: pathlib.Path) -> pathlib.Path:
        """Where rows of `data` go."""
        name = pathlib.Path(self.data or "").resolve().name.removesuffix(".jsonl")
        return self.out or workdir / "evaluate" / name


class Evaluated(NamedTuple):
    """Where rows and page lie, and what to print of them."""

    out: pathlib.Path
    lines: Collection[str] = ()


class RestoreOptions(NamedTuple):
    """What the command line says about restoring; None: as the run says."""

    memory: str | None = None
    devices: int | None = None
    route: str | None = None
    strength: float = 1.0
    reference: bool | None = None
    scene_reset: bool = True
    reset_every: int = 0


class BenchOptions(NamedTuple):
    """Sizes as 'WIDTHxHEIGHT'; with `breakdown`, part by part."""

    size: Collection[str]
    repeats: int
    breakdown: bool = False


class AttributeOptions(NamedTuple):
    """A picture, 'y,x,size' of a window in it, and the way to walk from the `clear` picture."""

    file: str
    window: str
    out: pathlib.Path
    steps: int = 50
    clear: str | None = None


class Published(NamedTuple):
    """A kind of published PyTorch checkpoint.

    Attributes:
      read: `(state, **options) -> (model, variables)`: our sizes (plain values, as in the
        config) and variables, checked against the checkpoint that these sizes ask for.
      network: `(model) -> (apply, shapes)`: the bare network on channels-last float32
        arrays, and its variables as shapes.
      config: `(model) -> ConfigDict` under which the variables are a trained run.
    """

    read: Callable[..., tuple[dict, dict]]
    network: Callable[[dict], tuple[Callable[..., Any], dict]]
    config: Callable[[dict], Any]


class System(NamedTuple):
    """What a system can do; a part that it has not is None, and asking for it is one line.

    Attributes:
      title: what tables and records call it.
      make: `(config) -> Task`: init, loss, predict, measure, summarize.
      train: `(config, workdir)`: the recipe, ending in evaluate and report.
      evaluate: `(config, workdir, options) -> Evaluated`.
      report: `(workdir)`: index.html and report.md from the JSON files alone.
      results: the JSON file that `report` cannot do without.
      restorer: `(config, workdir, options) -> (Restorer, record)`, for pictures.
      film: `(config, workdir, options) -> (stream, record)`, for films, where the system
        remembers frames; one that does not restores them frame by frame.
      plan: `(config, workdir or None, options) -> plan.Restorer`; None: not trained yet.
      bench: `(config, workdir, options) -> lines`.
      attribute: `(config, workdir, options) -> lines`.
      import_state: kinds of published checkpoints by name.
      flags: by command, those of its flags marked `part` that a run of this system takes.
      free: parts of the config that may differ from what a workdir was trained with.
      lists: keys of the config, numbers by default, that may be lists of numbers.
      weights: groups of the config whose members are weights, with the names of all there
        are; `*` stands for any one key. A weight may be added that the config does not list.
      commands: what only this system has.
    """

    title: str
    make: Callable[[Any], Task]
    train: Callable[[Any, pathlib.Path], None]
    evaluate: Callable[[Any, pathlib.Path, EvaluateOptions], Evaluated]
    report: Callable[[pathlib.Path], None]
    results: str = "summary.json"
    restorer: Callable[..., Any] | None = None
    film: Callable[..., Any] | None = None
    plan: Callable[..., Any] | None = None
    bench: Callable[[Any, pathlib.Path, BenchOptions], Collection[str]] | None = None
    attribute: Callable[[Any, pathlib.Path, AttributeOptions], Collection[str]] | None = None
    import_state: Mapping[str, Published] = {}
    flags: Mapping[str, Collection[str]] = {}
    free: Collection[str] = ("evaluate", "tiles")
    lists: Collection[str] = ()
    weights: Mapping[str, Late] = {}
    commands: Mapping[str, Command] = {}


def load(name: str) -> System:
    """The system of that name; imports no other.

    Raises:
      InputError: for a name that is not in `SYSTEMS`.
    """
    if name not in SYSTEMS:
        raise errors.unknown("config.system", name, SYSTEMS)
    return importlib.import_module(SYSTEMS[name]).SYSTEM


def make(config: Any) -> Task:
    """The task that `config.system` names."""
    return load(config.system).make(config)


def part(system: str, name: str, can: str) -> Any:
    """A part of a system; InputError where it has none, such as 'cannot be benchmarked'."""
    found = getattr(load(system), name)
    if found is None:
        raise errors.InputError(f"a run of {system} {can}.")
    return found


def published() -> dict[str, Published]:
    """Every kind of published checkpoint that a system reads, by name."""
    return {kind: entry for name in SYSTEMS for kind, entry in load(name).import_state.items()}
