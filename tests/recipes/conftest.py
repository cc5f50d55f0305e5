"""One finished `:tiny` run, made by the command line a user types."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.conftest import CHEAP

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
    """The folder that holds `run`, the workdir of an undisturbed `:tiny` run."""
    folder = tmp_path_factory.mktemp("tiny")
    done = wxjax("--config=configs/moei.py:tiny", "--workdir=run", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "report: run/index.html" in done.stdout
    return folder
