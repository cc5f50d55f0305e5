"""One view at any hour: trains on the hours a protocol gives, measures at those and the others.

A stage whose product stands in the workdir is skipped; a killed run goes on where it was.
"""

import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from wxjax import files
from wxjax.evaluate import runner, stamp
from wxjax.systems.tod import basis as bases
from wxjax.systems.tod import lightmap, quantise, rates, rendering, report, training
from wxjax.systems.tod import measure as measuring
from wxjax.systems.tod.data import day as daytime
from wxjax.task import Task
from wxjax.train import weights


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains what is missing, measures it, and writes the report."""
    day, split = training.data(config)
    folder = workdir / "system"
    if not (folder / "weights.json").exists():
        variables = training.train(config, day, split, workdir / config.stage)
        packed = quantise.pack(config.model.quant, variables)
        weights.save(folder, packed, training.provenance(config, day, split))
    test(config, workdir)


def test(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Rows, means and report; skipped where they stand already."""

    def measure() -> None:
        rendering.bake(config, workdir)
        evaluate(config, workdir)

    stamp.once(config, workdir, measure, {"weights_hash": stamp.weights_hash(workdir)})
    report.build(workdir)


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> dict:
    """Measures the model and every closed-form opponent; writes per_hour.jsonl, daytime.json."""
    day, split = training.data(config)
    task, variables, about = training.system(workdir, config)
    model = about["model"]
    solar, period = model["time_code"] != "harmonic", model["period"]
    variants = against(split, variables, model)
    variants["baked"] = bases.load(workdir / "basis.npz")
    variants["model"] = measuring.Renderer(task, variables)
    shown = parts(split, model)
    samples = Samples(workdir / "samples", shown, config.evaluate.samples)
    measure, rounded = measures(task, day)
    keep = samples.keep if split.frames.dtype == np.uint8 else None
    rows = measuring.rows(variants, shown, measure, rounded, keep)
    if config.protocol == "loo":
        rows += left_out(config, workdir, day, task, model, (measure, rounded))
    files.write_jsonl(workdir / "per_hour.jsonl", rows)
    measured = dict.fromkeys(row["part"] for row in rows)
    made = {
        "model": f"Time of day: {model['field']}",
        "field": model["field"],
        "data": day.name,
        "size": list(split.frames.shape[1:3]),
        "protocol": config.protocol,
        "quant": model.get("quant", "none"),
        "variants": {
            name: {part: measuring.means(rows, name, part) for part in measured}
            for name in variants
        },
        "place": placed(variables) if solar else None,
        "period": period,
        "parameters": int(sum(np.size(x) for x in jax.tree.leaves(variables["params"]))),
        "baked": files.read_json(workdir / "basis.json"),
        "bytes": stored(model, weights.load(workdir / "system")[0]),
        "rates": bytes_of(day, split, period, task),
        **{name: value for name, value in about.items() if name != "model"},
        "weights_hash": files.sha256(workdir / "system" / "weights.npz"),
    }
    made["rates"].append(own_rate(made, split.frames))
    if solar:
        made["configured"] = {name: float(model[name]) for name in made["place"]}
    if split.frames.dtype == np.uint8:
        files.write_json(workdir / "courses.json", courses(variants["model"], split, period))
    files.write_json(workdir / "daytime.json", made)
    return made


def parts(split: daytime.Split, model: dict) -> dict[str, tuple]:
    """Given and hidden hours, frames, and which of them are day; parts without one are left out."""
    solar, period = model["time_code"] != "harmonic", model["period"]
    found = {"given": (split.hours, split.frames), "hidden": (split.test_hours, split.test_frames)}
    return {
        name: (*entry, measuring.daylight(*entry, model, period, solar))
        for name, entry in found.items()
        if len(entry[0])
    }


def stored(model: dict, variables: dict) -> int:
    """Bytes that a render reads: parameters as stored, and the frames the field looks at.

    `sunfield` and a `basis` by SVD look at all of them, the others at the baseline picture, and
    at three more with `be_input=key`.
    """
    size = lambda tree: int(sum(np.asarray(x).nbytes for x in jax.tree.leaves(tree)))
    frames = variables["scene"]["frames"]
    if model["field"] == "sunfield" or (model["field"] == "basis" and model["basis_fit"] == "svd"):
        return size(variables)
    encoder = model["use_baseline_encoder"] or model["field"] == "encoder"
    looked = 4 if encoder and model["be_input"] == "key" else int(encoder or model["residual_mode"])
    return size(variables["params"]) + looked * frames.nbytes // frames.shape[2]


def own_rate(made: dict, frames: np.ndarray) -> dict:
    """The model itself as a row of the table of bytes."""
    found = made["variants"]["model"]["given"]
    return {
        "method": "this model",
        "setting": made["field"] if made["quant"] == "none" else f"{made['field']} {made['quant']}",
        "bytes": made["bytes"],
        "share": made["bytes"] / frames.nbytes,
        "bits": 8 * made["bytes"] / frames[..., 0].size,
        "pooled": found["pooled"],
        **found["all"],
    }


COURSES = (2, 3)  # pixels down and across whose days are drawn


def courses(render: measuring.Renderer, split: daytime.Split, period: float) -> dict:
    """Days of the pixels that change most in each of six parts of the picture.

    Returns:
      `hours [96]`; `pixels`: `y, x`, `made [96]` and the green code of `given` and `hidden`
      frames as [hour, code] pairs.
    """
    hours = np.arange(96) * period / 96
    height, width = split.frames.shape[1:3]
    spread = split.frames[..., 1].astype(np.float32).std(0)
    places = []
    for rows in np.array_split(np.arange(height), COURSES[0]):
        for columns in np.array_split(np.arange(width), COURSES[1]):
            part = spread[np.ix_(rows, columns)]
            y, x = np.unravel_index(part.argmax(), part.shape)
            places.append((int(rows[y]), int(columns[x])))
    made = np.stack([render.pixels(hour, np.array(places))[:, 1] for hour in hours])
    made = np.clip(made, 0, 1) * 255

    def dots(moments, frames, y, x):
        return [[float(h), int(f[y, x, 1])] for h, f in zip(moments, frames, strict=True)]

    return {
        "hours": hours.tolist(),
        "pixels": [
            {
                "y": y,
                "x": x,
                "made": np.round(made[:, i], 2).tolist(),
                "given": dots(split.hours, split.frames, y, x),
                "hidden": dots(split.test_hours, split.test_frames, y, x),
            }
            for i, (y, x) in enumerate(places)
        ],
    }


def placed(variables: dict) -> dict[str, float]:
    """Latitude, declination and shift as fitted."""
    return {name: float(value) for name, value in variables["params"]["sun"].items()}


def against(split: daytime.Split, variables: dict, model: dict) -> dict:
    """The closed-form opponents on what a split gives: name -> `hour -> picture`."""
    lights = tuple(zip(model["lights"][::2], model["lights"][1::2], strict=True))
    solar, period = model["time_code"] != "harmonic", model["period"]
    found = measuring.opponents(placed(variables), lights, period, solar)
    return {
        name: lambda hour, make=make: make(split.hours, split.frames, hour, period)
        for name, make in found.items()
    }


def left_out(config, workdir, day, task, model, measuring_as) -> list[dict]:
    """Rows of every whole hour, each found by a system that never saw it."""
    solar, period, rows = model["time_code"] != "harmonic", model["period"], []
    for i in daytime.whole_hours(day):
        split = daytime.hide(day, int(i))
        variables = training.train(config, day, split, workdir / "loo" / f"{day.hours[i]:g}")
        variants = against(split, variables, model)
        variants["model"] = measuring.Renderer(task, variables)
        one = (split.test_hours, split.test_frames)
        bright = measuring.daylight(day.hours, day.frames, model, period, solar)[i : i + 1]
        rows += measuring.rows(variants, {"hidden": (*one, bright)}, *measuring_as)
    return rows


def measures(task: Task, day: daytime.Day) -> tuple[Any, Any]:
    """How pictures are measured, and how they are rounded first."""
    if day.frames.dtype != np.uint8:
        return training.light(day), lambda picture: np.maximum(picture, 0)
    return task.measure if day.mask is None else masked(task.measure, day.mask), runner.round8


def masked(measure: Any, mask: np.ndarray) -> Any:
    """`measure` of what the mask shows: elsewhere the truth stands, and does not count."""
    share = float(mask.mean())

    def run(outputs, batch):
        truth = batch["target"][0]
        shown = [np.where(mask[..., None], picture, truth) for picture in outputs["image"]]
        found = measure({"image": np.stack(shown)}, batch)
        scaled = {"mse": found["mse"] / share, "psnr": found["psnr"] + 10 * np.log10(share)}
        return {**found, **scaled}

    return run


def bytes_of(day: daytime.Day, split: daytime.Split, period: float, task: Task) -> list[dict]:
    """Quality per byte at the given hours."""
    if split.frames.dtype != np.uint8:
        mask = np.ones(split.frames.shape[1:3], bool) if day.mask is None else day.mask
        return rates.light(split.hours, split.frames, period, mask, lightmap.measure)
    track = lambda jobs: runner.track(jobs, len(jobs), "rates")
    return rates.curve(split.hours, split.frames, period, task.measure, track)


class Samples:
    """Strips of truth, model and error at a few hours, for the report."""

    def __init__(self, folder: pathlib.Path, parts: dict, count: int):
        self._folder, self._wanted = folder, set()
        for name, (hours, _, days) in parts.items():
            bright = [float(h) for h, d in zip(hours, days, strict=True) if d]
            picks = np.unique(np.linspace(0, len(bright) - 1, count).round().astype(int))
            self._wanted |= {(name, bright[i]) for i in picks} if bright else set()

    def keep(self, part: str, hour: float, found: dict) -> None:
        if (part, hour) not in self._wanted:
            return
        truth, made = (found[name].astype(np.float32) for name in ("truth", "model"))
        error = np.clip(127.5 + 5 * (made - truth), 0, 255).astype(np.uint8)
        strip = np.concatenate([found["truth"], found["linear"], found["model"], error], 1)
        path = self._folder / f"{part}-{hour:05.2f}.png"
        with files.atomic(path) as handle:
            Image.fromarray(strip).save(handle, format="PNG")
