"""What a folder holds, by SHA-256: written last, so a folder without it is not complete.

Storage formats such as Orbax' restore a flipped bit as another number without an error.
"""

import hashlib
import json
import os
import pathlib
from typing import Any

from wxjax import files

NAME = "manifest.json"


class Damaged(Exception):
    """A file of the folder is not what was written; the message names it."""


def _text(content: dict) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def write(folder: pathlib.Path, about: dict[str, Any]) -> None:
    """Hashes every file of `folder` and puts the list, and `about`, in its manifest.json."""
    listed = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != NAME:
            name = path.relative_to(folder).as_posix()
            listed[name] = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
    content = json.loads(json.dumps({"about": about, "files": listed}))
    digest = hashlib.sha256(_text(content)).hexdigest()
    files.write_json(folder / NAME, {**content, "sha256": digest})
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def verify(folder: pathlib.Path) -> dict[str, Any]:
    """The `about` of a folder whose every file is as it was written.

    Raises:
      Damaged: naming the first file that is missing or differs.
    """
    try:
        content = json.loads((folder / NAME).read_text("utf-8"))
        digest = content.pop("sha256")
        listed = content["files"].items()
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise Damaged(f"{NAME} cannot be read") from error
    if hashlib.sha256(_text(content)).hexdigest() != digest:
        raise Damaged(f"{NAME} was changed")
    for name, entry in listed:
        path = folder / name
        if not path.is_file():
            raise Damaged(f"{name} is missing")
        if path.stat().st_size != entry["bytes"]:
            raise Damaged(f"{name} has {path.stat().st_size} bytes instead of {entry['bytes']}")
        if files.sha256(path) != entry["sha256"]:
            raise Damaged(f"{name} was changed (SHA-256 differs)")
    return content["about"]
