"""What a router did, as numbers: host functions on the columns of the rows."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped


def accuracy(route: Int[np.ndarray, "n"], truth: Int[np.ndarray, "n"]) -> float:
    """Share of samples with route == truth; samples with a negative truth (unknown) do not count.

    NaN where nothing counts.
    """
    known = truth >= 0
    return float((route == truth)[known].mean()) if known.any() else float("nan")


def nearness(actual: float, dense: float, oracle: float) -> float:
    """(actual - dense) / (oracle - dense): 1 is the Oracle, 0 no better than the dense model.

    NaN where the Oracle gains less than 1e-9 over dense: the question has no answer.
    """
    gain = oracle - dense
    return float((actual - dense) / gain) if abs(gain) > 1e-9 else float("nan")


def usage(index: Int[np.ndarray, "n"], experts: int) -> Float[np.ndarray, "k"]:
    """Share of samples that each of `experts` programs answered; sums to 1 (0 without samples)."""
    return np.bincount(index, minlength=experts)[:experts] / max(len(index), 1)


def abstention(abstained: Bool[np.ndarray, "n"]) -> float:
    """Share of samples that the router left to the dense model; 0 without samples."""
    return float(np.mean(abstained)) if len(abstained) else 0.0


def entropy(p: Float[np.ndarray, "*n k"]) -> Float[np.ndarray, "*n"]:
    """-sum p log p in nats over the last axis, 0 log 0 = 0: 0 for one choice, log k for none."""
    p = np.asarray(p, np.float64)
    return np.asarray(-np.sum(p * np.log(np.where(p > 0, p, 1)), -1))


def soft(gates: Float[np.ndarray, "n k"], tau: float = 0.1) -> dict[str, Any]:
    """What one soft gate did over a set of inputs.

    Returns:
      usage: mean weight of every expert; variance, cv2 (variance over squared mean) and
        max_over_mean of the usage.
      activation: share of inputs in which an expert's weight exceeds `tau`;
        activation_relative: exceeds 1/k.
      entropy: mean entropy of a gate over log k: 1 is uniform, 0 one-hot.
      decidedness: H(usage) - mean H(gate), nats: the mutual information of input and expert;
        0 for a gate that ignores its input.
      spread: mean over experts of the variance over inputs.
      active: experts with a weight above 0 an input: mean, min, max.
    """
    gates = np.asarray(gates, np.float64)
    k = gates.shape[1]
    mean = gates.mean(0)
    each = entropy(gates)
    kept = (gates > 0).sum(1)
    return {
        "usage": mean.tolist(),
        "variance": float(mean.var()),
        "cv2": float(mean.var() / max(mean.mean() ** 2, 1e-12)),
        "max_over_mean": float(mean.max() / max(mean.mean(), 1e-12)),
        "activation": (gates > tau).mean(0).tolist(),
        "activation_relative": (gates > 1 / k).mean(0).tolist(),
        "entropy": float(each.mean() / np.log(k)) if k > 1 else 0.0,
        "decidedness": max(0.0, float(entropy(mean) - each.mean())),
        "spread": float(gates.var(0).mean()),
        "active": {"mean": float(kept.mean()), "min": int(kept.min()), "max": int(kept.max())},
    }


def drift(before: Float[np.ndarray, "n k"], after: Float[np.ndarray, "n k"]) -> dict[str, float]:
    """How gates on the same inputs changed: mean |difference| summed over k, share of flips."""
    change = np.abs(np.asarray(after) - before).sum(-1).mean()
    return {"l1": float(change), "flips": float((before.argmax(-1) != after.argmax(-1)).mean())}


def specialisation(gates: Float[np.ndarray, "n k"], attribute: Shaped[np.ndarray, "n"]) -> float:
    """Normalised mutual information of the likeliest expert and an attribute: 0 none, 1 equal."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(attribute, np.asarray(gates).argmax(1)))
