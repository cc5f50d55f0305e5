"""The JSON record beside each restored file, and what it says about doing it again."""

import contextlib
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from wxjax import errors, files

_NAME_BYTES = 255


def place(target: pathlib.Path) -> pathlib.Path:
    """`photo.jpg` -> `photo.jpg.json`, cut to what a file system takes, and still unique."""
    name = target.name + ".json"
    if len(os.fsencode(name)) > _NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
        stem = os.fsencode(target.name)[: _NAME_BYTES - 18].decode("utf-8", "ignore")
        name = f"{stem}-{digest}.json"
    return target.with_name(name)


def replaceable(target: pathlib.Path, overwrite: bool) -> str | None:
    """SHA-256 of the present output, None where there is none.

    Raises:
      InputError: where output or record exists, this program did not make it as it is
        now, and `overwrite` is false.
    """
    record = read(target)
    ours = {record.get("output", {}).get("sha256"), record.get("replaces")}
    present = files.sha256(target) if target.is_file() else None
    for path, known in ((target, present in ours), (place(target), bool(record))):
        strange = os.path.lexists(path) and not known
        if strange and not (overwrite and path.is_file()):
            raise errors.InputError(
                f"{str(path)!r} is in the way: not made here, or changed since. "
                "Move it, or allow overwriting."
            )
    return present


def current(target: pathlib.Path, data: bytes, key: str, present: str) -> bool:
    """Whether output `present` was made of these bytes under settings with digest `key`."""
    record = read(target)
    return (
        record.get("input", {}).get("sha256") == sha256(data)
        and record.get("settings_sha256") == key
        and record.get("output", {}).get("sha256") == present
    )


def read(target: pathlib.Path) -> dict:
    """The record of an output; empty where there is none that this program wrote."""
    with contextlib.suppress(errors.InputError):
        record = files.read_json(place(target))
        if isinstance(record, dict) and "wxjax" in record:
            return record
    return {}


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def digest(settings: Mapping[str, Any]) -> str:
    """Hexadecimal SHA-256 of settings, whatever the order of their names."""
    return sha256(json.dumps(plain(settings), sort_keys=True).encode())


def plain(value: Any) -> Any:
    """JSON values: arrays as lists, what is not finite as null, mappings as dicts."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
