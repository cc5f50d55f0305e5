"""One writer a folder."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator

from wxjax import errors, files

NAME = "run.lock"
STALE = 15 * 60.0  # seconds without a sign of life after which another host's lock is void


class Lock:
    def __init__(self, path: pathlib.Path):
        self._path = path

    def touch(self) -> None:
        """A sign of life for other hosts, which cannot see this process."""
        with contextlib.suppress(OSError):
            os.utime(self._path)


@contextlib.contextmanager
def hold(
    folder: os.PathLike | str,
    *,
    writes: bool = True,
    name: str = NAME,
    doing: str = "trains in",
    parameter: str = "workdir",
) -> Iterator[Lock]:
    """Holds `folder/name`, which says pid and host, while the block runs.

    On one host the operating system frees the lock of a process that was killed. A lock left by
    another host is void after 15 minutes without a sign of life.

    Args:
      writes: False for the other hosts of one run, whose first host holds the lock for all.

    Raises:
      InputError: where another process holds it; `parameter` is the folder's name in the
        message, `doing` what the other does there.
    """
    path = pathlib.Path(folder) / name
    if not writes:
        yield Lock(path)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _open(path, f"{doing} this folder", parameter)
    except OSError as error:
        raise files.explain(error, path) from error
    try:
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        with contextlib.suppress(OSError):  # on a full disk the lock holds, and names nobody
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(owner).encode(), 0)
        yield Lock(path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(handle)


def _open(path: pathlib.Path, doing: str, parameter: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(handle)
            os.close(handle)
            raise _taken(path, owner, doing, parameter) from None
        owner, age = _owner(handle), time.time() - os.fstat(handle).st_mtime
        # A file system may not pass flock between hosts: there, age decides.
        if owner and owner.get("host") != socket.gethostname() and age < STALE:
            os.close(handle)
            raise _taken(path, owner, doing, parameter)
        # Its last owner may have removed the file between our opening and our locking.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)


def _owner(handle: int) -> dict:
    try:
        return dict(json.loads(os.pread(handle, 4096, 0)))
    except (ValueError, TypeError):
        return {}


def _taken(path: pathlib.Path, owner: dict, doing: str, parameter: str) -> errors.InputError:
    return errors.InputError(
        f"{parameter}={str(path.parent)!r}: process {owner.get('pid', '?')} on "
        f"{owner.get('host', 'this host')} {doing}. Wait for it, choose another "
        f"folder, or, if it is gone, remove {str(path)!r}."
    )
