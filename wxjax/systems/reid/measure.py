"""Features of every shot, and the rankings that protocols and controls ask of them.

Axes: n shots, m bands, d features, g gate heads, k experts.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from wxjax import errors
from wxjax.evaluate import runner
from wxjax.metrics import routing
from wxjax.systems.reid import ranking as rankings
from wxjax.systems.reid.data import identities
from wxjax.systems.reid.ranking import Ranking, Side
from wxjax.task import Task

COARSE = (16, 8)  # pixels of the trivial baseline
UNUSED = 0.01  # nats: a gate that knows less than this of its input is not used


class Shots(NamedTuple):
    """What a source says of its shots, in order."""

    ids: np.ndarray
    pid: np.ndarray
    camera: np.ndarray
    scene: np.ndarray
    role: np.ndarray
    present: np.ndarray
    attributes: dict[str, np.ndarray]


def describe(source: Any) -> Shots:
    """Labels of every shot of a source; attributes where it knows them."""
    found = [source[i] for i in range(len(source))]
    column = lambda name: np.array([e[name] for e in found])
    known = set(found[0]["attributes"]) if found else set()
    return Shots(
        column("id"), column("pid"), column("camera"), column("scene"), source.roles(),
        np.stack([e["present"] for e in found]),
        {name: np.array([e["attributes"][name] for e in found]) for name in sorted(known)},
    )  # fmt: skip


class Embedder:
    """A compiled `predict` over a whole source, a batch at a time."""

    def __init__(
        self, task: Task, variables: Any, batch_size: int, predict: Callable | None = None
    ):
        self._variables = jax.device_put(variables)
        self._predict = predict or jax.jit(task.predict)
        self._size = batch_size

    def __call__(
        self, source: Any, *, present: np.ndarray | None = None, label: str = "", **given: Any
    ) -> dict[str, Any]:
        """Outputs of `predict` as arrays over the source's shots.

        Args:
          present: `[m]` bands that may be used; those that a shot lacks stay absent.
          given: more entries of the batch, `[n ...]` by shot.
        """
        size = self._size
        batches: Iterable = identities.eval_batches(source, size)
        if label:
            batches = runner.track(list_of(batches, len(source), size), None, label)
        found = []
        for number, batch in enumerate(batches):
            mask = batch.pop("mask")
            if present is not None:
                batch["present"] = batch["present"] & present
            rows = slice(number * size, number * size + mask.sum())
            for name, values in given.items():
                part = np.asarray(values)[rows]
                batch[name] = np.concatenate([part, part[-1:].repeat(size - len(part), 0)])
            out = jax.device_get(self._predict(self._variables, batch))
            found.append(jax.tree.map(lambda x, mask=mask: x[mask] if np.ndim(x) else x, out))
        return jax.tree.map(_joined, *found)


def _joined(*parts):
    return np.concatenate(parts) if np.ndim(parts[0]) else np.asarray(parts).mean()


class list_of:
    """A generator that knows its length, for a progress bar."""

    def __init__(self, batches: Iterable, shots: int, size: int):
        self._batches, self._length = batches, -(-shots // size)

    def __len__(self) -> int:
        return self._length

    def __iter__(self):
        return iter(self._batches)


PLACES = ("camera", "scene", "self")


def place_of(camera: np.ndarray, scene: np.ndarray, protocol: str) -> np.ndarray:
    """What a true match must differ in, a number a shot; 'self': only in being another shot."""
    return {"camera": camera, "scene": scene, "self": np.arange(len(camera))}[protocol]


def workable(pid: np.ndarray, camera: np.ndarray, scene: np.ndarray, role: np.ndarray) -> list[str]:
    """The protocols under which some query has a true match."""
    queries = np.flatnonzero(np.isin(role, ("query", "both")))
    gallery = np.isin(role, ("gallery", "both"))
    found = []
    for protocol in PLACES:
        place = place_of(camera, scene, protocol)
        match = lambda q, place=place: gallery & (pid == pid[q]) & (place != place[q])
        if any(match(q).any() for q in queries):
            found.append(protocol)
    return found


def check(source: Any, protocol: str, split: str) -> None:
    """Refuses a source of shots none of which can be found, before anything is trained.

    Raises:
      InputError: naming a protocol that would do, where there is one.
    """
    pid, camera = getattr(source, "pids", None), getattr(source, "cameras", None)
    if pid is None or camera is None:
        return
    records = getattr(source, "records", None)
    unknown = np.full(len(pid), -1)
    scene = unknown if records is None else np.array([record.scene for record in records])
    found = workable(pid, camera, scene, source.roles())
    if protocol not in found:
        why = no_match(pid, source.roles(), place_of(camera, scene, protocol), protocol, found)
        raise errors.InputError(f"{split}: {why}")


def compare(
    shots: Shots,
    feature: np.ndarray,
    other: np.ndarray | None = None,
    *,
    protocol: str = "camera",
    chunk: int = 256,
    form: str = "plain",
    keep: int = 10,
    rerank: bool = False,
) -> tuple[Ranking, np.ndarray, np.ndarray]:
    """Ranks the gallery for every query.

    Args:
      feature: `[n f]` of every shot as a query; `other` alike as gallery, where it differs.
      protocol: of PLACES: what a true match must differ in.

    Returns: the ranking, and the places of queries and of gallery entries among the shots.

    Raises:
      InputError: where no query has a true match, with the likely reason.
    """
    if protocol not in PLACES:
        raise errors.unknown("config.evaluate.protocol", protocol, PLACES)
    q = np.flatnonzero(np.isin(shots.role, ("query", "both")))
    g = np.flatnonzero(np.isin(shots.role, ("gallery", "both")))
    place = place_of(shots.camera, shots.scene, protocol)
    gallery = feature if other is None else other
    where = {int(shot): at for at, shot in enumerate(g)}
    itself = np.array([where.get(int(shot), -1) for shot in q])
    sides = (
        Side(feature[q], shots.pid[q], place[q]),
        Side(gallery[g], shots.pid[g], place[g]),
    )
    distance = rankings.rerank(sides[0].feature, sides[1].feature) if rerank else None
    found = rankings.rank(
        *sides, distance=distance, itself=itself, chunk=min(chunk, len(q)), form=form, keep=keep
    )
    if not found.valid.any():
        found = workable(shots.pid, shots.camera, shots.scene, shots.role)
        raise errors.InputError(no_match(shots.pid, shots.role, place, protocol, found))
    return found, q, g


def no_match(
    pid: np.ndarray, role: np.ndarray, place: np.ndarray, protocol: str, others: Sequence[str]
) -> str:
    """Why no query of a set has a true match; `others` are the protocols that would do."""
    q = np.isin(role, ("query", "both"))
    g = np.isin(role, ("gallery", "both"))
    shared = np.intersect1d(pid[q], pid[g])
    if not len(shared):
        return (
            f"no query has a true match: none of {len(np.unique(pid[q]))} query identities "
            "is in the gallery. Cure: were query and gallery named by one rule?"
        )
    cure = f"config.evaluate.protocol={others[0]}" if others else "more shots of an identity"
    if protocol == "self":
        return (
            f"no query has a true match: each of {len(shared)} identities has one shot only. "
            f"Cure: {cure}."
        )
    return (
        f"no query has a true match: in the gallery each of {len(shared)} identities is seen by "
        f"its query's own {protocol} only ({len(np.unique(place))} in all). Cure: {cure}."
    )


def rows(shots: Shots, ranking: Ranking, q: np.ndarray, variant: str, seed: int) -> list[dict]:
    """One row a query: what it is, and how it was ranked."""
    found = []
    for i, shot in enumerate(q):
        valid = bool(ranking.valid[i])
        first = int(ranking.first[i])
        row = {"id": str(shots.ids[shot]), "variant": variant, "seed": seed}
        row |= {"pid": int(shots.pid[shot]), "camera": int(shots.camera[shot]), "valid": valid}
        row |= {name: str(values[shot]) for name, values in shots.attributes.items()}
        row |= {"ap": float(ranking.ap[i]), "inp": float(ranking.inp[i]), "first": first}
        row |= {f"rank{k}": bool(valid and first <= k) for k in (1, 5, 10)}
        found.append(row)
    return found


def missing(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Every way to lack bands but not all: name -> what is left, `[m]`."""
    m = len(names)
    out = {}
    for count in range(1, m):
        for lost in itertools.combinations(range(m), count):
            left = np.array([i not in lost for i in range(m)])
            out["without " + ", ".join(names[i] for i in lost)] = left
    return out


def controls(
    embed: Embedder, source: Any, gates: np.ndarray, reference: np.ndarray, seed: int
) -> dict[str, dict]:
    """The same weights with gates that know nothing of their input.

    Args:
      gates: `[n g k]`, what the network said of the source's shots.
      reference: `[N g k]`, what it said of the training shots.

    Returns: outputs with gates 1/k ('uniform'), the training mean ('mean'), and those of
      another shot ('shuffled').
    """
    n, g, k = gates.shape
    order = np.random.default_rng([seed, 17]).permutation(n)
    given = {
        "uniform": np.full((n, g, k), 1 / k, np.float32),
        "mean": np.broadcast_to(reference.mean(0), (n, g, k)).astype(np.float32),
        "shuffled": gates[order],
    }
    return {name: embed(source, gates=values) for name, values in given.items()}


def about_gates(
    gates: np.ndarray, heads: Sequence[str], experts: Sequence[str], shots: Shots
) -> dict[str, Any]:
    """Routing metrics of every gate, and what its choice goes with."""
    known = dict(shots.attributes)
    known["camera"] = shots.camera
    found = {}
    for i, head in enumerate(heads):
        here = shots.present[:, i] if len(heads) == shots.present.shape[1] else slice(None)
        mine = gates[here, i]
        if not len(mine):
            continue
        found[head] = routing.soft(mine)
        found[head]["specialisation"] = {
            name: routing.specialisation(mine, np.asarray(values)[here])
            for name, values in known.items()
        }
        found[head]["by"] = {
            name: {
                str(value): mine[np.asarray(values)[here] == value].mean(0).tolist()
                for value in np.unique(np.asarray(values)[here])
            }
            for name, values in shots.attributes.items()
        }
    both = gates.argmax(-1)
    bands = np.concatenate([np.full(len(both), i) for i in range(len(heads))])
    from sklearn.metrics import normalized_mutual_info_score

    return {
        "experts": list(experts),
        "heads": found,
        "by_head": float(normalized_mutual_info_score(bands, both.T.ravel())),
        "decidedness": max(entry["decidedness"] for entry in found.values()),
    }


def verdict(
    actual: Sequence[Mapping[str, np.ndarray]],
    controlled: Mapping[str, Sequence[np.ndarray]],
    decidedness: Sequence[float],
    resamples: int = 10_000,
) -> dict[str, Any]:
    """Whether the gate does anything, from the same weights with and without it.

    Args:
      actual: per seed `{"ap": [q], "pid": [q]}` of the valid queries.
      controlled: control -> per seed `[q]` AP of the same queries.

    Returns:
      `unused` with its reasons; per control the mean drop in mAP, its standard deviation
      over seeds, and the interval of the paired difference over identities (all seeds).
    """
    found: dict[str, Any] = {"decidedness": float(np.mean(decidedness)), "controls": {}}
    maps = [float(np.mean(a["ap"])) for a in actual]
    spread = float(np.std(maps, ddof=1)) if len(maps) > 1 else 0.0
    reasons = []
    if found["decidedness"] < UNUSED:
        reasons.append(
            f"a gate says {found['decidedness']:.4f} nats of its input, less than {UNUSED}"
        )
    for name, values in controlled.items():
        drops = [float(np.mean(a["ap"] - v)) for a, v in zip(actual, values, strict=True)]
        change = np.concatenate([a["ap"] - v for a, v in zip(actual, values, strict=True)])
        pid = np.concatenate([a["pid"] for a in actual])
        interval = rankings.by_identity(change, pid, resamples=resamples)
        found["controls"][name] = {"drop": float(np.mean(drops)), **interval}
        if not (np.mean(drops) > spread and interval["low"] > 0):
            reasons.append(
                f"gates {name}: mAP {-100 * np.mean(drops):+.2f} points, within one standard "
                f"deviation over seeds ({100 * spread:.2f}) or an interval that holds 0"
            )
    return found | {"spread": spread, "unused": bool(reasons), "reasons": reasons}


def raw_pixels(source: Any) -> np.ndarray:
    """The trivial baseline: bands at 16 x 8 pixels, mean removed, length 1 each, side by side."""
    found = []
    for i in range(len(source)):
        shot = source[i]
        parts = []
        for band in shot["image"]:
            vector = identities.resized(band, COARSE).astype(np.float32).reshape(-1)
            vector = vector - vector.mean()
            parts.append(vector / max(1e-9, np.linalg.norm(vector)))
        found.append(np.concatenate(parts) / np.sqrt(max(1, shot["present"].sum())))
    return np.stack(found)
