"""A picture restored at several places under the network's lattices, and averaged.

Patches, tokens, attention windows and tiles are lattices that a network draws on smooth
ground. Moved by a few pixels, the picture gets the same restoration under other lines;
the mean keeps what they agree on (experiments/seams).
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Shaped

SHIFTS = ((0, 0), (5, 10), (10, 5), (15, 15))
"""Rows and columns that the picture is moved by: all four remainders of a patch's 4 pixels,
and spread over a token's 16."""


class Averaged:
    """A restoring program as the mean over `shifts`; takes as many times as long.

    The router is asked once, for the picture where it lies: all shifts use that expert.
    """

    takes_uint8 = False

    def __init__(self, program: Callable, shifts: Sequence[tuple[int, int]] = SHIFTS):
        self._program, self._shifts = program, tuple(shifts)

    def __call__(
        self, image: Shaped[np.ndarray, "h w 3"], **extra
    ) -> tuple[Float[np.ndarray, "h w 3"], dict]:
        total, first = np.zeros(image.shape, np.float32), None
        for dy, dx in self._shifts:
            moved = np.pad(image, ((dy, 0), (dx, 0), (0, 0)), mode="reflect")
            restored, said = self._program(moved, **extra)
            total += np.asarray(restored, np.float32)[dy:, dx:]
            if first is None:
                first = dict(said)
                if "force" in extra:
                    extra["force"] = np.int32(said["route"][0])
            else:
                for name in ("latency_ms", "ms_per_mp"):
                    first[name] = first[name] + said[name]
        return total / np.float32(len(self._shifts)), first
