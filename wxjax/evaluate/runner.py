"""Images through `predict`, and one row for each image and variant.

The rows are all that later analysis sees: Oracle, calibration, mis-routing and the
report are functions of them and run no network again.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from rich import progress as bars

from wxjax import errors
from wxjax.evaluate import cost
from wxjax.ops import color, tile
from wxjax.task import DEGRADATIONS, Source, Task


class Seen(NamedTuple):
    """What the gate read, one entry an example: for its training and calibration."""

    ids: list[str]
    degradation: np.ndarray  # [n]
    vector: np.ndarray  # [n d]
    grid: np.ndarray  # [n 8 8 d]
    logits: np.ndarray  # [n 3]
    mse: np.ndarray  # [n k] dense first


class Evaluation(NamedTuple):
    rows: list[dict]
    seen: Seen


class Restorer:
    """A task's `predict` for host images: cuts, runs, blends, times."""

    def __init__(self, task: Task, variables: Any, tiles: Any):
        self._predict = jax.jit(task.predict)
        self._variables = jax.device_put(task.prepare(variables))
        self._tiles = dict(tile=tiles.tile, overlap=tiles.overlap, blend=tiles.blend)
        self._tiles |= {"scale": task.scale}
        self._programs: dict[tuple, Any] = {}

    def __call__(self, image: np.ndarray, **extra) -> tuple[np.ndarray, dict]:
        """Restored `[h w 3]` float32, unclipped, and outputs with `latency_ms`, `ms_per_mp`.

        The latency holds no compilation: an image of a new bucket waits for it first.
        """
        waited = 0.0

        def run(batch):
            nonlocal waited
            shapes = {name: (np.shape(x), np.asarray(x).dtype) for name, x in batch.items()}
            key = tuple(sorted(shapes.items()))
            if key not in self._programs:
                begin = time.perf_counter()
                self._programs[key] = self._predict.lower(self._variables, batch).compile()
                waited = time.perf_counter() - begin
            return jax.device_get(self._programs[key](self._variables, batch))

        start = time.perf_counter()
        restored, outputs = tile.through(run, image, **self._tiles, **extra)
        spent = (time.perf_counter() - start - waited) * 1e3
        costs = {
            "latency_ms": spent,
            "ms_per_mp": spent / (image.shape[0] * image.shape[1] / 1e6),
            "mem_gb": cost.peak_memory_gb(),
        }
        return restored, {**outputs, **costs}


def run(
    task: Task,
    restorer: Callable,
    examples: Iterable[Mapping] | Source,
    *,
    routes: Sequence[str],
    protocol: str,
    actual: bool = True,
    top2: bool = False,
    keep: Callable[[str, dict], None] | None = None,
    measure: Callable[[dict, dict], dict] | None = None,
    total: int | None = None,
    label: str = "evaluate",
) -> Evaluation:
    """Rows of every variant: the input, each route forced, and the router's own choice.

    Args:
      examples: dicts with `id, image, target` (uint8), `degradation, severity, dataset`;
        without a target only the routing is recorded.
      routes: names of the routes by index, dense first; one name alone has no router.
      actual: whether the router's choice is run and recorded.
      top2: adds the mix of the two best experts by renormalised probability.
      measure: instead of `task.measure`, where fewer metrics do.
      keep: called with the id and the images of each variant, to store samples.
    """
    rows: list[dict] = []
    seen: dict[str, list] = {name: [] for name in Seen._fields}
    for example in track(examples, total, label):
        images, outputs = restore_all(restorer, example["image"], routes, actual)
        if actual and top2:
            images["top2"] = mix_top2(images, outputs["actual"]["weights"][0], routes)
        images = {name: round8(image) for name, image in images.items()}
        scores = score(measure or task.measure, example, images)
        found = {
            name: row(example, name, scores[name], outputs.get(name), routes, protocol)
            for name in images
        }
        rows.extend(found.values())
        note_seen(seen, example, found, outputs, routes)
        if keep:
            keep(example["id"], {**images, "target": example.get("target"), "rows": found})
    return Evaluation(rows, Seen(**{k: pack(k, v) for k, v in seen.items()}))


def restore_all(
    restorer: Callable, image: np.ndarray, routes: Sequence[str], actual: bool
) -> tuple[dict, dict]:
    """The input and every variant's picture, and what the network said of each variant.

    The router's choice is one of the routes: that one is not run a second time.
    """
    images, outputs = {"input": image}, {}
    if actual:
        chosen = restorer(image, force=np.int32(-1))
        index = int(chosen[1]["route"][0])
    for i, route in enumerate(routes):
        if actual and i == index:
            images[route], outputs[route] = chosen
        else:
            forced = {"force": np.int32(i)} if len(routes) > 1 else {}
            images[route], outputs[route] = restorer(image, **forced)
    if actual:
        images["actual"], outputs["actual"] = chosen
    return images, outputs


def score(measure: Callable, example: Mapping, images: Mapping[str, np.ndarray]) -> dict[str, dict]:
    """The metrics of every variant, of equal pictures once; empty without a target."""
    target = example.get("target")
    if target is None:
        return {name: {} for name in images}
    distinct: list[np.ndarray] = []
    place = {}
    for name, image in images.items():
        if target.shape != image.shape:
            raise errors.InputError(
                f"{example['id']}: the truth is {target.shape}, the picture "
                f"{image.shape}: expected one size. Nothing is resized silently."
            )
        same = (i for i, other in enumerate(distinct) if np.array_equal(image, other))
        place[name] = next(same, len(distinct))
        if place[name] == len(distinct):
            distinct.append(image)
    values = measure({"image": np.stack(distinct)}, {"target": target[None]})
    return {
        name: {metric: plain(column[i]) for metric, column in values.items()}
        for name, i in place.items()
    }


def row(example, variant, scores, outputs, routes, protocol) -> dict:
    """One line of `per_image.jsonl`."""
    degradation = example.get("kind") or kind(example["degradation"])
    severity = float(example.get("severity", np.nan))
    out = {
        "id": example["id"],
        "dataset": example["dataset"],
        "degradation": degradation,
        "severity": severity if np.isfinite(severity) else None,
        "variant": variant,
        "protocol": protocol,
        "metrics": dict(scores),
        "cost": {},
    }
    if "psnr" in scores and scores["psnr"] is None:
        out["metrics"]["identical"] = True
    if outputs:
        out["cost"] = {name: float(outputs[name]) for name in ("latency_ms", "mem_gb", "ms_per_mp")}
    if outputs and "gate_usage" in outputs:
        out["gate"] = {
            name.removeprefix("gate_"): np.round(np.asarray(value[0], float), 6).tolist()
            for name, value in outputs.items()
            if name.startswith("gate_")
        }
    if variant == "actual":
        index = int(outputs["route"][0])
        out["moe"] = {
            "type": "MoE-I",
            "route": routes[index],
            "index": index,
            "pmax": float(outputs["confidence"][0]),
            "p": [float(p) for p in outputs["weights"][0]],
            "abstained": bool(outputs["abstained"][0]),
        }
    return out


def kind(index) -> str:
    index = int(index)
    return DEGRADATIONS[index] if 0 <= index < len(DEGRADATIONS) else "unknown"


def plain(value) -> float | None:
    value = float(value)
    return value if np.isfinite(value) else None


def round8(image: np.ndarray) -> np.ndarray:
    """uint8 as a file would hold it; a picture that is not finite is refused."""
    if image.dtype == np.uint8:
        return image
    if not np.isfinite(image).all():
        raise errors.NotFinite(
            "the model's output is not finite. Its weights are damaged or overflowed: "
            "run with --config.model.dtype=float32, or from an earlier checkpoint."
        )
    return np.asarray(color.round_to_uint8(image))


def mix_top2(images: Mapping, weights: np.ndarray, routes: Sequence[str]) -> np.ndarray:
    """The two likeliest experts' pictures, mixed by their renormalised probabilities."""
    first, second = np.argsort(-weights)[:2]
    share = weights[first] / (weights[first] + weights[second])
    return share * images[routes[1 + first]] + (1 - share) * images[routes[1 + second]]


def note_seen(seen, example, found, outputs, routes) -> None:
    last = outputs[routes[0]]
    mse = [found[route]["metrics"].get("mse", np.nan) for route in routes]
    logits = last["logits"][0] if "logits" in last else np.zeros(3)
    values = (
        example["id"],
        int(example["degradation"]),
        last.get("vector", np.zeros((1, 1)))[0],
        last.get("grid", np.zeros((1, 1)))[0],
        logits,
        mse,
    )
    for name, value in zip(Seen._fields, values, strict=True):
        seen[name].append(value)


def pack(name: str, values: list):
    return values if name == "ids" else np.asarray(values)


def track(examples, total, label):
    """A progress bar with rate and time left on a terminal; nothing elsewhere."""
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    if total is None and hasattr(examples, "__len__"):
        total = len(examples)
    if not hasattr(examples, "__iter__"):  # a random-access source
        examples = map(examples.__getitem__, itertools.islice(itertools.count(), total))
    with bars.Progress(*columns, transient=True) as bar:
        yield from bar.track(examples, total=total, description=label)
