"""One view at any hour: trains on the hours a protocol gives, measures at those and the others.

A stage whose product stands in the workdir is skipped; a killed run goes on where it was.
"""

import pathlib
from typing import Any

import grain
import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from wxjax import errors, files, systems
from wxjax.evaluate import runner
from wxjax.recipes import evidence, stages
from wxjax.systems.tod import basis as bases
from wxjax.systems.tod import lightmap, quantise, rates, report
from wxjax.systems.tod import measure as measuring
from wxjax.systems.tod.data import day as daytime
from wxjax.systems.tod.data import valley
from wxjax.task import Task
from wxjax.train import loop, weights


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains what is missing, measures it, and writes the report."""
    day, split = data(config)
    folder = workdir / "system"
    if not (folder / "weights.json").exists():
        variables = train(config, day, split, workdir / config.stage)
        packed = quantise.pack(config.model.quant, variables)
        weights.save(folder, packed, provenance(config, day, split))
    test(config, workdir)


def data(config: ConfigDict) -> tuple[daytime.Day, daytime.Split]:
    """The day, and what of it the protocol gives."""
    if config.data.name == "embedded":
        size = f"{config.data.height}x{config.data.width}"
        print(f"embedded data: a drawn valley at {size}, 24 hours and both switches of its lamps")
    day = daytime.open(config.data)
    return day, daytime.split(day, config.protocol, config.val_hours, config.val_in_train)


def fitted(config: ConfigDict, day: daytime.Day) -> ConfigDict:
    """The stage's config with what the data says: period, place, lights, a transfer for HDR."""
    out = stages.stage_config(config, config.stage, config.stage)
    out.model.period = config.data.period
    for name, value in day.geo.items():
        out.model[name] = value
    if "latitude" in day.geo or config.data.name == "embedded":
        out.model.learn_sun = False  # the place is known
    if config.data.name == "embedded":
        out.model.latitude, out.model.declination = config.data.latitude, config.data.declination
        out.model.lights = valley.LIGHTS[0]
    if config.data.period != 24:
        out.model.lights, out.model.time_code = (), "harmonic"
        out.model.time_harmonics = min(out.model.time_harmonics, 2)
    if day.frames.dtype != np.uint8 and out.model.transfer in ("srgb", "linear"):
        out.model.transfer = "log1p"
    return out


def train(
    config: ConfigDict, day: daytime.Day, split: daytime.Split, workdir: pathlib.Path
) -> dict:
    """The field on the split's given hours; averaged variables, at once where it is done."""
    staged = fitted(config, day)
    times = staged.model.hash_times
    if config.model.field == "hash3d" and config.protocol != "R" and times > len(split.hours):
        rule = f"cells of time between {len(split.hours)} given hours would learn nothing"
        raise errors.bad("model.hash_times", times, rule, f"Try {len(split.hours)}, or protocol=R.")
    task = systems.make(staged)
    variables = task.init(
        jax.random.key(config.seed), {"frames": split.frames, "hours": split.hours}
    )
    if "field" not in variables["params"]:
        print(f"{config.model.field}: closed form, nothing to train")
        return variables
    state = loop.train(
        task, staged, numbers(config, split), workdir, variables=variables,
        evaluate=validator(task, day, split, config.val_downsample), name=config.stage,
    )  # fmt: skip
    return rounded(config.model.quant, stages.chosen(staged, workdir, state))


def rounded(quant: str, variables: dict) -> dict:
    """Variables as they are once stored and read again."""
    return jax.device_get(quantise.unpack(quantise.pack(quant, variables)))


def numbers(config: ConfigDict, split: daytime.Split) -> Any:
    """Endless batches of numbers, one a group of pixels: a step draws hours and places itself."""
    training = config.training
    side = training.patch_size
    height, width = split.frames.shape[1:3]
    if side and side > min(height, width):
        rule = f"expected at most the picture's shorter side, {min(height, width)}"
        raise errors.bad("training.patch_size", side, rule)
    count = max(1, training.batch_size // side**2) if side else training.groups
    batches = iter(
        grain.MapDataset.range(count)
        .map(lambda i: {"index": np.int32(i)})
        .repeat(None)
        .batch(count)
        .to_iter_dataset()
    )
    batches.source = f"hours({files.digest({'frames': split.frames, 'hours': split.hours})[:16]})"
    return batches


def validator(task: Task, day: daytime.Day, split: daytime.Split, shrink: int = 1):
    """PSNR, SSIM and LPIPS at hidden hours (given ones where none is hidden), for the curves.

    `shrink`: pixels a side that are averaged first; the report is always at full size.
    """
    hours, frames = split.test_hours, split.test_frames
    if not len(hours):
        hours, frames = split.hours, split.frames
    picks = np.unique(np.linspace(0, len(hours) - 1, 8).round().astype(int))
    predict = jax.jit(task.predict)
    hdr = frames.dtype != np.uint8
    measure = light(day, shrink) if hdr else task.measure

    def evaluate(variables, step):
        found = []
        for i in picks:
            made = np.asarray(predict(variables, {"time": np.float32(hours[i])[None]})["image"])
            shown, truth = (smaller(x, shrink) for x in (made, frames[i][None]))
            values = measure({"image": shown}, {"target": truth if hdr else np.uint8(truth)})
            found.append({"metrics": {name: float(v[0]) for name, v in values.items()}})
        return task.summarize(found)

    return evaluate


def smaller(images: np.ndarray, by: int) -> np.ndarray:
    """`[b h w 3]` averaged over `by` x `by` pixels; what does not fill a block is cut off."""
    if by == 1:
        return images
    b, h, w, _ = images.shape
    cut = images[:, : h // by * by, : w // by * by].astype(np.float32)
    means = cut.reshape(b, h // by, by, w // by, by, 3).mean((2, 4))
    return np.rint(means) if images.dtype == np.uint8 else means


def provenance(config: ConfigDict, day: daytime.Day, split: daytime.Split) -> dict:
    return {
        **evidence.provenance(config, day),
        "hours": np.round(split.hours, 4).tolist(),
        "hidden": np.round(split.test_hours, 4).tolist(),
        "model": fitted(config, day).model.to_dict(),
    }


def system(workdir: pathlib.Path, config: ConfigDict) -> tuple[Task, dict, dict]:
    """The trained view of a workdir: task, variables, provenance."""
    variables, about = weights.load(workdir / "system")
    staged = ConfigDict(stages.stage_config(config, config.stage, config.stage))
    staged.model = ConfigDict(about["model"])
    return systems.make(staged), variables, about


def test(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Rows, means and report; skipped where they stand already."""
    stamp = {
        "weights_hash": files.sha256(workdir / "system" / "weights.npz"),
        "protocol": config.protocol,
    }
    done = workdir / "evaluated.json"
    if not done.exists() or files.read_json(done) != stamp:
        from wxjax.systems.tod import rendering

        rendering.bake(config, workdir)
        evaluate(config, workdir)
        files.write_json(done, stamp)
    report.build(workdir)


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> dict:
    """Measures the model and every closed-form opponent; writes per_hour.jsonl, daytime.json."""
    day, split = data(config)
    task, variables, about = system(workdir, config)
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
        variables = train(config, day, split, workdir / "loo" / f"{day.hours[i]:g}")
        variants = against(split, variables, model)
        variants["model"] = measuring.Renderer(task, variables)
        one = (split.test_hours, split.test_frames)
        bright = measuring.daylight(day.hours, day.frames, model, period, solar)[i : i + 1]
        rows += measuring.rows(variants, {"hidden": (*one, bright)}, *measuring_as)
    return rows


def measures(task: Task, day: daytime.Day) -> tuple[Any, Any]:
    """How pictures are measured, and how they are rounded first."""
    if day.frames.dtype != np.uint8:
        return light(day), lambda picture: np.maximum(picture, 0)
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


def light(day: daytime.Day, shrink: int = 1) -> Any:
    """`measure` of light maps: one peak for all hours, masked."""
    mask = np.ones(day.frames.shape[1:3], bool) if day.mask is None else day.mask
    peak = float(day.frames[:, mask].max())
    rows, columns = (n // shrink * shrink for n in mask.shape)
    mask = mask[:rows:shrink, :columns:shrink]

    def measure(outputs, batch):
        truth = batch["target"][0]
        found = [lightmap.measure(picture, truth, mask, peak) for picture in outputs["image"]]
        return {name: np.array([entry[name] for entry in found]) for name in found[0]}

    return measure


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
