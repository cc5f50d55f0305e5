"""What restore and plan share: a trained network as a program for pictures of any size."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, systems
from wxjax.data import images, video
from wxjax.evaluate import averaging, bounded, plan, runner
from wxjax.task import Task


def program(task: Task, variables: Any, tiles: Any) -> Callable:
    """Pictures `[h w 3]` through `task`: streamed within `tiles.memory`, where it can be.

    With `tiles.average`, the mean over some shifts of the picture, which is never streamed.

    Its attribute `takes_uint8` says whether bytes come back for bytes.
    """
    if tiles.get("average"):
        if tiles.get("memory"):
            raise errors.InputError("--memory: not together with --tile-mode=average.")
        return averaging.Averaged(runner.Restorer(task, variables, tiles))
    if task.parts is None:
        if tiles.get("devices"):
            raise errors.InputError("--devices: this system restores on one device only.")
        return bounded.Restorer(task, variables, tiles, tiles.get("memory", 0) or None)
    return plan.Restorer(task, variables, tiles, tiles.get("memory", 0) or None)


def in_float32(make: Callable, config: ConfigDict) -> Callable:
    """Makes, once and when first asked, the restorer of the same weights in float32.

    Args:
      make: from a config to a restorer and its settings.
    """

    @functools.cache
    def exact() -> Callable:
        other = config.copy_and_resolve_references()
        with other.unlocked():
            if "dtype" in other.get("model", {}):
                other.model.dtype = "float32"
        inner = make(other)[0]

        def restorer(rgb):
            with jax.default_matmul_precision("highest"):
                return inner(rgb)

        for name in ("scale", "takes_uint8"):
            if hasattr(inner, name):
                setattr(restorer, name, getattr(inner, name))
        return restorer

    return exact


def allow(config: ConfigDict, memory: str | None, devices: int | None) -> None:
    """Puts what the command line allows where `program` finds it."""
    if "tiles" not in config:
        raise errors.InputError(f"a run of {config.system} restores no pictures.")
    with config.unlocked():
        if memory:
            config.tiles.memory = plan.parse_bytes(memory)
        if devices:
            config.tiles.devices = devices


def blank(config: ConfigDict) -> tuple[Task, Any]:
    """The network of a config with random weights: costs do not depend on them."""
    task = systems.make(config)
    shapes = jax.eval_shape(task.init, jax.random.key(config.seed), {})
    rng = np.random.default_rng(config.seed)
    draw = lambda x: np.float32(0.02) * rng.standard_normal(x.shape, np.float32)
    return task, jax.tree.map(draw, shapes)


def measured(path: str) -> tuple[int, int, bool]:
    """Width, height and whether 8 bits are enough, of a picture by its header, or of a film."""
    if path.lower().endswith(video.SUFFIXES):
        about = video.info(path)
        return about.width, about.height, about.bits <= 8
    return *images.size(path), images.eight_bits(path)


def plans(run: Callable, paths: Sequence[str]) -> list[Any]:
    """What every picture, or frame of a film, will take through `run` (of `program`)."""
    found = [measured(path) for path in paths]
    if not hasattr(run, "plan"):
        raise errors.InputError("plan: this system restores whole pictures only.")
    return [
        run.plan(height, width, np.uint8 if eight else np.float32) for width, height, eight in found
    ]
