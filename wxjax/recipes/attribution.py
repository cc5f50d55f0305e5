"""The attribution map of a trained system on one photograph, as pictures and a record."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from wxjax import errors, files
from wxjax.data import images
from wxjax.evaluate import attribution, runner
from wxjax.recipes import evidence
from wxjax.systems import AttributeOptions
from wxjax.task import Task

FIELD = 512  # pixels a side of what is looked at: a gradient keeps every layer in memory


def run(task: Task, variables: Any, routed: bool, options: AttributeOptions) -> dict[str, Any]:
    """Writes `<name>-attribution.png` and `.json` into `options.out`; returns the record.

    Args:
      routed: whether a router picks the expert; the map is then of the expert it picks.
    """
    file, clear, steps = options.file, options.clear, options.steps
    square = attribution.parse(options.window)
    picture = read(file)
    rows, columns = attribution.field(picture.shape, square, FIELD)
    degraded = picture[rows, columns]
    inside = attribution.Window(square.y - rows.start, square.x - columns.start, square.size)
    restore, restored, route = program(task, variables, routed, degraded)
    baseline = np.clip(restored, 0, 1)
    if clear is not None:
        baseline = same_size(clear, picture.shape)[rows, columns]
    if np.array_equal(baseline, degraded):
        raise errors.bad("--clear", clear or "restored", "it equals the photograph: no path")
    found = attribution.attribute(
        restore,
        degraded,
        baseline,
        inside,
        steps=steps,
        track=lambda numbers: runner.track(numbers, steps, "gradients"),
    )
    record = {
        "image": file,
        "window": square._asdict(),
        "field": {"y": rows.start, "x": columns.start, "size": list(degraded.shape[:2])},
        "baseline": clear or "restored",
        "route": route,
        "steps": steps,
        "clear": found.clear,
        "degraded": found.degraded,
        "difference": found.difference,
        "sum": float(found.map.sum()),
        "residual": found.residual,
        **attribution.reach(found, inside),
    }
    target = options.out / f"{pathlib.Path(file).stem}-attribution.png"
    with files.atomic(target) as handle:
        shown = attribution.overlay(degraded, found, inside)
        Image.fromarray(shown).save(handle, format="PNG")
    files.write_json(target.with_suffix(".json"), record)
    return {**record, "picture": str(target)}


def lines(record: dict[str, Any]) -> list[str]:
    """The record in words."""
    return [
        f"brightness of the window: {record['clear']:.2f} clear, {record['degraded']:.2f} "
        f"degraded, difference {record['difference']:.2f}; the map sums to {record['sum']:.2f} "
        f"({100 * record['residual']:.1f} % off)",
        f"route {record['route']}; {100 * record['outside']:.0f} % of the map lies outside the "
        f"window, 90 % within {record['radius90']} px of it",
        f"picture: {record['picture']}",
    ]


def program(
    task: Task, variables: Any, routed: bool, image: np.ndarray
) -> tuple[Callable, np.ndarray, str]:
    """The system as a differentiable function, with the expert that it chose for `image`; what
    it makes of it; and that expert's name."""
    said = jax.jit(task.predict)(variables, {"image": image[None]})
    index = int(said["route"][0]) if routed else 0
    force = {"force": jnp.int32(index)} if routed else {}

    def restore(variables, x):
        return task.predict(variables, {"image": x[None], **force})["image"][0]

    bound = jax.tree_util.Partial(restore, variables)
    return bound, np.asarray(said["image"][0]), evidence.ROUTES[index]


def same_size(file: str, shape: tuple[int, ...]) -> np.ndarray:
    """The clear picture; InputError where it has another size than the photograph."""
    picture = read(file)
    if picture.shape != shape:
        rule = f"expected the photograph's {shape[1]}x{shape[0]} pixels"
        raise errors.bad("--clear", f"{picture.shape[1]}x{picture.shape[0]}", rule)
    return picture


def read(file: str) -> np.ndarray:
    """Float32 sRGB `[h w 3]` in [0, 1]."""
    return np.asarray(images.to_rgb(images.single(images.read(file))), np.float32)
