"""Means and paired differences of a table's columns, each with its 95 % interval."""

import numpy as np
from jaxtyping import Bool, Float

from wxjax.evaluate.table import METRICS, Table
from wxjax.metrics import statistics

Stats = dict[str, float | int | None]


def variants(table: Table, names: list[str] | None = None) -> dict[str, dict]:
    """variant -> {n, identical, macro: {metric: stats}, tasks: {task: {n, metric: stats}}}."""
    found = {}
    for name in names or list(table.scores):
        scores = table.scores[name]
        found[name] = {
            "n": int(np.isfinite(scores["psnr"]).sum()),
            "identical": int(np.nansum(scores["identical"])),
            "macro": {m: macro(table, scores[m]) for m in METRICS},
            "tasks": {},
        }
        for task in table.tasks:
            rows = table.task(task)
            column = rows.scores[name]
            stats = {m: mean(column[m]) for m in METRICS}
            found[name]["tasks"][task] = {"n": int(np.isfinite(column["psnr"]).sum())} | stats
    return found


def mean(values: Float[np.ndarray, "n"]) -> Stats | None:
    """{mean, low, high}; None where nothing was measured."""
    values = values[np.isfinite(values)]
    return _three(statistics.bootstrap(values)) if len(values) else None


def macro(table: Table, values: Float[np.ndarray, "n"]) -> Stats | None:
    """{mean, low, high} of the Macro, images resampled within their task."""
    known = np.isfinite(values)
    if not known.any():
        return None
    return _three(statistics.bootstrap_macro(values[known], table.degradation[known]))


def share(hits: Bool[np.ndarray, "n"]) -> tuple[float, list[float]]:
    """Share of hits and its 95 % Wilson interval, which is not empty at 0 or 1."""
    from scipy import stats

    interval = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    return float(hits.mean()), [float(interval.low), float(interval.high)]


def compare(table: Table, a: str, b: str) -> dict | None:
    """Paired a - b a metric: over all tasks ("macro") and a task; None where one was not run."""
    if not table.has(a, b):
        return None

    def both(rows: Table, pooled: bool) -> dict[str, Stats]:
        stats = {}
        for metric in METRICS:
            left, right = rows.scores[a][metric], rows.scores[b][metric]
            known = np.isfinite(left) & np.isfinite(right)
            if known.any():
                groups = rows.degradation[known] if pooled else None
                stats[metric] = difference(left[known], right[known], groups)
        return stats

    tasks = {name: both(table.task(name), False) for name in table.tasks}
    return {"macro": both(table, True), "tasks": tasks}


def difference(
    a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"], group: np.ndarray | None = None
) -> Stats:
    """Mean of a - b with interval, t-test and Wilcoxon p, and Cohen's d of the pairs.

    Args:
      group: task of each pair; the difference is then the mean of the tasks' means,
        while the tests and the effect size pool all pairs.
    """
    change = a - b
    if group is None:
        found = statistics.bootstrap(change)
    else:
        found = statistics.bootstrap_macro(change, group)
    return {
        "difference": found["mean"],
        "low": found["low"],
        "high": found["high"],
        "t_p": statistics.paired_t(a, b)["p"],
        "wilcoxon_p": statistics.wilcoxon(a, b)["p"],
        "cohens_d": statistics.cohens_d(a, b),
        "n": len(change),
    }


def _three(found: dict) -> Stats:
    return {key: found[key] for key in ("mean", "low", "high")}
