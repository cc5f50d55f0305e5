"""What a router did, as numbers: host functions on the columns of the rows."""

import numpy as np
from jaxtyping import Bool, Float, Int


def accuracy(route: Int[np.ndarray, "n"], truth: Int[np.ndarray, "n"]) -> float:
    """Share of samples with route == truth; samples with a negative truth (unknown) do not count.

    NaN where nothing counts.
    """
    known = truth >= 0
    return float((route == truth)[known].mean()) if known.any() else float("nan")


def oracle_gap(actual: Float[np.ndarray, "n"], oracle: Float[np.ndarray, "n"]) -> float:
    """Mean of oracle - actual, in the score's unit (dB for PSNR): what better routing could add."""
    return float(np.mean(np.asarray(oracle, np.float64) - actual))


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
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), -1)
