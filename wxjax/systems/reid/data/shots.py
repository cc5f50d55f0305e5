"""Sources of shots: the synthetic people, and data sets in the layouts of the field.

See `identities.py` for what a source of shots is.
"""

from typing import Any

import numpy as np

from wxjax import errors
from wxjax.systems.reid.data import pedestrians

SPLITS = ("train", "val", "test")
NAMES = ("pedestrians", "rgbnt201", "rgbnt100", "msvr310", "market", "folder", "npz")


def open(config: Any, split: str) -> Any:
    """The source that a run's `config.data` names, for 'train', 'val' or 'test'.

    Raises:
      InputError: for an unknown name or split, a missing folder, a layout that is not there.
    """
    if split not in SPLITS:
        raise errors.unknown("split", split, SPLITS)
    if config.name == "pedestrians":
        return pedestrians.Pedestrians(
            split, seed=config.seed, identities=config[split], takes=config.takes
        )
    if config.name not in NAMES:
        raise errors.unknown("config.data.name", config.name, NAMES)
    from wxjax.systems.reid.data import gallery

    if not config.root:
        raise errors.bad("config.data.root", config.root, f"expected a folder for {config.name!r}")
    whole = gallery.read(
        config.root, config.name, "test" if split == "test" else "train",
        modalities=tuple(config.modalities), size=tuple(config.size),
    )  # fmt: skip
    if split == "test":
        return whole
    held = held_out(np.asarray(whole.pids), config.held_out, config.seed)
    return Subset(whole, np.isin(whole.pids, held) == (split == "val"))


def held_out(pids: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Identities kept from training for validation, at least two."""
    if not 0 < share < 1:
        raise errors.bad("config.data.held_out", share, "expected a share between 0 and 1")
    names = np.unique(pids)
    count = max(2, round(share * len(names)))
    if count > len(names) - 2:
        raise errors.bad("data", len(names), "expected at least four training identities")
    return np.random.default_rng([seed, 4]).permutation(names)[:count]


class Subset:
    """The shots of a source that a mask picks."""

    def __init__(self, source: Any, mask: np.ndarray):
        self._source, self._places = source, np.flatnonzero(mask)
        self.modalities = source.modalities
        self.pids = np.asarray(source.pids)[self._places]
        self.cameras = np.asarray(source.cameras)[self._places]
        if hasattr(source, "records"):
            self.records = [source.records[i] for i in self._places]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self._source[int(self._places[index])], "index": np.int32(index)}

    def roles(self) -> np.ndarray:
        return np.full(len(self), "both")

    def items(self) -> dict[str, str]:
        every = list(self._source.items().items())
        return dict(every[i] for i in self._places)

    def __repr__(self) -> str:
        from wxjax.data import inventories

        return f"shots({len(self)}, {inventories.fingerprint(self)[:16]})"
