"""Federated averaging, simulated: one client a camera, or shards of identities.

Clients' parameters are stacked on a leading axis; local steps are a `lax.scan` inside a
`vmap` over clients; aggregation is a weighted mean over that axis. What a pattern names
stays with its client: private experts, statistics of BatchNorm, classifiers. No transport,
no secure aggregation, no stragglers: there is no deployment to test them on.

Axes: c clients, n steps, b shots.
"""

import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from wxjax import errors, files, systems
from wxjax.systems.reid import measure as evaluation
from wxjax.systems.reid import ranking, training
from wxjax.systems.reid.data import identities, shots
from wxjax.systems.reid.measure import Embedder
from wxjax.train import optimizer

ALWAYS = ("classifier/.*", "band_classifiers")  # identities are a client's own
PRIVATE = (".*bank/experts/.*",)
SPLITS = ("camera", "identity")
METHODS = {
    "central": "one client with all shots",
    "local": "no averaging at all",
    "fedavg": "everything but classifiers and statistics averaged",
    "private": "experts stay with their client too",
    "prox": "FedAvg with a proximal term",
}


def private(params: Any, patterns: Sequence[str]) -> Any:
    """A tree of bools: True for leaves that a pattern names, whole names.

    Raises:
      InputError: for a pattern that names nothing.
    """
    names = [optimizer.name(path) for path, _ in jax.tree.leaves_with_path(params)]
    for pattern in patterns:
        if not any(re.fullmatch(pattern, name) for name in names):
            raise errors.bad("federate", pattern, "names no parameter")
    own = [any(re.fullmatch(pattern, name) for pattern in patterns) for name in names]
    return jax.tree.unflatten(jax.tree.structure(params), own)


def average(
    params: Any, own: Any, weight: Float[Array, "c"], taking: Bool[Array, "c"] | None = None
) -> Any:
    """Every shared leaf `[c ...]` replaced by its weighted mean over the clients taking part."""
    weight = weight if taking is None else weight * taking
    share = weight / weight.sum()

    def one(x, mine):
        if mine:
            return x
        mean = jnp.tensordot(share, x, 1)
        return jnp.broadcast_to(mean, x.shape)

    return jax.tree.map(one, params, own)


class Client:
    """The shots of one client, as a source."""

    def __init__(self, source: Any, places: np.ndarray):
        self._source, self._places = source, places
        self.pids = np.asarray(source.pids)[places]
        self.cameras = np.asarray(source.cameras)[places]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._source[int(self._places[index])]

    def __repr__(self) -> str:
        return f"client({self._source!r}, {len(self)})"


def clients(source: Any, split: str, count: int, seed: int) -> list[Client]:
    """One client a camera, or `count` shards of the identities.

    Raises:
      InputError: for another split, or a client without two identities of two shots.
    """
    pids = np.asarray(source.pids)
    if split == "camera":
        cameras = np.asarray(source.cameras)
        parts = [np.flatnonzero(cameras == c) for c in np.unique(cameras)]
    elif split == "identity":
        names = np.random.default_rng([seed, 6]).permutation(np.unique(pids))
        parts = [np.flatnonzero(np.isin(pids, part)) for part in np.array_split(names, count)]
    else:
        raise errors.unknown("config.federate.split", split, SPLITS)
    found = []
    for number, places in enumerate(parts):
        names, counts = np.unique(pids[places], return_counts=True)
        usable = names[counts >= 2]
        if len(usable) < 2:
            raise errors.InputError(
                f"client {number} has {len(usable)} identities with two shots: expected two or "
                "more. Cure: fewer clients (config.federate.clients), or split=identity."
            )
        found.append(Client(source, places[np.isin(pids[places], usable)]))
    return found


def rounds(
    task: Any,
    start: Mapping[str, Any],
    streams: Sequence[Any],
    *,
    config: Any,
    own: Any,
    weight: np.ndarray,
    averaging: bool,
    proximal: float,
    watch: Any,
) -> tuple[Any, list[dict]]:
    """Trains all clients together; returns their variables `[c ...]` and a row a round."""
    fed = config.federate
    c, total = len(streams), fed.rounds * fed.steps
    tx, _ = optimizer.make(config.optimizer, total)
    many = lambda tree: jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x)[None], c, 0), tree)
    params = many(start["params"])
    stats = many({k: v for k, v in start.items() if k != "params"})
    moments = jax.vmap(tx.init)(params)

    def local(params, stats, moments, batches, key, first, centre):
        def step(carry, item):
            params, stats, moments = carry
            batch, number = item

            def objective(params):
                loss, (_, new) = task.loss(
                    {"params": params, **stats}, batch, jax.random.fold_in(key, number), number
                )
                apart = jax.tree.map(lambda a, b: ((a - b) ** 2).sum(), params, centre)
                return loss + proximal / 2 * sum(jax.tree.leaves(apart)), (loss, new)

            (_, (loss, new)), grads = jax.value_and_grad(objective, has_aux=True)(params)
            updates, moments = tx.update(grads, moments, params)
            return (optax.apply_updates(params, updates), new, moments), loss

        numbers = first + jnp.arange(fed.steps)
        (params, stats, moments), losses = jax.lax.scan(
            step, (params, stats, moments), (batches, numbers)
        )
        return params, stats, moments, losses.mean()

    run = jax.jit(jax.vmap(local, (0, 0, 0, 0, 0, None, 0)))
    keys = jax.random.split(jax.random.key(config.seed), c)
    rng = np.random.default_rng([config.seed, 8])
    history = []
    for number in range(fed.rounds):
        drawn = [[next(stream) for _ in range(fed.steps)] for stream in streams]
        batches = jax.tree.map(
            lambda *x: np.stack(x), *[jax.tree.map(lambda *y: np.stack(y), *d) for d in drawn]
        )
        centre = params
        params, stats, moments, loss = run(
            params, stats, moments, batches, keys, number * fed.steps, centre
        )
        if averaging:
            count = max(1, round(fed.sampling * c))
            taking = np.isin(np.arange(c), rng.permutation(c)[:count])
            params = average(params, own, jnp.asarray(weight, jnp.float32), jnp.asarray(taking))
        row = {"round": number + 1, "loss": float(loss.mean())}
        if (number + 1) % fed.every == 0 or number + 1 == fed.rounds:
            row["map"] = watch(params, stats)
        history.append(row)
    return {"params": params, **stats}, history


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Compares the methods on the run's own data; writes federate.json in the workdir."""
    source, test = (shots.open(config.data, split) for split in ("train", "test"))
    known = evaluation.describe(test)
    one = training.variant_config(config, "moe", 0, len(np.unique(source.pids)))
    task = systems.make(one)
    one.federate = config.federate
    start = jax.device_get(training.start(task, config.seed))
    parts = clients(source, config.federate.split, config.federate.clients, config.seed)
    labels = {int(p): i for i, p in enumerate(np.unique(source.pids))}
    found: dict[str, Any] = {"clients": [len(part) for part in parts], "methods": {}}
    for method, words in METHODS.items():
        mine = [Client(source, np.arange(len(source)))] if method == "central" else parts
        people = min(config.data.batch.identities, *(len(np.unique(p.pids)) for p in mine))
        streams = [_batches(p, config, labels, n, people) for n, p in enumerate(mine)]
        patterns = ALWAYS + (PRIVATE if method == "private" else ())
        own = private(start["params"], patterns)
        sizes = np.array([len(part) for part in mine], float)
        watch = functools.partial(_score, task, test, known, config)
        variables, history = rounds(
            task, start, streams, config=one, own=own, weight=sizes,
            averaging=method not in ("central", "local"),
            proximal=config.federate.proximal if method == "prox" else 0.0, watch=watch,
        )  # fmt: skip
        shared = jax.tree.map(lambda x, mine: 0 if mine else np.size(x), start["params"], own)
        sent = 4 * sum(jax.tree.leaves(shared)) if method not in ("central", "local") else 0
        found["methods"][method] = {
            "what": words,
            "map": history[-1]["map"],
            "history": history,
            "bytes_a_round": 2 * sent * max(1, round(config.federate.sampling * len(mine))),
        }
        print(f"{method:8s} mAP {100 * history[-1]['map']:.1f}  ({words})")
        files.write_json(workdir / "federate.json", found)
    goal = 0.95 * found["methods"]["central"]["map"]
    for entry in found["methods"].values():
        reached = [row["round"] for row in entry["history"] if row.get("map", 0) >= goal]
        entry["rounds_to_95"] = reached[0] if reached else None
    files.write_json(workdir / "federate.json", found)
    return found


def _batches(part: Client, config: ConfigDict, labels: Mapping, number: int, people: int):
    """A client's batches of so many identities, labels as all clients number them."""
    found = identities.train_batches(
        part, identities=people, instances=config.data.batch.instances,
        seed=config.seed + 100 * number, **config.data.augment.to_dict(),
    )  # fmt: skip
    names = np.array([labels[int(p)] for p in np.unique(part.pids)], np.int32)
    for batch in found:
        yield {**batch, "label": names[batch["label"]]}


def _score(task: Any, test: Any, known: Any, config: ConfigDict, params: Any, stats: Any) -> float:
    """mAP, mean over clients, each with its own parameters."""
    found = []
    predict = _predictor(task)
    for c in range(jax.tree.leaves(params)[0].shape[0]):
        mine = jax.tree.map(lambda x, c=c: x[c], {"params": params, **stats})
        embed = Embedder(task, mine, config.evaluate.batch_size, predict)
        out = embed(test)
        ranked, _, _ = evaluation.compare(known, out["feature"], protocol=training.protocol(config))
        found.append(ranking.scores(ranked)["map"])
    return float(np.mean(found))


@functools.lru_cache(maxsize=2)
def _predictor(task: Any):
    return jax.jit(task.predict)
