"""Batches for training, endless and resumable; examples for evaluation, in order."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from wxjax import errors
from wxjax.data import skipping, sources
from wxjax.data.transforms import ClipWindow, Window

_ENDLESS = 2**60


class Stream:
    """An endless, shuffled view of a source; a position leads to an example by seed alone.

    What cannot be read is skipped (`skipping.py`): another example, by the seed, stands
    in its place.

    Each epoch is a permutation. From `late` of the planned positions on, examples are
    drawn with weights 1 + emphasis * severity instead (0.5 where it is unknown).
    """

    def __init__(
        self,
        source: Any,
        *,
        seed: int,
        num_positions: int,
        emphasis: float | int,
        late: float | int,
    ):
        self.source, self.seed = source, seed
        self.tolerant = skipping.Tolerant(source)
        self.start = int(late * num_positions) if emphasis > 0 else _ENDLESS
        self.emphasis = emphasis
        self._order = functools.lru_cache(maxsize=2)(self._permutation)

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self.tolerant.first(self._candidates(position))

    def _candidates(self, position: int) -> Iterator[int]:
        """The example at a position, then every other in an order that the seed gives."""
        yield self.example_at(position)
        rng = np.random.default_rng([self.seed, position, 5])
        yield from map(int, rng.permutation(len(self.source)))

    def example_at(self, position: int) -> int:
        """Which example stands at a position."""
        if position >= self.start:
            rng = np.random.default_rng([self.seed, position, 2])
            return int(np.searchsorted(self._shares, rng.random(), side="right"))
        epoch, place = divmod(position, len(self.source))
        return int(self._order(epoch)[place])

    @functools.cached_property
    def _shares(self) -> np.ndarray:
        severity = np.nan_to_num(sources.severities(self.source).astype(np.float64), nan=0.5)
        total = np.cumsum(1 + self.emphasis * severity)
        return total[:-1] / total[-1]

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.source))

    def __repr__(self) -> str:
        return f"stream({self.source!r}, {self.seed}, {self.start}, {self.emphasis})"


def train_batches(
    source: Any,
    *,
    crops: Sequence[int],
    batch_size: int,
    seed: int,
    num_steps: int,
    augment: str = "dihedral",
    emphasis: float | int = 0.0,
    late: float | int = 2 / 3,
    threads: int = 2,
) -> grain.DatasetIterator:
    """Endless batches; the n-th depends on `seed` and n alone, whatever `threads` is.

    Args:
      source: at least one example with a target; where its attribute `clips` is true,
        examples are [t h w 3], and so are the images of a batch [b t h w 3]; its attribute
        `window`, where it has one, makes what cuts them instead of `Window`.
      crops: curriculum of crop sizes over equal parts of `num_steps`.
      augment: 'none', 'flip' or 'dihedral'.
      emphasis: how much severe examples, and windows rich in edges, are preferred
        from the share `late` of the run on; 0 is never, 1 twice as often.
      threads: that read ahead; 0 reads in the caller's thread.

    Returns:
      An iterator with get_state / set_state over dicts of `image`, `target` float32
      [b h w 3] in [0, 1], `degradation` int32 [b], `severity` float32 [b], `index` int32 [b].

    Raises:
      InputError: for an empty source, sizes or shares out of range.
    """
    if len(source) < 1:
        raise errors.bad("data", len(source), "expected at least one example")
    if batch_size < 1:
        raise errors.bad("config.data.batch_size", batch_size, "expected at least 1")
    if not 0 <= emphasis <= 1:
        raise errors.bad("config.data.emphasis", emphasis, "expected a number from 0 to 1")
    stream = Stream(
        source, seed=seed, num_positions=num_steps * batch_size, emphasis=emphasis, late=late
    )
    plain = ClipWindow if getattr(source, "clips", False) else Window
    window = getattr(source, "window", plain)(
        tuple(crops),
        num_steps=num_steps,
        batch_size=batch_size,
        seed=seed,
        augment=augment,
        emphasis=emphasis,
        late=late,
    )
    ahead = 2 * batch_size if threads else 0
    batches = iter(
        grain.MapDataset.source(stream)
        .map_with_index(window)
        .batch(batch_size, drop_remainder=True)
        .to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead))
    )
    batches.source = source  # what the loop compares when a run goes on
    return batches
