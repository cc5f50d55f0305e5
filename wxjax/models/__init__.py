"""What ships inside the package: one folder a model, shaped like the work folder of a run.

`config.json`, `system/weights.npz` (float16) with its SHA-256 in `system/weights.json`,
and `card.md`, which says what the model is for and what it was trained on.
"""

import pathlib
from typing import NamedTuple

from wxjax import errors, files

ROOT = pathlib.Path(__file__).parent
DEFAULT = "weather"


class Shipped(NamedTuple):
    """A model of the package.

    Attributes:
      purpose: the first sentence of its card.
      size: bytes of its weights; sha256: of the same file.
    """

    name: str
    folder: pathlib.Path
    purpose: str
    size: int
    sha256: str

    @property
    def card(self) -> pathlib.Path:
        return self.folder / "card.md"


def names() -> list[str]:
    """Names that `--model` and `wxjax.load` take."""
    return sorted(path.parent.name for path in ROOT.glob("*/config.json"))


def find(name: str) -> Shipped:
    """The model of that name.

    Raises:
      InputError: for a name that no model has.
    """
    if name not in names():
        raise errors.unknown("model", name, names())
    folder = ROOT / name
    card = files.read_json(folder / "system" / "weights.json")
    lines = (folder / "card.md").read_text(encoding="utf-8").splitlines()
    purpose = next(line for line in lines if line and not line.startswith("#"))
    size = (folder / "system" / "weights.npz").stat().st_size
    return Shipped(name, folder, purpose, size, card["sha256"])


def folder(name: str | None) -> pathlib.Path | None:
    """The folder of a shipped model, None where no model has that name."""
    return ROOT / name if name in names() else None
