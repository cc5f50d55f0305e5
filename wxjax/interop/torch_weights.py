"""PyTorch weights as functions and variables of ours: one line of the table a system.

A system is reached by the names of its modules, when it is asked for, as `task.load`
reaches one; so neither side imports the other.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from wxjax import errors
from wxjax.nn import experts


class Entry(NamedTuple):
    """Where a system's parts are.

    Attributes:
      names: a module with `read(state, **options) -> (model, variables)`: our sizes
        (plain values, as in the system's config) and variables, checked against the
        checkpoint that these sizes ask for.
      network: a module with `network(model) -> (apply, shapes)`: the bare network on
        channels-last float32 arrays, and its variables as shapes.
      config: a module with `imported(model) -> ConfigDict`: a config under which the
        variables are a trained run, so that they can be restored with and measured.
    """

    names: str
    network: str
    config: str


TABLE = {
    "dehazexl": Entry(
        names="wxjax.interop.dehazexl",
        network="wxjax.systems.moei.network",
        config="configs.dehazexl",
    ),
    "mofme": Entry(
        names="wxjax.interop.mofme",
        network="wxjax.systems.mofme.network",
        config="configs.mofme",
    ),
} | {
    name: Entry(
        names="wxjax.interop.resshift",
        network="wxjax.systems.irsr.unet",
        config="configs.irsr",
    )
    for name in ("resshift", "difiisr")
}


def load(
    system: str, state: Mapping[str, np.ndarray], **options: Any
) -> tuple[Callable[..., Any], dict]:
    """A network with official weights.

    Args:
      system: a name of `TABLE`.
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
    if system not in TABLE:
        raise errors.unknown("system", system, TABLE)
    entry = TABLE[system]
    model, variables = importlib.import_module(entry.names).read(state, **options)
    apply, shapes = importlib.import_module(entry.network).network(model)
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
