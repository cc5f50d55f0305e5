"""The table of an evaluation: rows of `per_image.jsonl` joined by image.

n images, v variants ("input", "dense", ..., "actual"), k = 3 experts. Everything
after the networks (Oracle, sweeps, statistics, reports) is a function of it.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from wxjax import errors
from wxjax.metrics import statistics
from wxjax.task import DEGRADATIONS

EXPERTS = ("dehaze", "derain", "desnow")
ROUTES = ("dense", *EXPERTS)
VARIANTS = ("input", *ROUTES, "actual", "top2")
METRICS = ("psnr", "ssim", "lpips", "hmean_psnr_nlpips")
PSNR_CAP = 100.0  # dB an image equal to its truth counts as in a mean: its PSNR is infinite


@dataclasses.dataclass(frozen=True)
class Table:
    """Images in the order of their first row.

    Attributes:
      ids: one name an image.
      degradation: "haze", "rain", "snow", "mixed" or "unknown", one an image.
      severity: in [0, 1], NaN where unknown.
      scores: variant -> metric -> one value an image, NaN where there is no truth.
        PSNR in dB is capped at `PSNR_CAP`; "identical" is 1 where image and truth are equal.
      p: calibrated router probabilities over `EXPERTS`, or None without a router.
      index: what answered, into `ROUTES` (0 = dense = abstained), or None.
    """

    ids: tuple[str, ...]
    degradation: np.ndarray
    severity: Float[np.ndarray, "n"]
    scores: Mapping[str, Mapping[str, Float[np.ndarray, "n"]]]
    p: Float[np.ndarray, "n 3"] | None
    index: Int[np.ndarray, "n"] | None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The main degradations that occur, in fixed order; else whatever occurs."""
        present = tuple(d for d in DEGRADATIONS if d in self.degradation)
        return present or tuple(sorted(set(self.degradation.tolist())))

    def has(self, *variants: str) -> bool:
        """Whether every variant was run and measured against a truth on every image."""
        columns = [self.scores.get(v, {}).get("psnr", np.array([np.nan])) for v in variants]
        return len(self) > 0 and all(np.isfinite(column).all() for column in columns)

    def measured(self, *variants: str) -> "Table":
        """The images on which every variant was measured; none where one was not run."""
        nowhere = np.full(len(self), np.nan)
        columns = [self.scores.get(v, {}).get("psnr", nowhere) for v in variants]
        return self.take(np.isfinite(columns).all(axis=0))

    def psnr(self, *variants: str) -> Float[np.ndarray, "n v"]:
        """PSNR of the variants side by side; raises where one was not run."""
        missing = [v for v in variants if not self.has(v)]
        if missing:
            raise errors.bad(
                "variants", sorted(self.scores), f"this needs PSNR of {', '.join(missing)} too",
                "Evaluate those variants on the same images.",
            )  # fmt: skip
        return np.stack([self.scores[v]["psnr"] for v in variants], axis=1)

    def take(self, keep: Bool[np.ndarray, "n"]) -> "Table":
        """The images where `keep` holds."""
        scores = {v: {m: x[keep] for m, x in s.items()} for v, s in self.scores.items()}
        return Table(
            ids=tuple(i for i, k in zip(self.ids, keep, strict=True) if k),
            degradation=self.degradation[keep],
            severity=self.severity[keep],
            scores=scores,
            p=None if self.p is None else self.p[keep],
            index=None if self.index is None else self.index[keep],
        )

    def task(self, name: str) -> "Table":
        return self.take(self.degradation == name)

    def main(self) -> "Table":
        """Haze, rain and snow only: mixed and unlabelled images are reported apart."""
        return self.take(np.isin(self.degradation, DEGRADATIONS))


def macro_weights(table: Table) -> Float[np.ndarray, "n"]:
    """w with w @ x = `macro` of x, for many x at once (all finite)."""
    names, member = np.unique(table.degradation, return_inverse=True)
    return 1 / (len(names) * np.bincount(member))[member]


def macro(table: Table, values: Float[np.ndarray, "n"]) -> float:
    """Mean over the tasks of the task means; NaN values left out, NaN if all are."""
    valid = np.isfinite(values)
    if not valid.any():
        return np.nan
    return statistics.macro(statistics.group_means(values[valid], table.degradation[valid]))


def join(rows: Iterable[Mapping]) -> Table:
    """One image a line from one (image, variant) a row.

    Raises:
      InputError: for a variant stored twice, a variant that an image lacks,
        an image whose rows disagree about its degradation or severity, or a
        route that contradicts its index.
    """
    images: dict[str, dict[str, Mapping]] = {}
    for row in rows:
        variants = images.setdefault(row["id"], {})
        if row["variant"] in variants:
            raise errors.bad("id", row["id"], f"variant {row['variant']!r} is stored twice")
        variants[row["variant"]] = row
    names = [v for v in VARIANTS if any(v in image for image in images.values())]
    for identity, image in images.items():
        _check(identity, image, names)

    def column(variant, metric):
        return np.array([_score(image[variant], metric) for image in images.values()])

    stored = ("psnr", "ssim", "lpips", "mse", "identical")
    scores = {v: {m: column(v, m) for m in stored} for v in names}
    for values in scores.values():
        known = np.isfinite(values["psnr"]) & np.isfinite(values["lpips"])
        h_mean = statistics.h_mean(values["psnr"], values["lpips"])
        values["hmean_psnr_nlpips"] = np.where(known, h_mean, np.nan)
    first = [next(iter(image.values())) for image in images.values()]
    gates = [image["actual"].get("moe") for image in images.values() if "actual" in image]
    routed = bool(gates) and all(gates)
    return Table(
        ids=tuple(images),
        degradation=np.array([row["degradation"] for row in first], dtype=str),
        severity=np.array([_number(row.get("severity")) for row in first], dtype=float),
        scores=scores,
        p=np.clip([gate["p"] for gate in gates], 0.0, 1.0) if routed else None,
        index=np.array([gate["index"] for gate in gates]) if routed else None,
    )


def _check(identity: str, image: Mapping[str, Mapping], names: list[str]) -> None:
    missing = [name for name in names if name not in image]
    if missing:
        raise errors.bad(
            "id", identity, f"lacks the variants {', '.join(missing)} that other images have",
            "Evaluate every variant on the same images.",
        )  # fmt: skip
    for key in ("degradation", "severity"):
        values = {row.get(key) for row in image.values()}
        if len(values) > 1:
            raise errors.bad(
                "id", identity, f"its rows disagree about {key}: {sorted(map(str, values))}"
            )
    gate = image.get("actual", {}).get("moe")
    if gate and gate["route"] != ROUTES[gate["index"]]:
        raise errors.bad("id", identity, f"route {gate['route']!r} is not index {gate['index']}")


def _metrics(row: Mapping) -> Mapping:
    return row.get("metrics") or {}


def _score(row: Mapping, metric: str) -> float:
    metrics = _metrics(row)
    if metric == "psnr" and metrics.get("identical"):
        return PSNR_CAP
    value = _number(metrics.get(metric))
    return min(value, PSNR_CAP) if metric == "psnr" else value


def _number(value: float | int | None) -> float:
    return np.nan if value is None else float(value)
