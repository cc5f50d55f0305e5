"""How far a confidence can be trusted, and when to abstain: host functions in float64.

Symbols: n samples, k classes; `confidence` is the largest probability, `correct` says
whether that class was the true one.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from wxjax import errors

TEMPERATURES = (0.02, 50.0)
LAPSES = np.linspace(0, 0.95, 96)


def softmax(logits: Float[np.ndarray, "n k"], temperature: float = 1.0) -> Float[np.ndarray, "n k"]:
    """Probabilities exp(z / T) / sum exp(z / T), in float64, safe for large logits."""
    z = np.asarray(logits, np.float64) / temperature
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def reliability(
    confidence: Float[np.ndarray, "n"],
    correct: Bool[np.ndarray, "n"],
    bins: int = 15,
    adaptive: bool = False,
) -> list[dict]:
    """A row a bin: low, high, count, confidence and accuracy (means; None where empty).

    Bins are (low, high] of equal width on [0, 1], the first with 0; `adaptive` bins
    hold equally many samples (to one), from the least confident on, and there are at
    most n of them.

    Raises:
      InputError: without samples, or for a confidence outside [0, 1] or NaN.
    """
    confidence = np.asarray(confidence, np.float64)
    if len(confidence) == 0:
        raise errors.bad("samples", 0, "expected at least one")
    if not ((confidence >= 0) & (confidence <= 1 + 1e-6)).all():  # float32 softmax rounds
        raise errors.bad("confidence", float(confidence.max()), "expected values in [0, 1]")
    if adaptive:
        order = np.argsort(confidence, kind="stable")
        parts = np.array_split(order, min(bins, len(order)))
        ends = [(confidence[part[0]], confidence[part[-1]]) for part in parts]
    else:
        edges = np.linspace(0, 1, bins + 1)
        index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
        parts = [np.flatnonzero(index == i) for i in range(bins)]
        ends = list(zip(edges[:-1], edges[1:], strict=True))
    return [
        {
            "low": float(low),
            "high": float(high),
            "count": len(part),
            "confidence": float(confidence[part].mean()) if len(part) else None,
            "accuracy": float(correct[part].mean()) if len(part) else None,
        }
        for (low, high), part in zip(ends, parts, strict=True)
    ]


def ece(
    confidence: Float[np.ndarray, "n"],
    correct: Bool[np.ndarray, "n"],
    bins: int = 15,
    adaptive: bool = False,
) -> float:
    """Expected calibration error (Guo et al., ICML 2017, eq. 3); 0 is calibrated, 1 the worst.

    sum over bins of count / n |accuracy - confidence|, bins as in `reliability`.
    """
    rows = [row for row in reliability(confidence, correct, bins, adaptive) if row["count"]]
    gaps = [row["count"] * abs(row["accuracy"] - row["confidence"]) for row in rows]
    return float(np.sum(gaps) / len(confidence))


def brier(p: Float[np.ndarray, "n k"], label: Int[np.ndarray, "n"]) -> float:
    """Mean over samples of sum_k (p_k - [k = label])^2 (Brier, 1950): 0 best, 2 worst."""
    p = np.asarray(p, np.float64)
    return float(np.square(p - np.eye(p.shape[1])[label]).sum(1).mean())


def nll(p: Float[np.ndarray, "n k"], label: Int[np.ndarray, "n"]) -> float:
    """Mean negative logarithm of the label's probability in nats; p below 1e-12 counts as that."""
    chosen = np.asarray(p, np.float64)[np.arange(len(label)), label]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def fit_temperature(logits: Float[np.ndarray, "n k"], label: Int[np.ndarray, "n"]) -> float:
    """The T that minimises the NLL of softmax(logits / T) (Guo et al., section 4.2).

    NLL is convex in 1 / T, so its slope, mean(E_p[z] - z_label), is bisected to the last
    bit. T is kept in [0.02, 50]: its lower end is the answer where every label has the
    largest logit, its upper end where logits say nothing or the opposite.

    Raises:
      InputError: without samples.
    """
    if len(label) == 0:
        raise errors.bad("samples", 0, "expected at least one to fit the temperature on")
    z = np.asarray(logits, np.float64)
    chosen = z[np.arange(len(z)), label]

    def slope(inverse: float) -> float:
        return float(np.mean((softmax(z, 1 / inverse) * z).sum(1) - chosen))

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if slope(high) <= 0:
        return TEMPERATURES[0]
    if slope(low) >= 0:
        return TEMPERATURES[1]
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def with_lapses(p: Float[np.ndarray, "n k"], rate: float) -> Float[np.ndarray, "n k"]:
    """(1 - rate) p + rate / k: probabilities of one who now and then does not look."""
    return (1 - rate) * p + rate / p.shape[-1]


def fit_lapses(
    logits: Float[np.ndarray, "n k"], label: Int[np.ndarray, "n"]
) -> tuple[float, float]:
    """The T and the rate of lapses that together minimise the NLL.

    A temperature makes all answers equally less sure. Where labels are wrong as often
    under a sure answer as under an unsure one, as the best of three nearly equal experts
    is, lapses say so and leave the order of confidence (psychophysics: Wichmann and Hill,
    2001). A rate of 0 is plain temperature scaling.

    Raises:
      InputError: without samples.
    """
    from scipy import optimize

    best = (fit_temperature(logits, label), 0.0)
    least = nll(softmax(logits, best[0]), label)
    for rate in LAPSES[1:]:
        found = optimize.minimize_scalar(
            lambda t, rate=rate: nll(with_lapses(softmax(logits, np.exp(t)), rate), label),
            bounds=np.log(TEMPERATURES),
            method="bounded",
        )
        if found.fun < least - 1e-9:
            least, best = found.fun, (float(np.exp(found.x)), float(rate))
    return best


def best_threshold(
    confidence: Float[np.ndarray, "n"],
    score: Float[np.ndarray, "n"],
    fallback: Float[np.ndarray, "n"],
    *,
    limit: float = 0.1,
    group: Int[np.ndarray, "n"] | None = None,
) -> dict[str, float]:
    """The abstention threshold with the best macro score, abstaining on at most a share `limit`.

    A sample with confidence < threshold gets its `fallback` score, any other its
    `score` (higher is better). Candidates are 0 and the middles between neighbouring
    confidences, so that a float32 program cuts where this float64 search did; of equal
    scores the smallest threshold wins.

    Args:
      group: task of each sample; the score is the mean of the tasks' means. None: one.

    Returns:
      threshold, score, and abstention (the share of samples that abstain).

    Raises:
      InputError: without samples.
    """
    n = len(confidence)
    if n == 0:
        raise errors.bad("samples", 0, "expected at least one to search a threshold on")
    names, member = np.unique(np.zeros(n, int) if group is None else group, return_inverse=True)
    weight = 1 / (len(names) * np.bincount(member))[member]
    order = np.argsort(confidence, kind="stable")
    gain = np.cumsum((weight * (fallback - score))[order])
    sorted_confidence = np.asarray(confidence, np.float64)[order]
    # After m samples have abstained the threshold lies before the next one; ties go together.
    starts = np.flatnonzero(np.diff(sorted_confidence) > 0) + 1
    base = float(np.sum(weight * score))
    best = {"threshold": 0.0, "score": base, "abstention": 0.0}
    for m in starts[starts <= limit * n + 1e-9]:
        if (found := base + float(gain[m - 1])) > best["score"] + 1e-12:
            threshold = float(sorted_confidence[m - 1 : m + 1].mean())
            best = {"threshold": threshold, "score": found, "abstention": float(m / n)}
    return best


def aurc(confidence: Float[np.ndarray, "n"], loss: Float[np.ndarray, "n"]) -> float:
    """Area under the risk-coverage curve (Geifman et al., ICLR 2019); lower is better.

    The mean over m = 1..n of the mean loss of the m most confident samples; samples of
    one confidence are taken in their average order. The loss is 0/1, or a cost.

    Raises:
      InputError: without samples.
    """
    if len(confidence) == 0:
        raise errors.bad("samples", 0, "expected at least one")
    _, tie = np.unique(-np.asarray(confidence, np.float64), return_inverse=True)
    levelled = (np.bincount(tie, loss) / np.bincount(tie))[np.sort(tie)]
    return float(np.mean(np.cumsum(levelled) / np.arange(1, len(levelled) + 1)))
