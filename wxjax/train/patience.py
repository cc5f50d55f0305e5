"""Early stopping: a run ends where its best evaluation lies too far back."""

import math
from typing import Any

from wxjax import errors


class Patience:
    """Counts evaluations since the best one of `checkpoint.best`.

    Args:
      config: `evaluate.patience`, evaluations without a better one after which the run ends
        (missing or 0: never), and `checkpoint.best`, the metric ('-' before it: lower is better).
      stored: what `plain` said when the checkpoint was written.

    Raises:
      InputError: for a patience without a metric.
    """

    def __init__(self, config: Any, stored: dict | None = None):
        self._most = getattr(config.evaluate, "patience", 0)
        named = getattr(config.checkpoint, "best", "")
        if self._most and not named:
            rule = "expected a metric to wait for in checkpoint.best, such as eval/psnr"
            raise errors.bad("evaluate.patience", self._most, rule)
        self._metric, self._sign = named.removeprefix("-"), -1 if named.startswith("-") else 1
        self._best, self._since = (stored or {}).get("best"), (stored or {}).get("since", 0)

    def __str__(self) -> str:
        best = "nothing" if self._best is None else f"{self._best:.4g}"
        return f"{self._metric} was not better than {best} in {self._since} evaluations"

    @property
    def over(self) -> bool:
        return bool(self._most) and self._since >= self._most

    def see(self, results: dict[str, float]) -> None:
        """Takes the numbers of one evaluation.

        Raises:
          InputError: where the metric is not among them.
        """
        if not self._most:
            return
        if self._metric not in results:
            raise errors.unknown("checkpoint.best", self._metric, list(results))
        value = results[self._metric]
        better = self._best is None or self._sign * value > self._sign * self._best
        if math.isfinite(value) and better:
            self._best, self._since = value, 0
        else:
            self._since += 1

    def plain(self) -> dict[str, Any]:
        """For the manifest of a checkpoint; empty where nothing is counted."""
        if not self._most:
            return {}
        counted = {"best": self._best, "since": self._since}
        return {"patience": counted, "ended": self.over}
