"""A bad picture in training: skipped, counted and listed; too many of them stop the run."""

import sys
import threading
from collections.abc import Iterable
from typing import Any

from wxjax import errors

SHARE = 0.05  # of the examples of a source that may be bad


class Tolerant:
    """A source whose bad examples are replaced by the caller's next choice.

    Attributes:
      bad: place in the source -> why it could not be read.
    """

    def __init__(self, source: Any, share: float = SHARE):
        self.source, self.share = source, share
        self.bad: dict[int, str] = {}
        self._lock = threading.Lock()

    def first(self, places: Iterable[int]) -> Any:
        """The first example among `places` that can be read.

        Raises:
          InputError: where more than the share is bad, or none of the places is good; it
            lists the first of them.
        """
        for place in places:
            if place in self.bad:
                continue
            try:
                return self.source[place]
            except errors.InputError as error:
                self._note(place, str(error))
        raise errors.InputError(f"no example can be read in place of a bad one. {self.listed()}")

    def _note(self, place: int, reason: str) -> None:
        with self._lock:
            if place in self.bad:
                return
            self.bad[place] = reason
            number, size = len(self.bad), len(self.source)
        print(
            f"skipped in training ({number} of {size}; the run stops above {self.share:.0%}): "
            f"{reason}",
            file=sys.stderr,
        )
        if number > self.share * size:
            raise errors.InputError(
                f"{number} of {size} examples cannot be read, over {self.share:.0%}. "
                f"{self.listed()} Cure: mend or remove them."
            )

    def listed(self) -> str:
        """The first few bad examples, in words."""
        shown = "; ".join(reason.rstrip(".") for reason in list(self.bad.values())[:3])
        more = f"; and {len(self.bad) - 3} more" if len(self.bad) > 3 else ""
        return f"{shown}{more}."
