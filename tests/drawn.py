"""Random variables without a program to draw them: compiling one takes longer than a test."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def variables(init: Callable, *args: Any, noise: float = 0.1, seed: int = 0) -> Any:
    """A tree of the shapes of `init(*args)`, no leaf of it zero.

    Kernels are drawn by their fan-in; vectors by `noise`, about 1 where they are a scale.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        size = noise if leaf.ndim < 2 else 0.5 / math.sqrt(math.prod(leaf.shape[:-1]))
        x = size * rng.standard_normal(leaf.shape) + (path[-1].key == "scale")
        return jnp.asarray(x, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(init, *args))
