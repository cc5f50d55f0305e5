"""Means of the step's metrics between two log lines."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from clu import metrics

from wxjax import errors


class TrainingDiverged(errors.InputError):
    """The loss or its gradient is no number any more; the message names step and terms."""


class Window:
    """Sums of numbers seen since the last log line, as clu's averages on the host.

    They are part of a checkpoint: a resumed run logs the means of an unbroken one.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None):
        self._means = {
            name: metrics.Average(np.float32(total), np.float32(count))
            for name, (total, count) in (saved or {}).items()
        }

    def add(self, scalars: Mapping[str, Any]) -> dict[str, float]:
        """Reads one step's metrics, which waits for that step; a NaN is left out of its mean."""
        values = {name: float(value) for name, value in scalars.items()}
        for name, value in values.items():
            seen = math.isfinite(value)
            mean = metrics.Average(np.float32(value if seen else 0), np.float32(seen))
            self._means[name] = mean.merge(self._means[name]) if name in self._means else mean
        return values

    def take(self) -> dict[str, float]:
        """The means, then starts anew."""
        means, self._means = self._means, {}
        with np.errstate(invalid="ignore"):
            return {k: float(np.divide(m.total, m.count)) for k, m in means.items()}

    def plain(self) -> dict[str, list[float]]:
        """As JSON, for a checkpoint."""
        return {k: [float(m.total), float(m.count)] for k, m in self._means.items()}


def diverged(
    step: int, values: Mapping[str, float], examples: Any, last: int | None
) -> TrainingDiverged:
    """The error for a step after which some of `values` are no numbers."""
    terms = ", ".join(f"{k}={v}" for k, v in values.items() if not math.isfinite(v))
    batch = "" if examples is None else f" (examples {_few(examples)} of the data)"
    good = "No checkpoint stands yet" if last is None else f"Checkpoint {last} is the last good one"
    return TrainingDiverged(
        f"training diverged at step {step}: {terms}{batch}. {good}. Lower "
        "optimizer.learning_rate or optimizer.clip_norm, or look at these examples."
    )


def _few(examples: Any) -> str:
    numbers = [str(int(n)) for n in np.ravel(examples)]
    return ", ".join(numbers[:8]) + (", ..." if len(numbers) > 8 else "")
