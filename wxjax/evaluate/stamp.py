"""Whether the rows of a workdir are still those of its weights, its data and its config."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from wxjax import files

NAME = "evaluated.json"
SECTIONS = ("evaluate", "tiles", "video", "sampling", "protocol", "val_hours")
"""Parts of a config that an outcome depends on when weights and data are given."""


def once(
    config: ConfigDict,
    workdir: pathlib.Path,
    measure: Callable[[], Any],
    depends: Mapping[str, Any],
) -> None:
    """Runs `measure`, unless its outcome stands in the workdir already.

    Args:
      depends: what else the outcome depends on: hashes of weights and of data.
    """
    parts = config.to_dict()
    found = {name: parts[name] for name in SECTIONS if name in parts}
    found = json.loads(json.dumps({**found, **depends}))
    path = workdir / NAME
    # The stamp of an older run names fewer parts; what it names must be equal.
    old = files.read_json(path) if path.exists() else None
    if not old or any(found.get(name) != value for name, value in old.items()):
        measure()
    if old != found:
        files.write_json(path, found)


def weights_hash(workdir: pathlib.Path) -> str:
    return files.sha256(workdir / "system" / "weights.npz")
