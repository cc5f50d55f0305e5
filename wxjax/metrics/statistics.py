"""Intervals, paired tests and effect sizes over images: host functions, SciPy inside.

What a test cannot say (one sample, no spread) is None, never NaN, so that it can be
written as JSON.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Shaped

from wxjax import errors

RESAMPLES, LEVEL = 10_000, 0.95
PSNR_FLOOR, PSNR_SPAN = 10.0, 25.0  # of `h_mean`; they stand in every record beside it


def bootstrap(
    values: Float[np.ndarray, "n"],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict:
    """Confidence interval of the mean of `values` over images, by resampling them.

    BCa (Efron, 1987; scipy.stats.bootstrap) from three values on; the percentile
    interval with two; where all values are equal, or there is only one, low = high =
    the value and `method` is 'none'.

    Returns:
      mean, low, high, n, level, resamples, method.

    Raises:
      InputError: without values, or for one that is not finite.
    """
    values = _finite(values)
    n, mean = len(values), float(values.mean())
    found = {"mean": mean, "low": mean, "high": mean, "n": n, "level": level}
    found |= {"resamples": resamples, "method": "none"}
    if np.ptp(values) == 0:
        return found
    if n >= 3:
        from scipy import stats

        result = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=resamples,
            confidence_level=level,
            method="BCa",
            batch=_batch(n),
            random_state=np.random.default_rng(seed),
        )
        interval = result.confidence_interval
        if np.isfinite([interval.low, interval.high]).all():
            return found | {
                "low": float(interval.low),
                "high": float(interval.high),
                "method": "BCa",
            }
    low, high = _percentiles(_means(values, resamples, np.random.default_rng(seed)), level)
    return found | {"low": low, "high": high, "method": "percentile"}


def bootstrap_macro(
    values: Float[np.ndarray, "n"],
    group: Shaped[np.ndarray, "n"],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict:
    """Interval of the mean of the groups' means, resampling images within each group.

    The percentile interval (BCa has no stratified form here). Returns and raises as
    `bootstrap`.
    """
    values, group = _finite(values), np.asarray(group)
    rng = np.random.default_rng(seed)
    parts = [values[group == name] for name in np.unique(group)]
    mean = float(np.mean([part.mean() for part in parts]))
    low, high = _percentiles(np.mean([_means(p, resamples, rng) for p in parts], 0), level)
    found = {"mean": mean, "low": low, "high": high, "n": len(values), "level": level}
    flat = all(np.ptp(part) == 0 for part in parts)
    return found | {"resamples": resamples, "method": "none" if flat else "percentile"}


def paired_t(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> dict:
    """Student's paired t-test of mean(a - b) = 0, two-sided.

    Returns:
      difference (mean of a - b), t, p, df. With one pair t and p are None; if all
      differences are 0, t = 0 and p = 1; if all are one other value, t is None and p = 0.
    """
    d = _finite(a) - _finite(b)
    found = {"difference": float(d.mean()), "t": None, "p": None, "df": len(d) - 1}
    if len(d) < 2:
        return found
    if _constant(d):
        zero = abs(d.mean()) < 1e-12
        return found | {"t": 0.0 if zero else None, "p": 1.0 if zero else 0.0}
    from scipy import stats

    result = stats.ttest_1samp(d, 0.0)
    return found | {"t": float(result.statistic), "p": float(result.pvalue)}


def wilcoxon(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> dict:
    """Wilcoxon's signed-rank test that a - b is symmetric about 0, two-sided.

    Zero differences are dropped (Wilcoxon's own rule). Returns statistic, p and n (the
    pairs that differ); statistic 0 and p 1 where none does.
    """
    d = _finite(a) - _finite(b)
    d = d[d != 0]
    if len(d) == 0:
        return {"statistic": 0.0, "p": 1.0, "n": 0}
    from scipy import stats

    result = stats.wilcoxon(d)
    return {"statistic": float(result.statistic), "p": float(result.pvalue), "n": len(d)}


def cohens_d(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float | None:
    """Effect size of paired differences (Cohen's d_z): mean(a - b) / sd(a - b), n - 1 in sd.

    0.2 is small, 0.5 medium, 0.8 large. 0 if all differences are 0; None with one
    pair or if all differences are one other value (infinite).
    """
    d = _finite(a) - _finite(b)
    if len(d) < 2 or _constant(d):
        return 0.0 if len(d) > 1 and abs(d.mean()) < 1e-12 else None
    return float(d.mean() / d.std(ddof=1))


def macro(means: Mapping[str, float]) -> float:
    """The mean of the tasks' means: every task counts the same, however many images it has."""
    if not means:
        raise errors.bad("tasks", 0, "expected at least one")
    return float(np.mean(list(means.values())))


def group_means(values: Float[np.ndarray, "n"], group: Shaped[np.ndarray, "n"]) -> dict[str, float]:
    """The mean of `values` in each group, by the group's name, in sorted order."""
    group = np.asarray(group)
    return {str(name): float(np.mean(values[group == name])) for name in np.unique(group)}


def h_mean(
    psnr: float | Shaped[np.ndarray, "*n"], lpips: float | Shaped[np.ndarray, "*n"]
) -> float | Float[np.ndarray, "*n"]:
    """2ab / (a + b), a = clip((PSNR - 10) / 25, 0, 1), b = 1 - LPIPS: fidelity and likeness.

    In [0, 1], higher is better, 0 where either is 0. LPIPS above 1 counts as 1.
    """
    a = np.clip((np.asarray(psnr, np.float64) - PSNR_FLOOR) / PSNR_SPAN, 0, 1)
    b = np.clip(1 - np.asarray(lpips, np.float64), 0, 1)
    value = np.where(a + b > 0, 2 * a * b / np.where(a + b > 0, a + b, 1), 0.0)
    return float(value) if value.ndim == 0 else value


def _finite(values: np.ndarray) -> Float[np.ndarray, "n"]:
    values = np.asarray(values, np.float64)
    if values.size == 0:
        raise errors.bad("values", 0, "expected at least one image")
    if wrong := int((~np.isfinite(values)).sum()):
        cure = "Leave out images that are identical to their target (infinite PSNR)."
        raise errors.bad("values", f"{wrong} of {values.size} not finite", "expected none", cure)
    return values


def _constant(d: np.ndarray) -> bool:
    """Whether differences spread by rounding alone."""
    return bool(np.ptp(d) <= 1e-12 * max(1.0, float(np.abs(d).max())))


def _batch(n: int) -> int:
    return max(1, 2_000_000 // n)  # 16 MB of float64 at a time


def _means(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means of `resamples` draws with replacement, in batches that bound the memory."""
    n, step = len(values), _batch(len(values))
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    return np.concatenate([values[rng.integers(n, size=(size, n))].mean(1) for size in sizes])


def _percentiles(means: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
