"""The commands: thin functions between the command line and the library."""

import os
import pathlib
from collections.abc import Sequence

from wxjax import settings, systems
from wxjax.command import Command
from wxjax.commands import measuring, models, restoring, training

COMMANDS: dict[str, Command] = {
    "restore": restoring.RESTORE,
    "plan": restoring.PLAN,
    "models": models.MODELS,
    "attribute": measuring.ATTRIBUTE,
    "train": training.TRAIN,
    "evaluate": measuring.EVALUATE,
    "bench": measuring.BENCH,
    "report": training.REPORT,
    "prepare": training.PREPARE,
    "convert": training.CONVERT,
}
for _name in systems.SYSTEMS:
    COMMANDS |= systems.load(_name).commands


def main(argv: Sequence[str]) -> None:
    """Parses `argv`, turns the compilation cache on, and runs one command."""
    call = settings.parse(argv, COMMANDS)
    command = COMMANDS[call.command]
    if command.device:
        use_compilation_cache()
    command.run(call)


def use_compilation_cache() -> None:
    """Compiled programs are kept between runs, where the user has not said otherwise."""
    import jax

    from wxjax import mesh

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(base) / "wxjax" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    mesh.initialize()
