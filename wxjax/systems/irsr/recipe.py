"""Infrared super-resolution from frames to a table: trains, enlarges, measures beside bicubic.

A stage whose product stands in the workdir is skipped; a killed run goes on where it was.
"""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files, settings, systems
from wxjax.data import pipeline, sources
from wxjax.evaluate import bounded, runner, stamp
from wxjax.recipes import pictures, stages
from wxjax.systems import RestoreOptions
from wxjax.systems.irsr import baselines, report, resize
from wxjax.systems.irsr import measure as evaluation
from wxjax.systems.irsr import model as models
from wxjax.systems.irsr.data import downscale, frames, sets
from wxjax.task import Task
from wxjax.train import once, provenance, weights

FITTED = 24  # batches that statistics and linear filters are taken from


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains what is missing, measures it on the test split, and writes the report."""
    if config.data.name == "embedded":
        print(sets.describe())
    if config.data.scale != config.model.scale:
        rule = f"expected model.scale={config.model.scale}"
        raise errors.bad("data.scale", config.data.scale, rule)
    folder = workdir / "system"
    if not (folder / "weights.json").exists():
        source = sets.open(config.data, "train")
        variables = begin(config, source)
        if config.model.kind not in ("bicubic", "linear"):  # those have nothing left to learn
            variables = stages.train(
                stages.stage_config(config, config.stage, config.stage),
                source,
                workdir / config.stage,
                name=config.model.kind,
                variables=variables,
                validation=validation_batch(sets.open(config.data, "val")),
            )
        about = provenance.of(config, source)
        about |= {"degradation": config.data.degradation, "scale": config.data.scale}
        weights.save(folder, variables, about)
    test(config, workdir, sets.open(config.data, "test"))


def begin(config: ConfigDict, source: Any) -> dict:
    """Start values: drawn, with the bands' statistics of the training set, or fitted."""
    task = systems.make(stages.stage_config(config, config.stage, config.stage))
    variables = jax.device_get(once.jit(task.init)(provenance.key(config), {}))
    if config.model.kind == "linear":
        pairs = ((2 * small - 1, 2 * large - 1) for small, large in sample(config, source))
        variables["params"]["net"] = baselines.fit(pairs, config.data.scale)
    elif config.model.kind not in baselines.KINDS:
        model = models.make(config.to_dict())
        variables["statistics"] = models.measure_statistics(model, sample(config, source))
    return variables


def sample(config: ConfigDict, source: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs `[b h w 1]`, `[b H W 1]` of the training set, other windows than training's."""
    batches = pipeline.train_batches(
        source,
        crops=(max(config.data.crops),),
        batch_size=min(32, 4 * config.data.batch_size),
        seed=config.seed + 1,
        num_steps=FITTED,
    )
    for _ in range(FITTED):
        batch = next(batches)
        yield batch["image"], batch["target"]


def validation_batch(source: Any, most: int = 24) -> dict[str, Any]:
    """The middle of the first frames of a source, as one batch for the training's curve."""
    found = [source[i] for i in range(min(len(source), most))]
    side = min(min(e["image"].shape[:2]) for e in found)
    side = min(side, 64)
    images, targets = [], []
    for example in found:
        scale = example["target"].shape[0] // example["image"].shape[0]
        y, x = ((n - side) // 2 for n in example["image"].shape[:2])
        image = example["image"][y : y + side, x : x + side]
        target = example["target"][scale * y : scale * (y + side), scale * x : scale * (x + side)]
        images.append(unit(image)[..., :1])
        targets.append(unit(target)[..., :1])
    return {
        "image": np.stack(images),
        "target": np.stack(targets),
        "kind": [e["kind"] for e in found],
    }


def unit(pixels: np.ndarray) -> np.ndarray:
    """float32 in [0, 1] of 8 or 16 bits."""
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


class Enlarger:
    """A trained run, or 'bicubic', as a function of a frame `[h w c]`; `[H W c]` float32."""

    def __init__(self, workdir: pathlib.Path | str, steps: int = 0, scale: int = 4):
        self.about: dict[str, Any] = {"degradation": None}
        if str(workdir) == "bicubic":
            self.scale, self.name = scale, "bicubic"
            return
        config, task, variables, about = system(pathlib.Path(workdir), steps)
        self.scale, self.name, self.about = config.model.scale, naming(config, steps), about
        self._restorer = runner.Restorer(task, variables, config.tiles)
        self.about["parameters"] = sum(np.size(x) for x in jax.tree.leaves(variables["params"]))

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, dict]:
        if self.name == "bicubic":
            h, w = (self.scale * n for n in image.shape[:2])
            return np.asarray(resize.bicubic(unit(image), (h, w), like="torch")), {}
        return self._restorer(image if image.dtype == np.uint8 else unit(image))


def naming(config: ConfigDict, steps: int) -> str:
    """What a table calls a run."""
    kind = config.model.kind
    if kind in ("diffusion", "cascade", "plan_b", "plan_c"):
        count = steps or config.sampling.steps
        codec = "" if config.codec.kind == "packed" else f" {config.codec.kind}"
        return f"{kind}{codec}, {count} step{'s' * (count > 1)}"
    return kind


def system(workdir: pathlib.Path, steps: int = 0) -> tuple[ConfigDict, Task, dict, dict[str, Any]]:
    """The trained network of a workdir, sampled in `steps` steps where not 0."""
    config = settings.read(workdir)
    if config.system != "irsr":
        raise errors.bad("model", str(workdir), f"a run of {config.system}, expected irsr")
    if steps:
        config.sampling.steps = steps
    staged = stages.stage_config(config, config.stage, config.stage)
    return config, *provenance.read(staged, workdir / "system")


def test(config: ConfigDict, workdir: pathlib.Path, source: Any) -> None:
    """Rows, summary and report on `source`; skipped where they stand already."""
    stamp.once(
        config,
        workdir,
        lambda: compare([str(workdir)], source, workdir, samples=config.evaluate.samples),
        {
            "weights_hash": stamp.weights_hash(workdir),
            "data_hash": sources.fingerprint(source),
            "protocol": config.evaluate.protocol,
        },
    )
    report.build(workdir)


def compare(
    models: Sequence[str],
    source: Any,
    out: pathlib.Path,
    *,
    samples: int = 6,
    crop_border: int = 0,
) -> dict:
    """Measures runs on one source beside bicubic; writes `frames.json`, rows and pictures.

    Args:
      models: workdirs; `DIR:STEPS` samples a diffusion in so many steps.
    """
    enlargers: dict[str, Enlarger] = {}
    for word in models:
        folder, steps = parse(word)
        enlarger = Enlarger(folder, steps)
        name = enlarger.name
        if name in enlargers:
            name = f"{name} ({pathlib.Path(folder).name})"
        enlargers[name] = enlarger
    if len({e.scale for e in enlargers.values()}) > 1:
        raise errors.InputError("compare: the runs enlarge by different factors.")
    scale = next(iter(enlargers.values())).scale
    warned = check_degradation(enlargers, source)
    made = evaluation.measure(
        {"bicubic": Enlarger("bicubic", scale=scale), **enlargers},
        source,
        out,
        samples=samples,
        crop_border=crop_border,
    )
    made["models"] = {name: e.about for name, e in enlargers.items()}
    made["warnings"] = warned
    files.write_json(out / "frames.json", made)
    return made


def parse(word: str) -> tuple[str, int]:
    """Workdir and steps of 'DIR' or 'DIR:STEPS'; 0 steps are the run's own."""
    folder, colon, steps = word.rpartition(":")
    if not colon or pathlib.Path(word).exists():
        return word, 0
    if not steps.isdigit() or not int(steps):
        raise errors.bad("model", word, "expected DIR or DIR:STEPS, steps from 1 on")
    return folder, int(steps)


def source(config: ConfigDict, data: str | None) -> Any:
    """A folder of frames, made small as the run was trained where they come alone."""
    if not data:
        return sets.open(config.data, "test")
    found = frames.folder(data, config.model.scale)
    return sets.Degraded(found, config.data.degradation, config.model.scale)


def restorer(
    config: ConfigDict, workdir: pathlib.Path, options: RestoreOptions
) -> tuple[Callable, dict[str, Any]]:
    """A trained run as a function of one float32 picture, and its settings.

    The network sees brightness; colours, where there are any, are interpolated.
    """
    if config.tiles.get("average"):
        raise errors.bad("--tile-mode", "average", "frames that are enlarged are not averaged")
    pictures.allow(config, options.memory, options.devices)
    _, task, variables, about = system(workdir)
    memory = config.tiles.get("memory", 0) or None
    program = bounded.Restorer(task, variables, config.tiles, memory)

    def restore(rgb):
        luma = rgb @ np.float32([0.299, 0.587, 0.114])
        flat = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all())
        luma = rgb[..., :1] if flat else luma[..., None]
        large, said = program(np.ascontiguousarray(luma))
        if flat:
            large = np.broadcast_to(large, (*large.shape[:2], 3))
        else:
            up = lambda x: np.asarray(resize.bicubic(x, large.shape[:2], like="torch"))
            large = up(rgb) + (large - up(luma))
        costs = ("latency_ms", "ms_per_mp", "mem_gb")
        return large, {"route": naming(config, 0), **{name: float(said[name]) for name in costs}}

    restore.scale = task.scale
    tiles = config.tiles
    return restore, {
        "model": f"infrared, {naming(config, 0)}",
        "weights_hash": files.sha256(workdir / "system" / "weights.npz"),
        "commit": about.get("commit"),
        "scale": task.scale,
        "degradation": about.get("degradation"),
        "sampling": config.sampling.to_dict(),
        "seed": config.seed,
        "tile": tiles.tile,
        "overlap": tiles.overlap,
        "blend": tiles.blend,
    }


def plan_pictures(
    config: ConfigDict, workdir: pathlib.Path | None, options: RestoreOptions
) -> bounded.Restorer:
    """The network that plan asks what a picture takes."""
    pictures.allow(config, options.memory, options.devices)
    if workdir is None:
        raise errors.InputError("plan: an infrared run is planned when trained: name its --model.")
    _, task, variables, _ = system(workdir)
    return bounded.Restorer(task, variables, config.tiles, config.tiles.get("memory", 0) or None)


def check_degradation(enlargers: Mapping[str, Enlarger], source: Any) -> list[str]:
    """Warns where frames were not made small the way that a run was trained on."""
    names = set()
    for i in range(min(len(source), 3)):
        example = source[i]
        if "target" in example and "image" in example:
            scale = example["target"].shape[0] // example["image"].shape[0]
            made = downscale.identify(example["target"], example["image"], scale)
            names.add(example.get("shrunk_by") or made)
    found = names.pop() if len(names) == 1 else None
    warned = []
    for name, enlarger in enlargers.items():
        trained = enlarger.about.get("degradation")
        unknowable = found is None and trained == "real-esrgan"  # no bicubic, which is right
        if trained in (None, found) or unknowable:
            continue
        cure = f" Train it with --config.data.degradation={found}." if found else ""
        line = (
            f"{name} was trained on {trained}, these frames were made small by "
            f"{found or 'no bicubic'}: it may do worse than bicubic.{cure}"
        )
        print(f"warning: {line}")
        warned.append(line)
    return warned
