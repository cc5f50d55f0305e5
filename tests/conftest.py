"""Four CPU devices, and every annotated call checked."""

import os
import pathlib

os.environ["JAX_PLATFORMS"] = "cpu"
# Small programs, many of them: compiling well takes longer than running badly.
CHEAP = "--xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=4 {CHEAP}"

import psutil
import pytest
from jaxtyping import install_import_hook

install_import_hook("wxjax", "beartype.beartype")

import jax

_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
jax.config.update("jax_compilation_cache_dir", str(_CACHE / "wxjax" / "tests"))

_MOST = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Forgets compiled programs between files while they fill a quarter of the memory."""
    yield
    if psutil.Process().memory_info().rss > _MOST:
        jax.clear_caches()


SHARED = pathlib.Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """Real pictures that stand beside the project on its developers' machines only."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the real photographs are not part of the project: licences forbid it")
    return folder
