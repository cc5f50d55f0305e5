"""What the stored rows say about routing, without running a network again.

Oracle, threshold sweeps and mis-routing are row-wise re-picks among the stored
variants. PSNR in dB; Macro = mean over the tasks of the task means. n images.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from wxjax import errors
from wxjax.evaluate.table import EXPERTS, ROUTES, Table, macro, macro_weights
from wxjax.metrics import routing
from wxjax.task import DEGRADATIONS

TAUS = (0.0, *(round(0.34 + 0.02 * i, 2) for i in range(33)), 0.99)
RATES = (0.0, 0.05, 0.10, 0.20)
BINS = ("low", "mid", "high")


def pick(table: Table, index: Int[np.ndarray, "n"], metric: str = "psnr") -> Float[np.ndarray, "n"]:
    """What `metric` would have been, had `ROUTES[index]` answered each image."""
    table.psnr(*ROUTES)
    stacked = np.stack([table.scores[route][metric] for route in ROUTES], axis=1)
    return np.take_along_axis(stacked, index[:, None], axis=1)[:, 0]


def best(table: Table, *, with_dense: bool = False) -> Int[np.ndarray, "n"]:
    """The Oracle: index into `ROUTES` of the highest PSNR, the first where several tie.

    Args:
      with_dense: dense may win too. The default chooses among the three experts
        alone, as the router does; a router that abstains can then beat its Oracle.
    """
    psnr = table.psnr(*ROUTES)
    return psnr.argmax(axis=1) if with_dense else 1 + psnr[:, 1:].argmax(axis=1)


def labels(table: Table) -> Int[np.ndarray, "n"]:
    """Index into `EXPERTS` of the expert made for the image's degradation, -1 where unknown."""
    known = {name: i for i, name in enumerate(DEGRADATIONS)}
    return np.array([known.get(name, -1) for name in table.degradation], dtype=int)


def choices(table: Table) -> Int[np.ndarray, "n"]:
    """Index into `EXPERTS` of the router's first choice, abstained or not."""
    return _gates(table).argmax(axis=1)


def route(p: Float[np.ndarray, "n 3"], tau: float) -> Int[np.ndarray, "n"]:
    """Index into `ROUTES`: dense where max p < tau, else the first choice."""
    return np.where(p.max(axis=1) < tau, 0, 1 + p.argmax(axis=1))


def headroom(table: Table, *, with_dense: bool = False) -> float:
    """Macro PSNR that a perfect router would win over dense, in dB.

    Under 0.1 dB the experts are too alike for routing to matter.
    """
    gain = pick(table, best(table, with_dense=with_dense)) - table.psnr("dense")[:, 0]
    return macro(table, gain)


def confusion(table: Table) -> dict:
    """Images counted by degradation and route: {"degradations", "routes", "counts"}."""
    if table.index is None:
        raise errors.InputError("confusion: the rows hold no route (variant 'actual').")
    tasks = table.tasks
    counts = [
        np.bincount(table.index[table.degradation == name], minlength=len(ROUTES)).tolist()
        for name in tasks
    ]
    return {"degradations": list(tasks), "routes": list(ROUTES), "counts": counts}


def accuracies(table: Table) -> dict[str, float | None]:
    """Share of first choices that match the degradation label and the Oracle label."""
    chosen, label, oracle = choices(table), labels(table), oracle_labels(table)
    return {
        "degradation": routing.accuracy(chosen, label) if (label >= 0).any() else None,
        "oracle": None if oracle is None else routing.accuracy(chosen, oracle),
    }


def sweep(table: Table, taus: Sequence[float] = TAUS) -> list[dict]:
    """What another abstention threshold would have given (ablation B).

    Returns:
      One dict a threshold: tau, abstain_rate, coverage (its complement),
      accuracy and accuracy_oracle among the covered images (None where none is),
      macro_psnr of the re-picked answers (None where the variants were not run).
    """
    p, label, oracle = _gates(table), labels(table), oracle_labels(table)
    chosen, confidence = p.argmax(axis=1), p.max(axis=1)
    repick = table.has(*ROUTES)
    rows = []
    for tau in taus:
        covered = confidence >= tau
        rows.append(
            {
                "tau": float(tau),
                "abstain_rate": float(1 - covered.mean()),
                "coverage": float(covered.mean()),
                "accuracy": _share(chosen == label, covered & (label >= 0)),
                "accuracy_oracle": None if oracle is None else _share(chosen == oracle, covered),
                "macro_psnr": macro(table, pick(table, route(p, tau))) if repick else None,
            }
        )
    return rows


def misroute(
    table: Table, rates: Sequence[float] = RATES, *, draws: int = 1000, seed: int = 0
) -> list[dict]:
    """Macro PSNR when a share of the images is sent to a wrong expert (ablation H).

    A forced error swaps the top of p with a wrong expert's place and leaves its
    height, so an image that abstains still abstains: "with abstention" such
    images are safe, "without" the first choice always answers. Wrong is each of
    the two experts not made for the degradation, with equal chance. Every draw
    gives an image one random number, so the errors at 5 % are among those at 10 %.

    Returns:
      One dict a rate and a setting: rate, abstention, macro_psnr (mean over the
      draws), low and high (central 95 % of them), drop, drop_low, drop_high
      against rate 0 in the same setting, all in dB.
    """
    generator = np.random.default_rng(seed)
    label = np.where(labels(table) >= 0, labels(table), choices(table))
    chance = generator.random((draws, len(table)))
    wrong = 1 + (label + generator.integers(1, 3, (draws, len(table)))) % len(EXPERTS)
    psnr, weights = table.psnr(*ROUTES), macro_weights(table)
    images = np.arange(len(table))
    rows = []
    for abstention in (False, True):
        index = table.index if abstention else 1 + choices(table)
        base = psnr[images, index]
        exposed = index > 0
        for rate in rates:
            change = np.where((chance < rate) & exposed, psnr[images, wrong] - base, 0)
            drop = -(change @ weights)
            low, high = np.quantile(drop, (0.025, 0.975))
            start = float(base @ weights)
            rows.append(
                {
                    "rate": float(rate),
                    "abstention": abstention,
                    "macro_psnr": start - float(drop.mean()),
                    "low": start - float(high),
                    "high": start - float(low),
                    "drop": float(drop.mean()),
                    "drop_low": float(low),
                    "drop_high": float(high),
                }
            )
    return rows


def severities(table: Table) -> list[tuple[str, str, Table]]:
    """The images of each task in three bins of equal count by severity (ablation F).

    Returns:
      (degradation, "low" | "mid" | "high", images); images without a severity are
      left out, and so are tasks with fewer than three that have one.
    """
    bins = []
    for name in table.tasks:
        images = table.task(name)
        images = images.take(np.isfinite(images.severity))
        if len(images) < len(BINS):
            continue
        order = np.argsort(images.severity, kind="stable")
        for label, chosen in zip(BINS, np.array_split(order, len(BINS)), strict=True):
            keep = np.isin(np.arange(len(images)), chosen)
            bins.append((name, label, images.take(keep)))
    return bins


def oracle_labels(table: Table) -> Int[np.ndarray, "n"] | None:
    """Index into `EXPERTS` of the best expert, or None where they were not all measured."""
    return best(table) - 1 if table.has(*ROUTES) else None


def _gates(table: Table) -> Float[np.ndarray, "n 3"]:
    if table.p is None:
        raise errors.InputError("routing: the rows hold no p (variant 'actual' with 'moe').")
    return table.p


def _share(hits: Bool[np.ndarray, "n"], among: Bool[np.ndarray, "n"]) -> float | None:
    return float(hits[among].mean()) if among.any() else None
