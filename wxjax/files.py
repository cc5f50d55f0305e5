"""Files that exist only when they are complete: temporary name, flush, rename."""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from wxjax import errors

_CURES = {
    errno.ENOSPC: "the disk is full. Free some space, then run the same command again",
    errno.EFBIG: "the file-size limit is reached. Raise it, then run the same command again",
    errno.EDQUOT: "the disk quota is used up. Free some space, then run the same command again",
    errno.EACCES: "no permission to write here. Choose another folder",
    errno.EPERM: "no permission to write here. Choose another folder",
    errno.EROFS: "the file system is read-only. Choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Choose another folder",
    errno.ENAMETOOLONG: "the name is too long for the file system. Choose a shorter one",
}


def explain(error: OSError, path: os.PathLike | str, doing: str = "write") -> errors.InputError:
    """One line for an operating-system error, with the likely cure."""
    cure = _CURES.get(error.errno or 0, error.strerror or str(error))
    return errors.InputError(f"cannot {doing} {str(path)!r}: {cure}.")


@contextlib.contextmanager
def atomic(path: os.PathLike | str, mode: str = "wb") -> Iterator[Any]:
    """Opens a temporary file beside `path`; leaving the block renames it to `path`.

    On any error, disk full included, the temporary file goes and an older `path`
    stays untouched; an interrupted process leaves at most a hidden `.tmp` file.

    Raises:
      InputError: where the operating system refuses (full, read-only, no such place).
    """
    path = pathlib.Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".wxjax-", suffix=".tmp")
        encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise explain(error, path) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: os.PathLike | str, data: bytes) -> None:
    with atomic(path) as file:
        file.write(data)


def write_text(path: os.PathLike | str, text: str) -> None:
    with atomic(path, "w") as file:
        file.write(text)


def write_json(path: os.PathLike | str, value: object) -> None:
    """Strict JSON (no NaN), indented, with NumPy numbers accepted."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, default=_plain) + "\n")


def write_jsonl(path: os.PathLike | str, rows: Iterable[Mapping]) -> None:
    """One strict JSON object a line."""
    lines = [json.dumps(row, allow_nan=False, default=_plain) + "\n" for row in rows]
    write_text(path, "".join(lines))


def read_json(path: os.PathLike | str) -> Any:
    """Raises InputError naming the file where it is missing or not JSON."""
    try:
        return json.loads(pathlib.Path(path).read_text("utf-8"))
    except OSError as error:
        raise explain(error, path, "read") from error
    except ValueError as error:
        raise errors.InputError(f"{str(path)!r}: not valid JSON ({error}).") from error


def read_jsonl(path: os.PathLike | str) -> list[dict]:
    """Raises InputError naming file and line where one is not JSON."""
    try:
        lines = pathlib.Path(path).read_text("utf-8").splitlines()
    except OSError as error:
        raise explain(error, path, "read") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise errors.InputError(f"{path}:{number}: not valid JSON ({error}).") from error
    return rows


def sha256(path: os.PathLike | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hexadecimal SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest(arrays: Mapping[str, Any]) -> str:
    """Hexadecimal SHA-256 of named arrays: names, types, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
