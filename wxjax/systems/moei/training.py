"""The model that ships: dense and the experts at once, on drawn weather, without end.

The run is meant to be stopped and continued: its rate is constant, and averaged weights
can be taken at any time. `anneal` ends it.
"""

import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from wxjax import files, systems
from wxjax import mesh as meshes
from wxjax.data import foreign, photographs
from wxjax.data.synthesis import pools
from wxjax.evaluate import runner
from wxjax.metrics import calibration
from wxjax.recipes import moei as recipe
from wxjax.recipes import stages
from wxjax.systems.moei import candidates, joint
from wxjax.systems.moei import router as routers
from wxjax.systems.moei import task as moei
from wxjax.systems.weather import degrade
from wxjax.train import checkpoint, loop, provenance, weights


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains until `train.num_steps`, or until stopped; then anneals, and trains the router."""
    variables = train(config, workdir)
    if config.stages.anneal.num_steps:
        variables = train(config, workdir, "anneal", variables)
    finish(config, variables, workdir)


def finish(config: ConfigDict, variables: dict, workdir: pathlib.Path) -> None:
    """Router, calibration and `system/` of averaged `variables` of the joint training."""
    source = photographs.Photographs(config.data.root)
    split = files.read_json(pathlib.Path(config.data.root) / "split.json")
    half = len(split["held_out"]) // 2
    known, unknown = split["trained"] + split["held_out"][:half], split["held_out"][half:]
    system = {**variables, "calibration": routers.uncalibrated()}
    taught = photographs.Photographs(source.folder, known)
    seen = look(config, system, taught, "labels", workdir)
    seen = recipe.together([seen, look(config, system, taught, "kinds", workdir)])
    router = recipe.train_router(config, seen, workdir, None)
    system["params"]["router"] = router["params"]["router"]
    stage = stages.stage_config(config, "system", "router")
    engine = moei.make_engine(stage)
    fresh = photographs.Photographs(source.folder, unknown)
    seen = look(config, system, fresh, "calibration", workdir, engine)
    system["calibration"] = recipe.calibrate(config, seen)
    weights.save(workdir / "system", system, provenance.of(config, fresh))
    print(json.dumps(judge(seen, system["calibration"]), indent=1))


SCALES = ((0.4, 1.0), (1.0, 1.5), (1.0, 3.0), (2.0, 8.0))  # of crops, over their side
BEST = 45.0  # dB: nobody sees a difference above, and the input of a clean picture has infinity


def look(config, variables, source, name: str, workdir: pathlib.Path, engine: Any = None) -> Any:
    """Every route on drawn weather over `source`, and what the gate reads of it.

    Some crops are whole pictures made smaller, some details made larger: the gate judges
    sharp pictures and soft ones.
    One in eight is no photograph at all (`data/foreign.py`), and is to be left alone.
    """
    engine = engine or moei.make_engine(stages.stage_config(config, "system", "router"))
    whole = measured(config, variables, source, name, workdir, engine)
    mse = np.maximum(whole["mse"], 10 ** (-BEST / 10))
    logits = np.zeros((len(mse), mse.shape[1] - 1))
    if "router" in variables["params"]:
        given = jnp.asarray(whole["vector"]), jnp.asarray(whole["grid"])
        gate = variables["params"]["router"]
        logits = np.asarray(routers.logits(engine.router, gate, *given, int8=engine.int8))
    files.write_json(workdir / "router" / f"{name}.json", summary(whole["kind"], mse))
    ids = [f"{name}-{i}" for i in range(len(mse))]
    kind = own_route(whole["kind"], whole["mse"])
    seen = runner.Seen(ids, kind, whole["vector"], whole["grid"], logits, mse)
    if name != "kinds":
        return seen
    plain = kind >= 0  # of the others neither the errors nor the route is known
    ids = [one for one, keep in zip(ids, plain, strict=True) if keep]
    return runner.Seen(ids, *(array[plain] for array in seen[1:]))


OWN = {"clean": 3, "haze": 0, "rain": 1, "veiled_rain": 1, "snow": 2}  # by kind, without Dense
SEEN = 30.0  # dB: weather that changes a picture less is not what a person would call weather


def own_route(kind: np.ndarray, mse: np.ndarray) -> np.ndarray:
    """The route that a person expects `[n]`, -1 where it is not plain.

    A young expert costs a lightly rained picture more than it gains, so by error alone the
    gate would leave visible rain in the picture and call that no weather.
    """
    own = np.array([OWN.get(name, -1) for name in degrade.KINDS])[kind]
    light = (-10 * np.log10(np.maximum(mse[:, -1], 1e-10)) > SEEN) & (own != OWN["clean"])
    return np.where(light, -1, own)


def measured(config, variables, source, name: str, workdir: pathlib.Path, engine: Any) -> dict:
    """Errors of every route and the gate's inputs, kept in the workdir: minutes of work."""
    path = workdir / "router" / f"{name}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    count, side = config.router[f"{name}_count"], config.router.crop
    rng = np.random.default_rng([config.seed, len(name)])
    every = name != "kinds"  # of these only the kind is asked, at a fifth of the cost
    ask = candidates.candidates if every else candidates.readings
    program = jax.jit(functools.partial(ask, engine))
    draw = compile_labels(config)
    parts: list[dict] = []
    batch = 8
    for number in range(-(-count // batch)):
        scales = (SCALES[i] for i in rng.integers(len(SCALES), size=batch))
        crops = [source.crop(rng, side, wide, narrow) for narrow, wide in scales]
        clean, depth = (np.stack(x) for x in zip(*crops, strict=True))
        shares = np.tile(np.asarray(config.router.shares, np.float32), (batch, 1))
        if number % 8 == 0:
            kinds = rng.choice(foreign.KINDS, batch)
            clean = np.stack([foreign.draw(kind, side, rng) for kind in kinds])
            shares = np.tile(np.eye(len(degrade.KINDS), dtype=np.float32)[:1], (batch, 1))
        sample = draw(number if every else 10_000 + number, clean, depth, shares)
        given = (sample.image, sample.target) if every else (sample.image,)
        found = {"kind": sample.kind, **program(variables, *given)}
        if not every:  # equal errors: a soft label that knows nothing, beside the kind
            kept = jnp.mean((sample.image - sample.target) ** 2, (1, 2, 3))
            found["mse"] = jnp.repeat(kept[:, None], len(joint.HEADS) + 1, 1)
        parts.append(jax.device_get(found))
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    with files.atomic(path) as file:
        np.savez(file, **whole)
    return whole


def compile_labels(config: ConfigDict) -> Callable:
    """The synthesis for crops of the router's size."""
    data = config.data
    layers = jax.device_put(pools.kept(data.root, **{**data.pools, "seed": data.pools.seed + 1}))
    draws = degrade.Draws(**dict(config.joint.draws))
    key = jax.random.key(config.seed + 1)

    @jax.jit
    def draw(number, clean, depth, shares):
        own = jax.random.fold_in(key, number)
        return degrade.degrade(own, clean, depth, layers, shares, draws=draws)

    return draw


def summary(kind: np.ndarray, mse: np.ndarray) -> dict:
    """Mean PSNR of every route by kind, and how often each is the best."""
    psnr, best = -10 * np.log10(mse), mse[:, 1:].argmin(-1)
    out = {}
    for i, name in enumerate(degrade.KINDS):
        of = kind == i
        if of.any():
            share = np.bincount(best[of], minlength=mse.shape[1] - 1) / of.sum()
            out[name] = {
                "count": int(of.sum()),
                "psnr": np.round(psnr[of].mean(0), 2).tolist(),
                "best": np.round(share, 3).tolist(),
            }
    return out


def judge(seen: Any, settings: dict) -> dict[str, float | int]:
    """Of calibrated choices: agreement with the best route and with the expected one, what is
    lost, and abstention."""
    temperature, lapse = float(settings["temperature"]), float(settings["lapse"])
    probs = calibration.with_lapses(calibration.softmax(seen.logits, temperature), lapse)
    psnr = -10 * np.log10(seen.mse)
    first = probs.argmax(-1)
    abstained = probs.max(-1) < float(settings["threshold"])
    index = np.where(abstained, 0, 1 + first)
    actual = psnr[np.arange(len(psnr)), index]
    near = psnr[:, 1:].max(-1) - psnr[np.arange(len(psnr)), 1 + first] < 0.1
    return {
        "count": len(psnr),
        "within_0.1_dB_of_best": float(near.mean()),
        "expected_route": float((first == seen.degradation)[seen.degradation >= 0].mean()),
        "confidence": float(probs.max(-1).mean()),
        "abstained": float(abstained.mean()),
        "psnr_actual": float(actual.mean()),
        "psnr_dense": float(psnr[:, 0].mean()),
        "psnr_oracle": float(psnr.max(-1).mean()),
        "left_alone": float((index == psnr.shape[1] - 1).mean()),
    }


def train(
    config: ConfigDict, workdir: pathlib.Path, length: str = "joint", variables: Any = None
) -> dict:
    """All heads at once, for as long as `stages[length]` says; returns averaged variables.

    `joint` goes on at a constant rate; `anneal` starts from its `variables`, on other draws,
    and lets the rate fall to nothing.
    """
    stage = stages.stage_config(config, "joint", length)
    stage.data.seed += length != "joint"
    task = systems.make(stage)
    names = files.read_json(pathlib.Path(config.data.root) / "split.json")["trained"]
    source = photographs.Photographs(config.data.root, names)
    mesh = meshes.make(stage.mesh.devices, batch_size=config.data.rows)
    batches = weather_batches(stage, source, mesh)
    state = loop.train(
        task, stage, batches, workdir / length, variables=variables, mesh=mesh, name=length
    )
    return stages.chosen(stage, workdir / length, state)


def weather_batches(
    config: ConfigDict, source: photographs.Photographs, mesh: Any
) -> grain.DatasetIterator:
    """Batches of degraded crops, drawn on the devices; the n-th depends on the seed and n.

    `image`, `target` float32 [b n s s 3] in [0, 1], `index` int32 [b].
    """
    data, heads = config.data, config.joint
    slots = tuple(heads.slots)
    crops = photographs.Crops(
        source,
        batch=data.rows,
        slots=sum(slots),
        size=data.crop,
        seed=data.seed,
        widest=data.widest,
    )
    draw = compile_draw(config, mesh)

    def degraded(given):
        given = meshes.put(given, mesh)
        return {**draw(given), "index": given["number"]}

    ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    batches = iter(grain.MapDataset.source(crops).to_iter_dataset(ahead).map(degraded))
    batches.source = crops  # what the loop compares when a run goes on
    return batches


def compile_draw(config: ConfigDict, mesh: Any) -> Callable[[dict], dict]:
    """The synthesis over a mesh: each device draws the rows that it holds."""
    heads, data = config.joint, config.data
    slots = zip(joint.HEADS, tuple(heads.slots), strict=True)
    rows = [heads[name] for name, count in slots for _ in range(count)]
    shares = np.asarray(rows, np.float32)
    layers = pools.kept(data.root, **data.pools, side=max(pools.SIDE, data.crop))
    layers = jax.device_put(layers, meshes.replicated(mesh))
    draws = degrade.Draws(**dict(heads.draws))
    split, same = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()

    def draw(given, layers):
        b, n = given["clean"].shape[:2]
        key = jax.random.key(data.seed)
        for number in (given["number"][0], given["row"][0]):
            key = jax.random.fold_in(key, number)
        clean, depth = (x.reshape(b * n, *x.shape[2:]) for x in (given["clean"], given["depth"]))
        sample = degrade.degrade(key, clean, depth, layers, jnp.tile(shares, (b, 1)), draws=draws)
        fold = lambda x: x.reshape(b, n, *x.shape[1:])
        return {"image": fold(sample.image), "target": fold(sample.target)}

    specs = dict(in_specs=(split, same), out_specs=split)
    program = jax.jit(jax.shard_map(draw, mesh=mesh, check_vma=False, **specs))
    return lambda given: program(given, layers)


def evaluate(config: ConfigDict, workdir: pathlib.Path, options: Any) -> Any:
    """Rows with `leave` among the routes are not what the page's tables hold yet.

    Raises:
      InputError: always, with the command that measures.
    """
    raise errors.InputError(
        "evaluate: the weather model leaves some pictures as they are, which the report's tables "
        "do not hold yet. Measure it with python -m experiments.weather_model.measure PAIRS MODEL."
    )


def load(folder: pathlib.Path) -> tuple[Any, dict, Any]:
    """A weather model as task, variables and tiles: of a finished run, or of one in training.

    Of a training the newest averaged weights are taken; without a router every picture must
    be given a route.
    """
    config = ConfigDict(files.read_json(folder / "config.json"))
    config.stage = "system"
    task = systems.make(config)
    if (folder / "system" / weights.CARD).exists():
        return task, weights.load(folder / "system")[0], config.tiles
    newest = max(checkpoint.steps(folder / "joint" / "checkpoints"))
    return task, checkpoint.load_variables(folder / "joint", newest), config.tiles
