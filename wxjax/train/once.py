"""Programs that run once: compiled fast rather than well."""

from collections.abc import Callable
from typing import Any

import jax


def jit(fn: Callable, **options: Any) -> Callable:
    """`jax.jit` for a function that is called once, such as one that draws start values.

    XLA:CPU takes longer to compile such a program well than a hundred steps of training take
    (24 against 2.6 CPU-s for the reid network); run eagerly each of its operations is compiled
    apart (60 s for moei's backbone with shells, nothing cached).
    """
    cheap = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(fn, compiler_options=cheap, **options)
