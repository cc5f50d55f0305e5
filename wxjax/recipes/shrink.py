"""A trained network made smaller: hidden units pruned and fine-tuned, kernels in int8."""

import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import files
from wxjax import task as tasks
from wxjax.data import identities, shots
from wxjax.evaluate import cost
from wxjax.evaluate import retrieval as evaluation
from wxjax.evaluate.retrieval import Embedder
from wxjax.metrics import retrieval as ranking
from wxjax.recipes import retrieval, stages
from wxjax.systems.reid import compress
from wxjax.train import loop


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Prunes at every ratio of `config.shrink`, and quantises; writes shrink.json.

    Latencies are of batches of 32, the programs of all rows run in turn.
    """
    task, variables, about, one = retrieval.system(config, workdir)
    test = shots.open(config.data, "test")
    known = evaluation.describe(test)
    rows: dict[str, dict[str, Any]] = {}
    programs: dict[str, Any] = {}

    def add(name, task, variables, more):
        embed = Embedder(task, variables, config.evaluate.batch_size)
        ranked, _, _ = evaluation.compare(
            known, embed(test, label=name)["feature"], protocol=retrieval.protocol(config)
        )
        found = ranking.scores(ranked)
        rows[name] = {"map": found["map"], "rank1": found["rank1"], **more}
        batch = {
            "image": np.zeros((32, len(config.data.modalities), *config.data.size, 3), np.float32)
        }
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
        smaller = tasks.load(again)
        start = {**variables, "params": small}
        size = {"expert_parameters": count(bank), "share": round(count(bank) / whole, 4)}
        add(f"pruned {ratio:g}", smaller, start, {**size, "fine_tuned": 0})
        if ratio > 0 and config.shrink.fine_tune:
            tuned = fine_tune(config, again, smaller, start, workdir / f"shrink/{ratio:g}")
            steps = {"fine_tuned": config.shrink.fine_tune}
            add(f"pruned {ratio:g}, tuned", smaller, tuned, {**size, **steps})
    if one.model.experts.slimmable:
        for share in (0.25, 0.5):
            narrow = task._replace(
                predict=lambda v, b, share=share: task.predict(v, {**b, "share": share})
            )
            add(f"width {share:g}", narrow, variables, {"share": share})
    once, sizes = compress.weight_only(variables["params"])
    add("int8 weights", task, {**variables, "params": jax.device_get(once)}, {"bytes": sizes})
    inner = compress.dynamic(variables["params"])
    add("int8 experts, dynamic", task, {**variables, "params": jax.device_get(inner)}, {})
    spent = cost.interleaved(programs, warmups=3, repeats=config.evaluate.repeats)
    for name, times in spent.items():
        rows[name]["ms_a_shot"] = float(np.median(times)) * 1e3 / 32
    made = {"rows": rows, "weights": about.get("seed"), "device": cost.device_name()}
    files.write_json(workdir / "shrink.json", made)
    return made


def fine_tune(config: ConfigDict, one: Any, task: Any, variables: Any, place: pathlib.Path) -> dict:
    """A few steps from pruned weights, at a tenth of the rate."""
    short = stages.stage_config(config, config.stage, config.stage)
    short.model = one.model
    short.num_steps = int(config.shrink.fine_tune)
    short.checkpoint.best = ""
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
