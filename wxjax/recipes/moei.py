"""DehazeXL-MoE-I from photographs to a report, as the method reads.

A stage whose product stands in the workdir is skipped; a killed run goes on where it was.
"""

import functools
import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files, systems
from wxjax.data import embedded, sources
from wxjax.evaluate import runner
from wxjax.metrics import calibration, restoration
from wxjax.nn import experts
from wxjax.recipes import evidence, stages
from wxjax.systems.moei import router as routers
from wxjax.systems.moei import task as moei
from wxjax.systems.moei.task import EXPERTS
from wxjax.task import DEGRADATIONS
from wxjax.train import once, weights


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains what is missing, measures it on the test split, and writes the report."""
    if config.data.name == "embedded":
        print(embedded.describe())
    load = functools.cache(lambda split: sources.open(config.data, split))
    system = workdir / "system"
    if not (system / "weights.json").exists():
        dense = train_dense(config, load("train"), load("val_router"), workdir)
        shelled = with_shells(config, dense)
        parts = [train_expert(config, shelled, kind, load, workdir) for kind in DEGRADATIONS]
        unified = train_unified(config, dense, load, workdir)
        variables = assemble(config, shelled, dense, [unified, *parts])
        labelled = sources.spread(load(router_split(config)), config.router.get("labels", 0))
        seen = look(config, variables, labelled, workdir / "router" / "labels")
        start = fit_start(config, [load("train"), load(router_split(config))])
        router = train_router(config, seen, workdir, start)
        variables["params"]["router"] = router["params"]["router"]
        parts = [
            look(config, variables, load(split), workdir / "router" / f"calibration-{split}")
            for split in calibration_splits(config)
        ]
        variables["calibration"] = calibrate(config, together(parts))
        weights.save(system, variables, evidence.provenance(config, load("train")))
    evidence.test(config, workdir, load("test"), mixed=evidence.mixed(config))


def train_dense(config, source, held_out, workdir) -> dict:
    """All of the backbone, all degradations together."""
    stage = stages.stage_config(config, "dense", "dense", losses=config.dense_losses)
    check = stages.validation_batch(held_out, side=config.model.region, count=24)
    return stages.train(stage, source, workdir / "dense", name="dense", validation=check)


def train_expert(config, variables, degradation, load, workdir) -> dict:
    """Shells and top layers on one degradation, then a few more layers at a lower rate.

    A part of no steps is left out, and its layers stay as they are.
    """
    name = EXPERTS[DEGRADATIONS.index(degradation)]
    source = sources.only(load("train"), degradation)
    for part, unfrozen in patterns(config).items():
        if config.stages[part].num_steps == 0:
            continue
        stage = stages.stage_config(config, name, part)
        stage.optimizer.frozen = (all_but(unfrozen, shells=True),)
        variables = stages.train(
            stage, source, workdir / name / part, name=f"{name} {part}", variables=variables
        )
    return variables


def train_unified(config, dense, load, workdir) -> dict:
    """Dense-Unified: as many more presentations as the experts get, over the same layers."""
    stage = stages.stage_config(config, "dense", "part1", losses=config.dense_losses)
    lengths = [config.stages[part].num_steps for part in ("part1", "part2")]
    stage.num_steps = len(EXPERTS) * sum(lengths)
    stage.checkpoint.every_steps = stage.evaluate.every_steps = max(lengths)
    stage.optimizer.frozen = (all_but(patterns(config)["part2"], shells=False),)
    return stages.train(stage, load("train"), workdir / "unified", name="unified", variables=dense)


def patterns(config) -> dict[str, tuple[str, ...]]:
    """Unfrozen layers a part; the second part keeps those of the first."""
    first, second = tuple(config.unfrozen.part1), tuple(config.unfrozen.part2)
    if config.stages.part2.num_steps == 0:
        second = ()
    return {"part1": first, "part2": first + second}


def all_but(unfrozen: tuple[str, ...], *, shells: bool) -> str:
    """A pattern of every parameter's name but shells and the given layers."""
    kept = [f"backbone/{pattern}$" for pattern in unfrozen] + [".*/shell"] * shells
    return f"(?!{'|'.join(kept)}).*"


def with_shells(config, dense) -> dict:
    """Dense's leaves, and fresh shells that change nothing yet."""
    engine = moei.make_engine(config)
    draw = once.jit(lambda key: moei.init_backbone(engine.shelled, key, {}))
    fresh = jax.device_get(draw(evidence.key(config)))["params"]["backbone"]
    shared = experts.flatten(dense["params"]["backbone"])
    return {"params": {"backbone": experts.unflatten({**experts.flatten(fresh), **shared})}}


def assemble(config, shelled, dense, parts) -> dict:
    """Shared backbone, stacked deltas (Dense-Unified first), and a router still untrained."""
    shelled = experts.flatten(shelled["params"]["backbone"])
    whole = [
        experts.unflatten({**shelled, **experts.flatten(part["params"]["backbone"])})
        for part in parts
    ]
    task = systems.make(stages.stage_config(config, "system", "router"))
    draw = once.jit(lambda key: task.init(key, {}))
    variables = jax.device_get(draw(evidence.key(config)))
    owned = list(experts.flatten(variables["params"]["experts"]))
    variables["params"]["backbone"] = dense["params"]["backbone"]
    variables["params"]["experts"] = jax.device_get(experts.stack(whole, owned))
    return variables


def router_split(config) -> str:
    """Where the gate's labels come from: images that no expert trained on.

    The embedded set has two photographs to spare, and a gate that knows two scenes
    takes them for the weather; it learns on new compositions of the training
    photographs instead, under weather that no expert has seen.
    """
    return "router" if config.data.name == "embedded" else "val_router"


def calibration_splits(config) -> tuple[str, ...]:
    """Images that neither the experts nor the gate learned from."""
    spared = ("val_router",) if router_split(config) != "val_router" else ()
    return (*spared, "val_calib")


def together(parts: list[runner.Seen]) -> runner.Seen:
    ids, *arrays = zip(*parts, strict=True)
    return runner.Seen(sum(ids, []), *map(np.concatenate, arrays))


def look(config, variables, source, folder: pathlib.Path) -> runner.Seen:
    """Every expert on images that none of them saw, and what the gate reads of them."""
    stage = stages.stage_config(config, "system", "router")
    region, largest = config.model.region, max(source[0]["image"].shape[:2])
    if largest <= region:  # no tile of several regions, mostly padding, for small crops
        stage.tiles.update(tile=region, overlap=0)
    task = systems.make(stage)
    restorer = runner.Restorer(task, variables, stage.tiles)
    found = runner.run(
        task,
        restorer,
        source,
        routes=evidence.ROUTES,
        protocol=config.evaluate.protocol,
        total=len(source),
        label=f"experts on {folder.name}",
        measure=restoration.squared_error,
        actual=False,
    )
    files.write_jsonl(folder / "per_image.jsonl", found.rows)
    return found.seen


def fit_start(config, splits: list) -> dict:
    """What the gate starts as: it tells a picture's degradation by the picture's own statistics.

    No network is asked, so the pictures that the backbone learns on serve too.
    """
    settings = config.router.start
    found, kinds = [], []
    for source in splits if settings.count else ():
        picks = np.unique(np.linspace(0, len(source) - 1, settings.count).round().astype(int))
        for i in picks:
            example = source[int(i)]
            if (kind := int(example["degradation"])) >= 0:
                found.append(routers.signs_of(middle(example["image"], 256)))
                kinds.append(kind)
    if not found:
        return jax.device_get(routers.init_start(len(EXPERTS)))
    return routers.fit_start(np.stack(found), np.array(kinds), len(EXPERTS), settings.strength)


def middle(image: np.ndarray, most: int) -> np.ndarray:
    """The middle of `[h w 3]`, at most `most` pixels a side."""
    h, w = image.shape[:2]
    y, x = max(0, h - most) // 2, max(0, w - most) // 2
    return image[y : y + most, x : x + most]


def train_router(config, seen: runner.Seen, workdir, start: dict | None) -> dict:
    """The gate on stored vectors, towards soft labels: KL(q, p); the `start` stays.

    None: the gate has no start.
    """
    q = soft_labels(seen.mse[:, 1:], config.router)
    q = with_prior(q, seen.degradation, config.router.prior)
    entropy = -(q * np.log(np.maximum(q, 1e-12))).sum(-1).mean()
    files.write_json(
        workdir / "router" / "labels" / "labels.json",
        {
            "mse_scale": config.router.mse_scale,
            "mean_entropy_nats": entropy,
            "largest_entropy_nats": np.log(q.shape[1]),
            "oracle_is_the_degradation's_expert": np.mean(q.argmax(-1) == seen.degradation),
        },
    )
    arrays = {"vector": seen.vector, "grid": seen.grid, "q": q}
    arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    stage = stages.stage_config(config, "router", "router")
    stage.optimizer.frozen = ("router/standard/.*", *["router/start/.*"] * bool(start))
    variables = jax.device_get(systems.make(stage).init(evidence.key(config), arrays))
    variables["params"]["router"]["standard"] = routers.standard(arrays["vector"])
    if start:
        variables["params"]["router"]["start"] = start
    return stages.train_on_arrays(
        stage,
        arrays,
        workdir / "router",
        batch_size=config.router.batch_size,
        name="router",
        variables=variables,
    )


def soft_labels(mse: np.ndarray, config: Any) -> np.ndarray:
    """q over experts from their errors `[n k]`, by `config.mse_scale`.

    'unit': q ~ exp(-beta MSE); 'relative': MSE over its mean an image; 'decibel':
    q ~ exp(PSNR / s), s = `config.decibels`. With MSE near 1e-3 'unit' is uniform to
    within a few per cent, so the router learns to be unsure.
    """
    if config.mse_scale == "unit":
        score = -config.beta * mse
    elif config.mse_scale == "relative":
        score = -config.beta * mse / mse.mean(-1, keepdims=True)
    elif config.mse_scale == "decibel":
        score = -10 * np.log10(np.maximum(mse, 1e-10)) / config.decibels
    else:
        choices = ("unit", "relative", "decibel")
        raise errors.unknown("config.router.mse_scale", config.mse_scale, choices)
    q = np.exp(score - score.max(-1, keepdims=True))
    return q / q.sum(-1, keepdims=True)


def with_prior(q: np.ndarray, degradation: np.ndarray, share: float) -> np.ndarray:
    """`share` of each label moved to the expert of the image's degradation, where it is known.

    With few router images the errors of neighbouring experts are noise; the degradation is not.
    """
    known = (degradation >= 0)[:, None]
    own = np.eye(q.shape[1])[np.maximum(degradation, 0)]
    return np.where(known, (1 - share) * q + share * own, q)


def calibrate(config, seen: runner.Seen) -> dict:
    """Temperature and lapses by NLL of the best expert; threshold by the best mean PSNR."""
    oracle = seen.mse[:, 1:].argmin(-1)
    temperature, lapse = calibration.fit_temperature(seen.logits, oracle), 0.0
    if config.router.get("lapses", False):
        temperature, lapse = calibration.fit_lapses(seen.logits, oracle)
    probs = calibration.with_lapses(calibration.softmax(seen.logits, temperature), lapse)
    psnr = -10 * np.log10(np.maximum(seen.mse, 1e-10))
    dense = psnr[:, 0]
    picked = np.take_along_axis(psnr[:, 1:], probs.argmax(-1)[:, None], -1)[:, 0]
    best = calibration.best_threshold(
        probs.max(-1),
        picked,
        dense,
        limit=config.router.max_abstention,
        group=seen.degradation,
    )
    return {
        "temperature": np.float32(temperature),
        "lapse": np.float32(lapse),
        "threshold": np.float32(best["threshold"]),
    }
