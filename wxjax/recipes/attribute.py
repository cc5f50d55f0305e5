"""The attribution map of a trained system on one photograph, as pictures and a record."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from wxjax import errors, files
from wxjax.data import images
from wxjax.evaluate import attribution, runner
from wxjax.recipes import evidence, single

FIELD = 512  # pixels a side of what is looked at: a gradient keeps every layer in memory


def run(
    config: ConfigDict,
    workdir: pathlib.Path,
    file: str,
    out: pathlib.Path,
    *,
    window: str,
    steps: int,
    clear: str | None,
) -> dict[str, Any]:
    """Writes `<name>-attribution.png` and `.json` into `out`; returns the record.

    Args:
      window: 'y,x,size' in pixels of the photograph.
      clear: the path's other end: a file, or None for the restored picture itself.
    """
    square = attribution.parse(window)
    picture = read(file)
    rows, columns = attribution.field(picture.shape, square, FIELD)
    degraded = picture[rows, columns]
    inside = attribution.Window(square.y - rows.start, square.x - columns.start, square.size)
    restore, restored, route = program(config, workdir, degraded)
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
    target = out / f"{pathlib.Path(file).stem}-attribution.png"
    with files.atomic(target) as handle:
        shown = attribution.overlay(degraded, found, inside)
        Image.fromarray(shown).save(handle, format="PNG")
    files.write_json(target.with_suffix(".json"), record)
    return {**record, "picture": str(target)}


def program(config: ConfigDict, workdir: pathlib.Path, image: np.ndarray):
    """The workdir's system as a differentiable function, with the expert that it chose for
    `image`; what it makes of it; and that expert's name."""
    alone = config.recipe in ("single", "video")
    task, variables, _ = (single if alone else evidence).system(config, workdir)
    said = jax.jit(task.predict)(variables, {"image": image[None]})
    index = 0 if alone else int(said["route"][0])
    force = {} if alone else {"force": jnp.int32(index)}

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
    return np.asarray(images.to_rgb(images.read(file)), np.float32)
