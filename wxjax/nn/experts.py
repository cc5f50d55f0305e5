"""Experts as deltas: the leaves that differ from a shared network, stacked on axis k.

A tree of parameters is addressed by names such as `decoder/level0_block1/shell/gate`.
Index 0 is the shared network itself, so every route, abstention included, is one
compiled program.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from wxjax import errors

Flat = dict[str, Any]


def flatten(params: Mapping) -> Flat:
    return flax.traverse_util.flatten_dict(params, sep="/")


def unflatten(flat: Mapping[str, Any]) -> dict:
    return flax.traverse_util.unflatten_dict(dict(flat), sep="/")


def differing(names: Sequence[str], unfrozen: Sequence[str]) -> tuple[str, ...]:
    """Names an expert owns: those of its shells, and those that a pattern matches whole.

    Raises:
      InputError: for a pattern that matches nothing.
    """
    owned = {name for name in names if "/shell" in name}
    for pattern in unfrozen:
        hits = {name for name in names if re.fullmatch(pattern, name)}
        if not hits:
            raise errors.bad("unfrozen", pattern, "matches no parameter")
        owned |= hits
    return tuple(name for name in names if name in owned)


def stack(experts: Sequence[Mapping], names: Sequence[str]) -> dict:
    """The named leaves of networks of one structure as one tree, each with a leading axis k."""
    flats = [flatten(params) for params in experts]
    return unflatten(
        {name: jnp.stack([jnp.asarray(flat[name]) for flat in flats]) for name in names}
    )


def choose(shared: Mapping, deltas: Mapping, index: Int[Array, ""] | int) -> dict:
    """The parameters of one expert; a traced index serves every route with one program."""
    chosen = {name: jnp.asarray(leaf)[index] for name, leaf in flatten(deltas).items()}
    return unflatten({**flatten(shared), **chosen})


def size(tree: Any) -> int:
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
