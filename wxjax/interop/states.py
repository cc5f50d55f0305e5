"""A `state_dict` as plain arrays: cleaned, measured, and held against what it should be."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from wxjax import errors

_SHOWN = 6


def strip(state: Mapping[str, np.ndarray], ignored: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Without the `module.` of DataParallel, and without keys that a pattern matches whole."""
    ignored = tuple(ignored)
    bare = {key.removeprefix("module."): value for key, value in state.items()}
    return {
        key: value
        for key, value in bare.items()
        if not any(re.fullmatch(pattern, key) for pattern in ignored)
    }


def dim(state: Mapping[str, np.ndarray], key: str, axis: int, default: int) -> int:
    """One side of an entry, `default` where there is none."""
    shape = np.shape(state[key]) if key in state else ()
    return int(shape[axis]) if axis < len(shape) else default


def count(state: Mapping[str, np.ndarray], pattern: str) -> int:
    """How many numbers the pattern's one group takes: layers, blocks."""
    matches = (re.fullmatch(pattern, key) for key in state)
    return len({match[1] for match in matches if match})


def check(
    state: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]], name: str
) -> None:
    """Raises InputError naming both sides: missing, surplus and misshapen entries."""
    found = {key: tuple(np.shape(value)) for key, value in state.items()}
    both = [key for key in expected if key in found and found[key] != expected[key]]
    groups = {
        "missing": [f"{key} {expected[key]}" for key in expected if key not in found],
        "surplus": [f"{key} {found[key]}" for key in found if key not in expected],
        "wrong shape": [f"{key} {found[key]}, expected {expected[key]}" for key in both],
    }
    parts = [f"{len(rows)} {kind}: {listed(rows)}" for kind, rows in groups.items() if rows]
    if parts:
        raise errors.InputError(f"these weights do not fit {name}: {'; '.join(parts)}.")


def listed(rows: list[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(rows) - _SHOWN} more" if rows[_SHOWN:] else ""
    return " | ".join(rows[:_SHOWN]) + more
