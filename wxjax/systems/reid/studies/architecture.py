"""A search over fusion blocks: successive halving, then mutations of the best; random beside it.

The space: which scales, experts' width, depth and kind, gate depth, experts kept, pool.
Objective: validation mAP and the operations of the block. Candidates train in the one loop;
a candidate that goes on resumes its own run. Random search with the same number of steps is
the control that says whether halving was worth it.
"""

import csv
import io
import itertools
import json
import pathlib
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files, systems
from wxjax.systems.reid import training, variants
from wxjax.systems.reid.data import identities, shots
from wxjax.systems.reid.sizes import sizes_of
from wxjax.train import loop

CHOICES: dict[str, tuple] = {
    "scales": ((4,), (8,), (16,), (4, 8), (4, 16), (8, 16), (4, 8, 16)),
    "ratio": (1.0, 2.0, 4.0),
    "layers": (1, 2),
    "kind": ("mlp", "swiglu"),
    "depth": (1, 2, 3),
    "kept": (1, 2, 0),
    "pool": ("mean", "attn", "gem"),
}
COLUMNS = (*CHOICES, "steps", "map", "flops", "stage")


def draw(rng: np.random.Generator) -> dict[str, Any]:
    """A candidate, each choice uniform."""
    return settle({name: values[rng.integers(len(values))] for name, values in CHOICES.items()})


def mutate(candidate: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """One choice drawn anew, to another value."""
    name = list(CHOICES)[rng.integers(len(CHOICES))]
    others = [value for value in CHOICES[name] if value != candidate[name]]
    return settle({**candidate, name: others[rng.integers(len(others))]})


def settle(candidate: dict[str, Any]) -> dict[str, Any]:
    """The same candidate in one form: no more experts kept than there are."""
    kept = candidate["kept"]
    return {**candidate, "kept": 0 if kept >= len(candidate["scales"]) else kept}


def configured(config: ConfigDict, candidate: dict[str, Any]) -> ConfigDict:
    """`config`, changed in place."""
    config.model.scales = tuple(candidate["scales"])
    config.model.experts.update(
        ratio=candidate["ratio"], layers=candidate["layers"], kind=candidate["kind"]
    )
    config.model.gate.update(depth=candidate["depth"], top_k=candidate["kept"])
    config.model.windows.pool = candidate["pool"]
    return config


def pareto(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that no other one beats in both mAP and operations, cheapest first."""
    best = [
        row
        for row in rows
        if not any(
            other["map"] >= row["map"]
            and other["flops"] <= row["flops"]
            and (other["map"], other["flops"]) != (row["map"], row["flops"])
            for other in rows
        )
    ]
    return sorted(best, key=lambda row: row["flops"])


def key(candidate: dict[str, Any]) -> str:
    return json.dumps({name: candidate[name] for name in CHOICES}, sort_keys=True)


class Trainer:
    """Trains candidates for more and more steps; every score is a row."""

    def __init__(self, config: ConfigDict, workdir: pathlib.Path):
        self._config, self._workdir = config, workdir
        self._source, self._check = (shots.open(config.data, s) for s in ("train", "val"))
        self.rows: list[dict[str, Any]] = []
        self.spent = 0
        self._done: dict[tuple[str, int], dict[str, Any]] = {}
        self._reached: dict[str, int] = {}

    def score(self, candidate: dict[str, Any], steps: int, stage: str) -> dict[str, Any]:
        """A row of the candidate after `steps`; trained only where it was not yet."""
        name = key(candidate)
        if (name, steps) not in self._done:
            self.spent += steps - self._reached.get(name, 0)
            self._reached[name] = max(steps, self._reached.get(name, 0))
            self._done[name, steps] = self._train(candidate, name, steps)
        row = {**self._done[name, steps], "stage": stage}
        self.rows.append(row)
        scales = "+".join(map(str, candidate["scales"]))
        print(f"{stage:10s} {steps:5d} steps  mAP {100 * row['map']:5.1f}  "
              f"{row['flops'] / 1e6:6.3f} MFLOP  scales {scales}")  # fmt: skip
        return row

    def _train(self, candidate, name, steps):
        config = self._config
        one = training.variant_config(config, "moe", 0, len(np.unique(self._source.pids)))
        one = configured(one, candidate)
        # A constant rate: a longer run goes on from a shorter one.
        one.num_steps, one.optimizer.schedule = steps, "constant"
        one.optimizer.warmup_steps = min(one.optimizer.warmup_steps, steps - 1)
        one.checkpoint.update(best="", every_steps=steps, keep=1)
        one.evaluate.update(every_steps=0, patience=0)
        task = systems.make(one)
        batches = identities.train_batches(
            self._source,
            identities=config.data.batch.identities,
            instances=config.data.batch.instances,
            seed=config.seed,
            **config.data.augment.to_dict(),
        )
        place = self._workdir / "search" / files.sha256_text(name)[:12]
        watch = training.validator(task, self._check, config)
        state = loop.train(
            task, one, batches, place, variables=training.start(task, config.seed), name=place.name
        )
        values = watch(state.variables, steps)
        cost = variants.block_cost(sizes_of(one))
        return {**candidate, "steps": steps, "map": values["ap"], "flops": cost["flops"]}


def halve(trainer: Any, config: Any, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Successive halving (Jamieson and Talwalkar, 2016): the best 1/eta go on, eta times longer."""
    seen: dict[str, dict[str, Any]] = {}
    for _ in range(100 * config.configs):
        candidate = draw(rng)
        seen.setdefault(key(candidate), candidate)
        if len(seen) == config.configs:
            break
    field, steps, last = list(seen.values()), config.steps, []
    while field:
        rows = [trainer.score(candidate, steps, "halving") for candidate in field]
        order = np.argsort([-row["map"] for row in rows], kind="stable")
        last = [field[i] for i in order]
        if len(field) < config.eta:
            break
        field, steps = last[: len(field) // config.eta], steps * config.eta
    return last


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Halving, mutations, the random control; search.csv, search.json and the winner's config.

    Raises:
      InputError: for eta or a number of candidates below 2.
    """
    plan = config.search
    if plan.eta < 2 or plan.configs < 2:
        expected = "expected eta and configs of at least 2"
        raise errors.bad("config.search", (plan.eta, plan.configs), expected)
    trainer = Trainer(config, workdir)
    rng = np.random.default_rng([config.seed, 9])
    halve(trainer, plan, rng)
    longest = max(row["steps"] for row in trainer.rows)
    for generation in range(plan.generations):
        front = pareto([row for row in trainer.rows if row["steps"] == longest])
        parents = itertools.islice(itertools.cycle(front), plan.children)
        for parent in parents:
            trainer.score(mutate(parent, rng), longest, f"mutation {generation + 1}")
    searched, budget = list(trainer.rows), trainer.spent
    control = Trainer(config, workdir)
    other = np.random.default_rng([config.seed, 10])
    while control.spent + longest <= budget:
        before = control.spent
        control.score(draw(other), longest, "random")
        if control.spent == before and len(control.rows) > 200:
            break
    full = [row for row in searched if row["steps"] == longest]
    best = max(full, key=lambda row: row["map"])
    made = {
        "steps": budget,
        "best": best,
        "pareto": pareto(full),
        "random": max(control.rows, key=lambda row: row["map"]) if control.rows else None,
        "rows": [*searched, *control.rows],
    }
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    writer.writerows({name: row[name] for name in COLUMNS} for row in made["rows"])
    files.write_text(workdir / "search.csv", table.getvalue())
    files.write_json(workdir / "search.json", made)
    winner = configured(ConfigDict(json.loads(config.to_json_best_effort())), best)
    files.write_json(workdir / "winner.json", json.loads(winner.to_json_best_effort()))
    return made
