"""The routing half of a summary: what the router did, how sure it was, what it cost."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from wxjax.evaluate import estimates, oracle
from wxjax.evaluate.table import ROUTES, Table, macro
from wxjax.metrics import calibration, routing

ECE_RESAMPLES = 1000


def moe(table: Table) -> dict | None:
    """What the router did; the parts that need a truth only where there is one."""
    if table.p is None or table.index is None:
        return None
    abstained, abstained_interval = estimates.share(table.index == 0)
    usage = routing.usage(table.index, len(ROUTES))
    found = {
        "abstain_rate": abstained,
        "abstain_rate_interval": abstained_interval,
        "usage": dict(zip(ROUTES, usage.tolist(), strict=True)),
        "mean_entropy": float(routing.entropy(table.p).mean()),
        "mean_pmax": float(table.p.max(axis=1).mean()),
    }
    return found | _calibration(table) | _against_oracle(table)


def _calibration(table: Table) -> dict:
    """Calibration against the Oracle label (what the router is fitted to), else the task's."""
    label, name = oracle.oracle_labels(table), "oracle"
    if label is None:
        label, name = oracle.labels(table), "degradation"
    by_task, accuracies = oracle.labels(table), oracle.accuracies(table)
    found: dict[str, Any] = {f"accuracy_{key}": value for key, value in accuracies.items()}
    confidence, chosen = table.p.max(axis=1), oracle.choices(table)
    if (by_task >= 0).all():
        found["accuracy_degradation_interval"] = estimates.share(chosen == by_task)[1]
        found["router_ece_degradation"] = calibration.ece(confidence, chosen == by_task)
    if (label < 0).any():
        return found
    right = chosen == label
    return found | {
        "ece_label": name,
        "router_ece": calibration.ece(confidence, right),
        "router_ece_interval": _ece_interval(confidence, right),
        "ece_adaptive": calibration.ece(confidence, right, adaptive=True),
        "brier": calibration.brier(table.p, label),
        "nll": calibration.nll(table.p, label),
    }


def _ece_interval(confidence: np.ndarray, right: np.ndarray) -> list[float]:
    """Percentile interval over resampled images; a resampled ECE is biased upwards."""
    generator = np.random.default_rng(0)
    draws = generator.integers(len(right), size=(ECE_RESAMPLES, len(right)))
    values = [calibration.ece(confidence[draw], right[draw]) for draw in draws]
    return np.quantile(values, (0.025, 0.975)).tolist()


def _against_oracle(table: Table) -> dict:
    if not table.has(*ROUTES, "actual"):
        return {}
    best, with_dense = (oracle.best(table, with_dense=w) for w in (False, True))
    top, top_dense = oracle.pick(table, best), oracle.pick(table, with_dense)
    actual, dense = table.psnr("actual", "dense").T
    gap = estimates.macro(table, top - actual)
    means = [macro(table, values) for values in (actual, dense, top, top_dense)]
    return {
        "oracle_gap_psnr": gap["mean"],
        "oracle_gap_psnr_interval": [gap["low"], gap["high"]],
        "oracle_gap_psnr_with_dense": means[3] - means[0],
        "nearness": routing.nearness(means[0], means[1], means[2]),
        "headroom_psnr": oracle.headroom(table),
        "headroom_psnr_with_dense": oracle.headroom(table, with_dense=True),
        # What is measured is what was shipped; a re-pick of the stored routes must agree.
        "repick_max_difference_db": float(np.abs(oracle.pick(table, table.index) - actual).max()),
    }


def curves(table: Table) -> dict:
    found: dict[str, Any] = {"severity": _severity(table)}
    if table.p is None:
        return found
    label = oracle.oracle_labels(table)
    label = oracle.labels(table) if label is None else label
    found["coverage"] = oracle.sweep(table)
    found["confusion"] = oracle.confusion(table)
    if (label >= 0).all():
        right = oracle.choices(table) == label
        found["reliability"] = calibration.reliability(table.p.max(axis=1), right)
    if table.has(*ROUTES):
        found["misrouting"] = oracle.misroute(table)
    return found


def _severity(table: Table) -> list[dict]:
    """Mean PSNR and gain over the input a bin; empty without an input that was measured."""
    if not table.has("input"):
        return []
    names = [name for name in table.scores if table.has(name)]
    gains = [name for name in ("dense", "actual") if name in names]
    rows = []
    for task, label, images in oracle.severities(table):
        start = images.psnr("input")[:, 0]
        severity = images.severity
        rows.append(
            {
                "degradation": task,
                "bin": label,
                "n": len(images),
                "severity_low": float(severity.min()),
                "severity_mean": float(severity.mean()),
                "severity_high": float(severity.max()),
                "psnr": {name: float(images.psnr(name).mean()) for name in names},
                "gain": {v: estimates.mean(images.psnr(v)[:, 0] - start) for v in gains},
            }
        )
    return rows


def experts(rows: Iterable[Mapping]) -> dict[str, dict]:
    """What a gate over tokens did with each degradation: means over its images.

    Of rows with `gate`; `usage [l e]` mean weight of every expert in every block, `count
    [l]` experts a token kept, `entropy [l]` of its weights in nats. Empty without gates.
    """
    by_kind: dict[str, list] = {}
    for row in rows:
        if row.get("gate"):
            by_kind.setdefault(row["degradation"], []).append(row["gate"])
    return {
        kind: {
            "images": len(gates),
            **{
                name: np.mean([gate[name] for gate in gates], 0).tolist()
                for name in ("usage", "count", "entropy")
            },
        }
        for kind, gates in by_kind.items()
    }
