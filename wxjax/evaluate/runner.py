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
from wxjax.task import DEGRADATIONS, Task


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

    def __init__(self, task: Task, variables: Any, tiles: Any, *, warm: bool = True):
        """`warm`: the first image of a bucket runs twice, so no latency holds a compilation."""
        self._warms = warm
        self._predict = jax.jit(task.predict)
        self._variables = jax.device_put(variables)
        self._tiles = dict(tile=tiles.tile, overlap=tiles.overlap, blend=tiles.blend)
        self._warm: set[tuple] = set()

    def __call__(self, image: np.ndarray, **extra) -> tuple[np.ndarray, dict]:
        """Restored `[h w 3]` float32, unclipped, and outputs with `latency_ms`, `ms_per_mp`."""

        def run(batch):
            return jax.device_get(self._predict(self._variables, batch))

        h, w, _ = image.shape
        n = tile.bucket(
            tile.count_along(h, self._tiles["tile"], self._tiles["overlap"])
            * tile.count_along(w, self._tiles["tile"], self._tiles["overlap"])
        )
        if self._warms and (n, image.dtype) not in self._warm:
            tile.through(run, image, **self._tiles, **extra)
            self._warm.add((n, image.dtype))
        start = time.perf_counter()
        restored, outputs = tile.through(run, image, **self._tiles, **extra)
        spent = (time.perf_counter() - start) * 1e3
        costs = {
            "latency_ms": spent,
            "ms_per_mp": spent / (h * w / 1e6),
            "mem_gb": cost.peak_memory_gb(),
        }
        return restored, {**outputs, **costs}


def run(
    task: Task,
    restorer: Callable,
    examples: Iterable[Mapping],
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
        images, outputs = {"input": example["image"]}, {}
        for index, route in enumerate(routes):
            images[route], outputs[route] = restorer(
                example["image"], **({"force": np.int32(index)} if len(routes) > 1 else {})
            )
        if actual:
            images["actual"], outputs["actual"] = restorer(example["image"], force=np.int32(-1))
        if actual and top2:
            images["top2"] = mix_top2(images, outputs["actual"]["weights"][0], routes)
        images = {name: round8(image) for name, image in images.items()}
        found = {}
        for name, image in images.items():
            found[name] = row(
                measure or task.measure, example, name, image, outputs.get(name), routes, protocol
            )
        rows.extend(found.values())
        note_seen(seen, example, found, outputs, routes)
        if keep:
            keep(example["id"], {**images, "target": example.get("target"), "rows": found})
    return Evaluation(rows, Seen(**{k: pack(k, v) for k, v in seen.items()}))


def row(measure, example, variant, image, outputs, routes, protocol) -> dict:
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
        "metrics": {},
        "cost": {},
    }
    if example.get("target") is not None:
        if example["target"].shape != image.shape:
            raise errors.InputError(
                f"{example['id']}: the truth is {example['target'].shape}, the picture "
                f"{image.shape}: expected one size. Nothing is resized silently."
            )
        values = measure({"image": image[None]}, {"target": example["target"][None]})
        out["metrics"] = {name: plain(value[0]) for name, value in values.items()}
        if "psnr" in out["metrics"] and out["metrics"]["psnr"] is None:
            out["metrics"]["identical"] = True
    if outputs:
        out["cost"] = {name: float(outputs[name]) for name in ("latency_ms", "mem_gb", "ms_per_mp")}
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
        raise errors.InputError(
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
    logits = outputs["actual"]["logits"][0] if "actual" in outputs else np.zeros(3)
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
