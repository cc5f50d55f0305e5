"""Trains one view on the hours that a protocol gives, and reads what was trained back."""

import pathlib
from typing import Any

import grain
import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files, systems
from wxjax.recipes import stages
from wxjax.systems.tod import lightmap, quantise
from wxjax.systems.tod.data import day as daytime
from wxjax.systems.tod.data import valley
from wxjax.task import Task
from wxjax.train import loop, weights
from wxjax.train import provenance as origin


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


def provenance(config: ConfigDict, day: daytime.Day, split: daytime.Split) -> dict:
    return {
        **origin.of(config, day),
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
