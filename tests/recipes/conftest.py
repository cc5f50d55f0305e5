"""One finished `:tiny` run, made by the command line a user types."""

import contextlib
import fcntl
import io
import os
import pathlib
import subprocess
import sys
from unittest import mock

import pytest

from tests.conftest import CHEAP
from wxjax import main

ROOT = pathlib.Path(__file__).parents[2]


def wxjax(*words, cwd, timeout=600, **kwargs) -> subprocess.CompletedProcess:
    """Runs the program in `cwd` on one CPU device, with the tests' compilation cache."""
    return subprocess.run(
        [sys.executable, "-m", "wxjax.main", *map(str, words)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        **kwargs,
    )


def slip(*words, cwd) -> subprocess.CompletedProcess:
    """As `wxjax`, but in this process: for command lines that end before any work."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    given = {"JAX_COMPILATION_CACHE_DIR": environment()["JAX_COMPILATION_CACHE_DIR"]}
    with contextlib.ExitStack() as stack:
        for change in (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.dict(os.environ, given),
        ):
            stack.enter_context(change)
        try:
            main.run(["wxjax", *map(str, words)])
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def environment() -> dict:
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    env = dict(os.environ)
    env |= {
        "XLA_FLAGS": CHEAP,
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache / "wxjax" / "tests"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "PYTHONWARNINGS": "error::DeprecationWarning:wxjax",
    }
    return env


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> pathlib.Path:
    """The folder that holds `run`, the workdir of an undisturbed `:tiny` run.

    One for all processes of pytest-xdist: the first makes it, the others wait.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return trained(tmp_path_factory.mktemp("tiny"))
    folder = tmp_path_factory.getbasetemp().parent / "tiny"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder if (folder / "done").exists() else trained(folder)


def trained(folder: pathlib.Path) -> pathlib.Path:
    done = wxjax("--config=configs/moei.py:tiny", "--workdir=run", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "report: run/index.html" in done.stdout
    (folder / "done").touch()
    return folder
