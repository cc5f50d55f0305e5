"""Ranking by identity, exactly as the re-identification field does it.

For each query the gallery is ordered by distance (stable: ties keep the gallery's order);
entries of the query's identity *and* its camera (or scene) are removed, and so is junk
(identity -1); distractors (identity 0 in Market-1501's numbering, any identity that no query
has) stay. With r the matches of the kept list, in order, and R their number:

  AP     = 1/R sum_{i: r_i = 1} (r_1 + ... + r_i) / i
  CMC_k  = 1 if one of the first k matches
  INP    = R / (rank of the last match)      (Ye et al., 2021)

A query without a true match is not counted. Queries are ranked in chunks, so that the memory
is chunk x gallery.

Axes: q queries, g gallery entries, d features, k ranks.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from wxjax import errors

JUNK = -1
FORMS = ("plain", "trapz")


class Side(NamedTuple):
    """Queries or a gallery: unit features `[n d]`, identities, and what a match must differ in.

    Attributes:
      place: camera or scene of every entry; one numbering for both sides.
    """

    feature: np.ndarray
    pid: np.ndarray
    place: np.ndarray


class Ranking(NamedTuple):
    """One value a query; `order` only where asked for.

    Attributes:
      valid: `[q]` whether a true match was left.
      ap, inp: `[q]`, 0 where not valid.
      first: `[q]` rank of the first match from 1, 0 where not valid.
      order: `[q k]` gallery entries, best first, removed ones left out; -1 beyond the end.
    """

    valid: Bool[np.ndarray, "q"]
    ap: Float[np.ndarray, "q"]
    inp: Float[np.ndarray, "q"]
    first: Int[np.ndarray, "q"]
    order: Int[np.ndarray, "q k"]


def rank(
    query: Side,
    gallery: Side,
    *,
    distance: Float[np.ndarray, "q g"] | None = None,
    itself: Int[np.ndarray, "q"] | None = None,
    chunk: int = 256,
    form: str = "plain",
    keep: int = 10,
) -> Ranking:
    """Ranks the gallery for every query.

    Args:
      distance: in place of the squared Euclidean one, for example after re-ranking.
      itself: the gallery entry that is the query's own picture, -1 for none; it is removed
        whatever its camera is (matters where `place` is unknown).
      chunk: queries at a time.
      form: 'plain', or 'trapz': the trapezoid of Market-1501's and Oxford's script.
      keep: entries of `order`.

    Raises:
      InputError: for an empty side, or features of different lengths.
    """
    if form not in FORMS:
        raise errors.unknown("config.evaluate.ap", form, FORMS)
    if not len(query.pid) or not len(gallery.pid):
        raise errors.bad("gallery", len(gallery.pid), "expected at least one query and one entry")
    if query.feature.shape[1:] != gallery.feature.shape[1:]:
        shapes = f"{query.feature.shape} and {gallery.feature.shape}"
        raise errors.InputError(f"features of queries and gallery differ: {shapes}.")
    g = len(gallery.pid)
    keep = min(keep, g)
    feature = jnp.asarray(gallery.feature, jnp.float32)
    pid, place = jnp.asarray(gallery.pid), jnp.asarray(gallery.place)
    own = np.full(len(query.pid), -1) if itself is None else np.asarray(itself)
    found = []
    for start in range(0, len(query.pid), chunk):
        rows = slice(start, start + chunk)
        short = chunk - len(query.pid[rows])
        pad = lambda x, short=short: np.pad(x, ((0, short), *((0, 0),) * (x.ndim - 1)))
        if distance is None:
            measured = _distances(jnp.asarray(pad(query.feature[rows]), jnp.float32), feature)
        else:
            measured = jnp.asarray(pad(distance[rows]), jnp.float32)
        part = _rank(
            measured, pad(query.pid[rows]), pad(query.place[rows]), pad(own[rows]),
            pid, place, form, keep,
        )  # fmt: skip
        found.append([np.asarray(x)[: chunk - short] for x in part])
    return Ranking(*(np.concatenate(column) for column in zip(*found, strict=True)))


@jax.jit
def _distances(query: Float[Array, "q d"], gallery: Float[Array, "g d"]) -> Float[Array, "q g"]:
    """Squared Euclidean distances; of unit vectors 2 - 2 cos."""
    product = jnp.matmul(query, gallery.T, precision=jax.lax.Precision.HIGHEST)
    return (query**2).sum(-1)[:, None] + (gallery**2).sum(-1) - 2 * product


@functools.partial(jax.jit, static_argnames=("form", "keep"))
def _rank(distance, query_pid, query_place, own, pid, place, form, keep):
    g = pid.shape[0]
    same = query_pid[:, None] == pid
    removed = same & (query_place[:, None] == place) | (pid == JUNK)
    removed = removed | (own[:, None] == jnp.arange(g))
    order = jnp.argsort(jnp.where(removed, jnp.inf, distance), axis=1, stable=True)
    kept = ~jnp.take_along_axis(removed, order, 1)
    match = jnp.take_along_axis(same, order, 1) & kept
    hits = jnp.cumsum(match, 1)
    rank = jnp.arange(1, g + 1)
    total = hits[:, -1]
    precision = hits / rank
    if form == "trapz":
        # The mean of the precisions at both ends of each step of recall; 1 before the first.
        before = jnp.where(rank == 1, 1.0, (hits - match) / jnp.maximum(rank - 1, 1))
        precision = (precision + before) / 2
    ap = (precision * match).sum(1) / jnp.maximum(total, 1)
    first = jnp.argmax(match, 1) + 1
    last = g - jnp.argmax(match[:, ::-1], 1)
    valid = total > 0
    zero = lambda x: jnp.where(valid, x, 0)
    shown = jnp.where(kept[:, :keep], order[:, :keep], -1)
    return valid, zero(ap), zero(total / last), zero(first), shown


def scores(ranking: Ranking, max_rank: int = 50) -> dict:
    """mAP, mINP, Rank-1/5/10, the CMC curve and the number of queries counted; None without one.

    The curve goes on at its last value where a gallery is shorter than `max_rank`.
    """
    valid = ranking.valid
    n = int(valid.sum())
    if not n:
        return {"queries": len(valid), "valid": 0, "map": None, "minp": None, "cmc": None}
    first = ranking.first[valid]
    cmc = [(first <= k).mean() for k in range(1, max_rank + 1)]
    return {
        "queries": len(valid),
        "valid": n,
        "map": float(ranking.ap[valid].mean()),
        "minp": float(ranking.inp[valid].mean()),
        **{f"rank{k}": float((first <= k).mean()) for k in (1, 5, 10)},
        "cmc": [float(c) for c in cmc],
    }


def rerank(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    *,
    k1: int = 20,
    k2: int = 6,
    weight: float | int = 0.3,
) -> Float[np.ndarray, "q g"]:
    """k-reciprocal re-ranking (Zhong et al., 2017): Jaccard distances of neighbour sets.

    (1 - weight) x Jaccard + weight x original distance, the original scaled to at most 1 a
    row. Memory is (q + g)^2 floats: not for the largest galleries.

    Raises:
      InputError: for k1, k2 or weight out of range.
    """
    if not 1 <= k2 <= k1:
        raise errors.bad("k1, k2", (k1, k2), "expected 1 <= k2 <= k1")
    if not 0 <= weight <= 1:
        raise errors.bad("weight", weight, "expected a number from 0 to 1")
    every = np.concatenate([query, gallery]).astype(np.float32)
    n, q = len(every), len(query)
    k1, k2 = min(k1, n - 1), min(k2, n)
    distance = np.maximum((every**2).sum(1)[:, None] + (every**2).sum(1) - 2 * every @ every.T, 0)
    distance = distance / np.maximum(distance.max(1, keepdims=True), 1e-12)
    order = np.argsort(distance, 1, kind="stable")[:, : k1 + 1]
    half = round(k1 / 2)
    near = np.zeros((n, n), bool)
    np.put_along_axis(near, order, True, 1)
    reciprocal = near & near.T
    nearer = np.zeros((n, n), bool)
    np.put_along_axis(nearer, order[:, : half + 1], True, 1)
    nearer &= nearer.T
    share = np.zeros((n, n), np.float32)
    for i in range(n):
        mine = reciprocal[i].copy()
        for j in np.flatnonzero(reciprocal[i]):
            if (nearer[j] & reciprocal[i]).sum() > 2 / 3 * nearer[j].sum():
                mine |= nearer[j]
        members = np.flatnonzero(mine)
        heavy = np.exp(-distance[i, members])
        share[i, members] = heavy / heavy.sum()
    if k2 > 1:
        share = np.stack([share[order[i, :k2]].mean(0) for i in range(n)])
    jaccard = np.empty((q, n - q), np.float32)
    for i in range(q):
        common = np.minimum(share[i], share[q:]).sum(1)
        jaccard[i] = 1 - common / (2 - common)
    return (1 - weight) * jaccard + weight * distance[:q, q:]


def by_identity(
    values: Float[np.ndarray, "n"], pid: Shaped[np.ndarray, "n"], *, resamples: int = 10_000,
    level: float = 0.95, seed: int = 0,
) -> dict:  # fmt: skip
    """Interval of the mean over queries, resampling identities and not pictures.

    Pictures of one identity rise and fall together: resampling them would understate the
    spread. Percentile bootstrap of sums over identities.

    Returns: mean, low, high, n (identities).

    Raises:
      InputError: without values.
    """
    if not len(values):
        raise errors.bad("values", 0, "expected at least one query with a true match")
    _, group = np.unique(pid, return_inverse=True)
    total = np.bincount(group, values)
    number = np.bincount(group)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(total), size=(resamples, len(total)))
    means = total[drawn].sum(1) / number[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean = float(np.mean(values))
    return {"mean": mean, "low": float(low), "high": float(high), "n": len(total)}
