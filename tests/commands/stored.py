"""One small folder of each kind of run, as it was written before systems were plugged in."""

import pathlib
import shutil

STORED = pathlib.Path(__file__).parents[1] / "stored"
KINDS = ("moei", "dehazexl", "mofme", "mofme_video", "irsr", "tod", "reid")


def copy(kind: str, folder: pathlib.Path) -> pathlib.Path:
    """A run of that kind as `folder/kind`."""
    return pathlib.Path(shutil.copytree(STORED / kind, folder / kind))
