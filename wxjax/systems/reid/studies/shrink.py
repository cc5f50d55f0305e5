"""A trained network made smaller: units and experts pruned and fine-tuned, kernels in int8."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import files, systems
from wxjax.evaluate import cost
from wxjax.recipes import stages
from wxjax.systems.reid import compress, ranking, training
from wxjax.systems.reid import measure as evaluation
from wxjax.systems.reid.data import identities, shots
from wxjax.systems.reid.experts import WIDTHS
from wxjax.systems.reid.measure import Embedder
from wxjax.systems.reid.model import Network
from wxjax.systems.reid.sizes import sizes_of
from wxjax.task import Task
from wxjax.train import loop


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Prunes at every ratio of `config.shrink`, expert by expert, and quantises.

    Writes shrink.json. Of experts, the one with the least usage times contribution on the
    validation split goes first, until one is left; scores are taken anew after each.

    Latencies are of batches of 32, the programs of all rows run in turn.
    """
    task, variables, about, one = training.system(config, workdir)
    test = shots.open(config.data, "test")
    known = evaluation.describe(test)
    rows: dict[str, dict[str, Any]] = {}
    programs: dict[str, Any] = {}

    def add(name, task, variables, more):
        embed = Embedder(task, variables, config.evaluate.batch_size)
        ranked, _, _ = evaluation.compare(
            known, embed(test, label=name)["feature"], protocol=training.protocol(config)
        )
        found = ranking.scores(ranked)
        rows[name] = {"map": found["map"], "rank1": found["rank1"], **more}
        shape = 32, len(config.data.modalities), *config.data.size, 3
        batch = {"image": np.zeros(shape, np.float32)}
        placed = jax.device_put((variables, batch))
        compiled = jax.jit(task.predict).lower(*placed).compile()
        programs[name] = lambda: jax.block_until_ready(compiled(*placed))
        print(f"{name:24s} mAP {100 * found['map']:.2f}", *(f"{k} {v}" for k, v in more.items()))

    count = lambda tree: sum(np.size(x) for x in jax.tree.leaves(tree))
    whole = count(compress.bank(variables["params"]))
    for ratio in config.shrink.ratios:
        small = jax.device_get(compress.pruned(variables["params"], float(ratio)))
        bank = compress.bank(small)
        width = bank["in"]["bias"].shape[-1]
        again = ConfigDict(one.to_dict())
        again.model.experts.ratio = width / again.model.features
        smaller = systems.make(again)
        start = {**variables, "params": small}
        size = {"expert_parameters": count(bank), "share": round(count(bank) / whole, 4)}
        add(f"pruned {ratio:g}", smaller, start, {**size, "fine_tuned": 0})
        if ratio > 0 and config.shrink.fine_tune:
            tuned = fine_tune(config, again, smaller, start, workdir / f"shrink/{ratio:g}")
            size["fine_tuned"] = config.shrink.fine_tune
            add(f"pruned {ratio:g}, tuned", smaller, tuned, size)
    left, values, shape = one, variables, sizes_of(one)
    while compress.removable(shape) and len(shape.scales) > 1:
        least = int(np.argmin(scores(config, left, values)))
        small = jax.device_get(compress.without(values["params"], shape, least))
        left, values = fewer(left, least), {**values, "params": small}
        shape = sizes_of(left)
        smaller, label = systems.make(left), "experts " + " ".join(shape.labels())
        kept = count(compress.bank(small))
        size = {"expert_parameters": kept, "share": round(kept / whole, 4)}
        add(label, smaller, values, {**size, "fine_tuned": 0})
        if config.shrink.fine_tune:
            place = workdir / "shrink" / label.replace(" ", "-")
            values = fine_tune(config, left, smaller, values, place)
            add(f"{label}, tuned", smaller, values, {**size, "fine_tuned": config.shrink.fine_tune})
    for share in WIDTHS[:-1] if one.model.experts.slimmable else ():
        add(f"width {share:g}", narrowed(task, share), variables, {"share": share})
    if one.model.experts.get("adaptive", False):
        rows["width by shot"] = adaptive(config, task, variables, known, test)
    once, sizes = compress.weight_only(variables["params"])
    add("int8 weights", task, {**variables, "params": jax.device_get(once)}, {"bytes": sizes})
    inner = compress.dynamic(variables["params"])
    add("int8 experts, dynamic", task, {**variables, "params": jax.device_get(inner)}, {})
    time_each(rows, programs, config.evaluate.repeats)
    made = {"rows": rows, "weights": about.get("seed"), "device": cost.device_name()}
    files.write_json(workdir / "shrink.json", made)
    return made


def narrowed(task: Task, share: float) -> Task:
    """The task with experts of a share of their width."""
    return task._replace(predict=lambda v, b: task.predict(v, {**b, "share": share}))


def time_each(rows: dict[str, dict], programs: dict[str, Any], repeats: int) -> None:
    """Milliseconds per shot of every program, run in turn, into its row."""
    spent = cost.interleaved(programs, warmups=3, repeats=repeats)
    for name, times in spent.items():
        rows[name]["ms_a_shot"] = float(np.median(times)) * 1e3 / 32


def adaptive(config: ConfigDict, task: Any, variables: Any, known: Any, test: Any) -> dict:
    """Each shot at the width that it asks for; by masks, so no time is saved."""
    made = {}
    for share in WIDTHS:
        narrow = task._replace(
            predict=lambda v, b, share=share: task.predict(v, {**b, "share": share})
        )
        made[share] = Embedder(narrow, variables, config.evaluate.batch_size)(test)
    asked = made[WIDTHS[-1]]["width"]
    feature = np.select(
        [asked[:, None] == share for share in WIDTHS], [made[s]["feature"] for s in WIDTHS]
    )
    ranked, _, _ = evaluation.compare(known, feature, protocol=training.protocol(config))
    found = ranking.scores(ranked)
    return {
        "map": found["map"],
        "rank1": found["rank1"],
        "share": round(float(asked.mean()), 4),
        "asked": {str(share): int((asked == share).sum()) for share in WIDTHS},
    }


def scores(config: ConfigDict, one: Any, variables: Any) -> np.ndarray:
    """Usage times contribution of every expert, on the validation split."""
    net = Network(dataclasses.replace(sizes_of(one), executor="dense"))  # others keep no outputs

    @jax.jit
    def apply(variables, batch):
        camera = batch.get("camera")
        said = net.apply(variables, batch["image"], batch["present"], camera=camera)
        return compress.expert_scores(said["gates"], said["outputs"])

    source = shots.open(config.data, "val")
    found = []
    for batch in identities.eval_batches(source, config.evaluate.batch_size):
        batch.pop("mask")  # the last batch repeats a shot: no harm to a mean that only ranks
        found.append(np.asarray(apply(variables, batch)))
    return np.mean(found, 0)


def fewer(one: Any, index: int) -> ConfigDict:
    """The run's config without one expert."""
    found = ConfigDict(one.to_dict())
    drop = lambda values: tuple(v for i, v in enumerate(values) if i != index)
    found.model.scales = drop(found.model.scales)
    ratio = found.model.experts.ratio
    if not isinstance(ratio, int | float):
        found.model.experts.ratio = drop(ratio)
    gate = found.model.gate
    gate.top_k = min(gate.top_k, len(found.model.scales))
    gate.least = min(gate.least, gate.top_k or len(found.model.scales))
    return found


def fine_tune(config: ConfigDict, one: Any, task: Any, variables: Any, place: pathlib.Path) -> dict:
    """A few steps from pruned weights, at a tenth of the rate."""
    short = stages.stage_config(config, config.stage, config.stage)
    short.model = one.model
    short.num_steps = int(config.shrink.fine_tune)
    short.checkpoint.best, short.evaluate.patience = "", 0
    short.checkpoint.every_steps = short.evaluate.every_steps = short.num_steps
    short.optimizer.learning_rate = 0.1 * config.stages[config.stage].optimizer.learning_rate
    short.optimizer.warmup_steps = 0
    source = shots.open(config.data, "train")
    batches = identities.train_batches(
        source,
        identities=config.data.batch.identities,
        instances=config.data.batch.instances,
        seed=config.seed + 1000,
        **config.data.augment.to_dict(),
    )
    state = loop.train(task, short, batches, place, variables=variables, name=place.name)
    return jax.device_get(state.variables)
