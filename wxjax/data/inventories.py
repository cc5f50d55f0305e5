"""What tells one data set from another: asked at resume, stored with every result."""

import hashlib
import weakref
from collections.abc import Mapping
from typing import Any

from wxjax import errors

_INVENTORIES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def inventory(source: Any) -> dict[str, Any]:
    """What a run keeps of its data: {"fingerprint", "count", "items": {id: token}}."""
    if source not in _INVENTORIES:
        items = dict(source.items())
        total = hashlib.sha256()
        for name, token in items.items():
            total.update(f"{name}\t{token}\n".encode())
        _INVENTORIES[source] = {
            "fingerprint": total.hexdigest(),
            "count": len(items),
            "items": items,
        }
    return _INVENTORIES[source]


def fingerprint(source: Any) -> str:
    """SHA-256 over the ordered list of examples."""
    return inventory(source)["fingerprint"]


def check_unchanged(source: Any, stored: Mapping[str, Any] | str) -> None:
    """Compares with an `inventory` (or a fingerprint alone) stored when training began.

    Raises:
      InputError: listing what was added, removed or changed.
    """
    now = inventory(source)
    if isinstance(stored, str):
        stored = {"fingerprint": stored, "items": {}}
    if now["fingerprint"] == stored["fingerprint"]:
        return
    before, after = stored["items"], now["items"]
    parts = {
        "added": [name for name in after if name not in before] if before else [],
        "removed": [name for name in before if name not in after],
        "changed": [name for name in after if name in before and after[name] != before[name]],
    }
    words = "; ".join(f"{word} {_few(names)}" for word, names in parts.items() if names)
    raise errors.InputError(
        f"the data changed since this run began: {words or 'other content or order'}. "
        "Cure: bring the data back, or start in a new workdir."
    )


def _few(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:5])}{', ...' if names[5:] else ''})"
