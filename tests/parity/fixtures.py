"""Numbers from the official codes, for weights that follow from names and shapes.

`data/` holds those of the small and unit cases and of one full-size network (6 MB); the rest
stands beside the project where it is developed.
"""

import json
import pathlib

import numpy as np
import pytest

from tests.conftest import SHARED
from tests.parity import weights

FOLDERS = pathlib.Path(__file__).with_name("data"), SHARED / "fixtures"


def load(name: str):
    """The arrays of a fixture; skips the test where it is not at hand."""
    for folder in FOLDERS:
        if (folder / f"{name}.npz").exists():
            return np.load(folder / f"{name}.npz", allow_pickle=False)
    pytest.skip(f"{name}: too large for the project, whose tests/parity/data has 6 MB of others")


def state(arrays) -> dict[str, np.ndarray]:
    """A user's checkpoint: the weights that a fixture's numbers were taken with."""
    return weights.fill(json.loads(str(arrays["keys"])))
