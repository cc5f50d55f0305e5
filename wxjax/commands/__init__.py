"""The commands: thin functions between the command line and the library."""

import os
import pathlib

from wxjax import settings
from wxjax.commands import enlarging, measuring, restoring, retrieving, training, viewing

COMMANDS = {
    "train": training.train,
    "evaluate": measuring.evaluate,
    "restore": restoring.restore,
    "plan": restoring.plan,
    "bench": measuring.bench,
    "report": training.report,
    "prepare": training.prepare,
    "convert": training.convert,
    "attribute": measuring.attribute,
    "render": viewing.render,
    "bake": viewing.bake,
    "search": retrieving.search,
    "explain": retrieving.explain,
    "study": retrieving.study,
    "compare": enlarging.compare,
    "shrink": enlarging.shrink,
}


def main(argv: list[str]) -> None:
    """Parses `argv`, turns the compilation cache on, and runs one command."""
    call = settings.parse(argv, COMMANDS)
    if call.command not in ("report", "prepare", "convert", "shrink"):
        use_compilation_cache()
    COMMANDS[call.command](call)


def use_compilation_cache() -> None:
    """Compiled programs are kept between runs, where the user has not said otherwise."""
    import jax

    from wxjax import mesh

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(base) / "wxjax" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    mesh.initialize()
