"""`summary.json` from the rows of an evaluation: every number a report shows, and no network."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.evaluate import criteria, estimates, oracle, routes, schema
from wxjax.evaluate.table import METRICS, PSNR_CAP, ROUTES, Table, join
from wxjax.metrics import routing, statistics
from wxjax.task import DEGRADATIONS

PAIRS = (("actual", "dense"), ("dense", "input"), ("actual", "input"))
META = ("version", "commit", "weights_hash", "seed", "data_hash")


def summarize(
    rows: Iterable[Mapping],
    *,
    settings: Mapping[str, Any],
    meta: Mapping[str, Any],
    cost: Mapping[str, Any] | None = None,
) -> dict:
    """The summary of one evaluation, JSON-safe and valid under its schema.

    Haze, rain and snow make the main table; mixed and unlabelled images stand under
    "apart" (unless nothing else exists: then unlabelled ones are the main table).
    Whatever the rows cannot answer is None or absent, never guessed. H-Mean is the
    mean over images of each image's value. Equal images count as 100 dB in means.

    Args:
      rows: as in `per_image.jsonl`, of one or several protocols.
      settings: of the evaluation, for example tile, overlap, blend, tta.
      meta: `backbone`, and where known `model`, `track`, `version`, `commit`,
        `weights_hash`, `seed`, `data_hash`, `protocol` (which rows make the main
        tables, "default" if not given), `budget` (image presentations a stage); any
        other entry is kept under "meta".
      cost: `cost.json`, for the latency criterion and FLOPs.

    Raises:
      InputError: without rows, or for rows that contradict each other (`table.join`).
    """
    rows = list(rows)
    if not rows:
        raise errors.bad("rows", 0, "expected at least one", "Is the split empty?")
    protocol, chosen, others = _protocols(rows, meta.get("protocol"))
    everything = join(chosen)
    table = everything.main()
    if not len(table):
        table = everything
    scored = _with_oracle(table)
    summary = {
        "model": meta.get("model", "MoE-I-Actual"),
        "backbone": meta.get("backbone", "DehazeXL"),
        "track": meta.get("track", "System"),
        "protocol": protocol,
        "settings": dict(settings),
        **{key: meta.get(key) for key in META},
        "n": len(table),
        "tasks": {name: int((table.degradation == name).sum()) for name in table.tasks},
        "hmean": {"psnr_floor": statistics.PSNR_FLOOR, "psnr_span": statistics.PSNR_SPAN},
        "psnr_cap": PSNR_CAP,
        "variants": estimates.variants(scored),
        "comparisons": _comparisons(table),
        "moe": routes.moe(table),
        "curves": routes.curves(table),
        "efficiency": _efficiency(chosen),
        "apart": _apart(everything, table),
    }
    actual = summary["variants"].get("actual", {"macro": {}})["macro"]
    summary["macro"] = {m: (actual.get(m) or {}).get("mean") for m in METRICS}
    gated = routes.experts(chosen)
    if gated:
        summary["experts"] = gated
    if others:
        summary["protocols"] = {name: estimates.variants(join(r)) for name, r in others.items()}
    if meta.get("budget"):
        summary["budget"] = dict(meta["budget"])
    known = {"model", "backbone", "track", "protocol", "budget", *META}
    summary["meta"] = {key: value for key, value in meta.items() if key not in known}
    return with_cost(plain(summary), cost)


def with_cost(summary: Mapping[str, Any], cost: Mapping[str, Any] | None) -> dict:
    """The summary with its criteria and FLOPs decided anew from `cost.json` (after `bench`)."""
    cases = {case.get("name"): case for case in (cost or {}).get("cases") or []}
    efficiency = {**summary["efficiency"], "flops_g": cases.get("actual", {}).get("flops_g")}
    updated = {**summary, "efficiency": efficiency}
    updated["criteria"] = plain(criteria.decide(updated, cost))
    schema.validate("summary", updated)
    return updated


def plain(value: Any) -> Any:
    """JSON values of a tree that holds NumPy ones; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _protocols(rows: list, wanted: str | None) -> tuple[str, list, dict[str, list]]:
    groups: dict[str, list] = {}
    for row in rows:
        groups.setdefault(row["protocol"], []).append(row)
    main = wanted or ("default" if "default" in groups or len(groups) > 1 else next(iter(groups)))
    if main not in groups:
        raise errors.unknown("protocol", main, groups)
    return main, groups.pop(main), groups


def _with_oracle(table: Table) -> Table:
    """Adds the variants "oracle" (best expert) and "oracle_dense" (dense may win too)."""
    if not table.has(*ROUTES):
        return table
    scores = dict(table.scores)
    for name, with_dense in (("oracle", False), ("oracle_dense", True)):
        index = oracle.best(table, with_dense=with_dense)
        metrics = (*METRICS, "mse", "identical")
        scores[name] = {metric: oracle.pick(table, index, metric) for metric in metrics}
    return Table(table.ids, table.degradation, table.severity, scores, table.p, table.index)


def _comparisons(table: Table) -> dict:
    found = {f"{a}-{b}": estimates.compare(table, a, b) for a, b in PAIRS}
    return {pair: entry for pair, entry in found.items() if entry}


def _efficiency(rows: list) -> dict:
    """Medians over the rows of the Actual variant, at the images' own sizes."""
    costs = [row["cost"] for row in rows if row["variant"] == "actual" and row.get("cost")]

    def median(key: str) -> float | None:
        values = [c[key] for c in costs if c.get(key) is not None]
        return float(np.median(values)) if values else None

    latency = median("latency_ms")
    return {
        "latency_ms": latency,
        "ms_per_mp": median("ms_per_mp"),
        "mem_gb": max((c["mem_gb"] for c in costs if c.get("mem_gb") is not None), default=None),
        "throughput_fps": 1000 / latency if latency else None,
        "n": len(costs),
    }


def _apart(everything: Table, main: Table) -> dict:
    """Mixed and unlabelled images, which sample-level routing is not made for."""
    found = {}
    for name in ("mixed", "unknown"):
        images = everything.task(name)
        if not len(images) or not np.isin(main.degradation, DEGRADATIONS).any():
            continue
        found[name] = {"n": len(images), "variants": estimates.variants(_with_oracle(images))}
        if images.index is not None:
            usage = routing.usage(images.index, len(ROUTES)).tolist()
            found[name]["usage"] = dict(zip(ROUTES, usage, strict=True))
    return found
