"""PyTorch weights as functions and variables of ours, of every kind that a system reads."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from wxjax import errors, systems
from wxjax.nn import experts


def load(
    system: str, state: Mapping[str, np.ndarray], **options: Any
) -> tuple[Callable[..., Any], dict]:
    """A network with official weights.

    Args:
      system: a name of `systems.published()`: dehazexl, mofme, resshift, difiisr.
      state: PyTorch's `state_dict` as arrays, in PyTorch's layouts; a leading `module.`
        and buffers that are made anew are ignored. `interop.state_files.read` reads one.
      options: what the state does not say; dehazexl: `region`, `window`, `heads`,
        `attention`; mofme: `heads`, `top_k`, `expert_offset`; resshift and difiisr:
        `image_size`, `mask`.

    Returns:
      `apply(variables, *inputs)`, the bare network on channels-last float32 arrays
      (dehazexl: the image `[b h w 3]`, any size; resshift: scaled latent, time index and
      condition), and `variables`, NumPy float32.

    Raises:
      InputError: for an unknown system or option, and for a state that does not fit,
        listing what is missing, surplus or of another shape.
    """
    _, variables, apply = read(system, state, **options)
    return apply, variables


def read(
    system: str, state: Mapping[str, np.ndarray], **options: Any
) -> tuple[dict, dict, Callable[..., Any]]:
    """`load` with the sizes first: (model, variables, apply)."""
    kinds = systems.published()
    if system not in kinds:
        raise errors.unknown("system", system, kinds)
    model, variables = kinds[system].read(state, **options)
    apply, shapes = kinds[system].network(model)
    sides = [
        {name: np.shape(x) for name, x in experts.flatten(tree).items()}
        for tree in (variables, shapes)
    ]
    if sides[0] != sides[1]:
        odd = sorted(set(sides[0].items()) ^ set(sides[1].items()))
        raise errors.InputError(f"{system}: these sizes make no network of ours: {odd[:4]}.")
    return model, jax.tree.map(to_float32, variables), apply


def to_float32(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, np.float32)
