"""One variant of re-identification with one seed, trained and read back.

A run `<variant>/seed<n>/` whose weights stand is not trained again; a killed one goes on
where it was. `system/` is the first variant with the first seed: what `search` and
`explain` use.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files, systems
from wxjax.interop import state_files
from wxjax.metrics import routing
from wxjax.recipes import stages
from wxjax.systems.reid import clip, variants
from wxjax.systems.reid import measure as evaluation
from wxjax.systems.reid.data import identities
from wxjax.systems.reid.measure import Embedder
from wxjax.systems.reid.sizes import sizes_of
from wxjax.train import checkpoint, loop, once, provenance, weights


def folder(workdir: pathlib.Path, variant: str, seed: int) -> pathlib.Path:
    return workdir / variant / f"seed{seed}"


def variant_config(config: ConfigDict, name: str, seed: int, classes: int) -> ConfigDict:
    """What the task and the loop of one run see."""
    out = stages.stage_config(config, config.stage, config.stage)
    out.model.identities = int(classes)
    return variants.apply(out, name)


def train(config: ConfigDict, workdir: pathlib.Path, name: str, seed: int, load: Callable) -> None:
    """One variant with one seed; returns at once where its weights stand."""
    place = folder(workdir, name, seed)
    if (place / "last" / weights.CARD).exists():
        return
    source, check = load("train"), load("val")
    one = variant_config(config, name, seed, len(np.unique(source.pids)))
    task = systems.make(one)
    batches = identities.train_batches(
        source,
        identities=config.data.batch.identities,
        instances=config.data.batch.instances,
        seed=config.seed + seed,
        **config.data.augment.to_dict(),
    )
    # The seed reaches init as an argument and the step through the order of the shots, so
    # that all seeds of a variant share their compiled programs.
    variables = pretrained(one, start(task, config.seed + seed))
    watch = validator(task, check, config)
    state = loop.train(
        task, one, batches, place, variables=variables, evaluate=watch, name=f"{name} {seed}"
    )
    about = provenance.of(one, source)
    about |= {
        "seed": config.seed + seed,
        "variant": name,
        "classes": one.model.identities,
        "best_step": checkpoint.best_step(place / "checkpoints", one.checkpoint.best),
    }
    about["model"] = one.model.to_dict()
    if about["best_step"] not in (None, int(state.step)):
        picked = checkpoint.load_variables(place, about["best_step"])
        weights.save(place / "best", picked, about)
    weights.save(place / "last", jax.device_get(state.variables), about)


def start(task: Any, seed: int) -> dict:
    """Fresh variables."""
    return once.jit(lambda key: task.init(key, {}))(jax.random.key(seed))


def pretrained(config: ConfigDict, variables: dict) -> dict:
    """Variables whose trunk comes from the file that `config.model.pretrained` names.

    Raises:
      InputError: for another backbone, or a file that is no CLIP checkpoint.
    """
    path = config.model.pretrained
    if not path:
        return variables
    sizes = sizes_of(config)
    if sizes.backbone != "vit_b16" or not sizes.shared_stem:
        expected = "needs model.backbone=vit_b16 and model.shared_stem=True"
        raise errors.bad("config.model.pretrained", path, expected)
    trunk = clip.trunk(state_files.read(path), sizes.grid)
    params = {**variables["params"], "backbone": {"vit": trunk}}
    weights.check({"params": params}, {"params": variables["params"]}, path)
    return {**variables, "params": params}


def validator(task: Any, source: Any, config: ConfigDict) -> Callable:
    """mAP and gates on held-out identities, for the curves and the best step."""
    known = evaluation.describe(source)
    before: dict[str, np.ndarray] = {}
    predict = jax.jit(task.predict)

    def watch(variables, step):
        embed = Embedder(task, variables, config.evaluate.batch_size, predict)
        out = embed(source)
        found, q, _ = evaluation.compare(known, out["feature"], protocol=protocol(config))
        rows = evaluation.rows(known, found, q, "", 0)
        values = task.summarize(rows)
        if "gates" in out:
            flat = out["gates"].reshape(-1, out["gates"].shape[-1])
            heads = [routing.soft(out["gates"][:, i]) for i in range(out["gates"].shape[1])]
            values["gate_entropy"] = float(np.mean([h["entropy"] for h in heads]))
            values["gate_decidedness"] = float(np.max([h["decidedness"] for h in heads]))
            values |= {f"gate_usage_{i}": float(u) for i, u in enumerate(flat.mean(0))}
            if "gates" in before:
                change = routing.drift(before["gates"], flat)
                values |= {f"gate_{name}": value for name, value in change.items()}
            before["gates"] = flat
        return values

    return watch


def protocol(config: ConfigDict) -> str:
    """What a true match must differ in: 'auto' is the scene for msvr310, else the camera."""
    named = config.evaluate.protocol
    if named == "auto":
        return "scene" if config.data.name == "msvr310" else "camera"
    if named not in evaluation.PLACES:
        raise errors.unknown("config.evaluate.protocol", named, ("auto", *evaluation.PLACES))
    return named


def ship(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Puts the first variant's first run where `search` and `explain` look for it."""
    name = variants.expand(config.study.variants)[0]
    place = folder(workdir, name, int(config.study.seeds[0])) / "last"
    for file in (weights.ARRAYS, weights.CARD):
        files.write_bytes(workdir / "system" / file, (place / file).read_bytes())


def system(
    config: ConfigDict, workdir: pathlib.Path, place: pathlib.Path | None = None
) -> tuple[Any, dict, dict, ConfigDict]:
    """A trained network: its task, variables, provenance and config."""
    place = workdir / "system" if place is None else place
    if not (place / weights.CARD).exists():
        raise errors.InputError(
            f"{str(workdir)!r}: there is no trained run (no {place.name}/{weights.CARD}). Train "
            "one with `wxjax --config=configs/reid.py`, or name it with --workdir=DIR."
        )
    variables, about = weights.load(place)
    one = stages.stage_config(config, config.stage, config.stage)
    one.model = ConfigDict(about["model"])
    task = systems.make(one)
    weights.check(variables, jax.eval_shape(task.init, provenance.key(config), {}), place)
    return task, variables, about, one
