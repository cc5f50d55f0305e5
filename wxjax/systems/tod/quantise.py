"""Feature grids in fewer bytes: 16-bit floats, or 8-bit integers with a scale a channel and level.

Towards the end of training the grids are rounded in the forward pass and gradients pass through
(Bengio et al., 2013), so that the network learns around what storing them loses.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

QUANTS = ("none", "fp16", "int8")
STARTS = 0.8  # share of the steps after which a step sees rounded grids


def store(quant: str, table: Any) -> Any:
    """A level `[... c]` as it is stored: float16, or {'codes' int8, 'scale' [c]}."""
    if quant == "fp16":
        return table.astype(jnp.float16)
    most = jnp.abs(table).max(tuple(range(table.ndim - 1)))
    scale = jnp.maximum(most, 1e-12) / 127
    return {"codes": jnp.round(table / scale).astype(jnp.int8), "scale": scale}


def read(stored: Any) -> Any:
    """float32 of what `store` made."""
    if isinstance(stored, Mapping):
        return stored["codes"].astype(jnp.float32) * stored["scale"]
    return stored.astype(jnp.float32)


def seen(quant: str, field: Mapping, ready: Any) -> dict[str, Any]:
    """Parameters of a field whose grids, once `ready`, are what would be read back."""
    if quant == "none" or "grid" not in field:
        return dict(field)

    def one(table):
        return table + jax.lax.stop_gradient(
            jnp.where(ready, read(store(quant, table)) - table, 0.0)
        )

    return {**field, "grid": {name: one(table) for name, table in field["grid"].items()}}


def pack(quant: str, variables: Mapping) -> dict[str, Any]:
    """Variables with their field's grids as stored; without grids as they are."""
    return _mapped(variables, lambda table: table if quant == "none" else store(quant, table))


def unpack(variables: Mapping) -> dict[str, Any]:
    """What `pack` made, in float32 again."""
    return _mapped(variables, read)


def _mapped(variables: Mapping, change: Any) -> dict[str, Any]:
    field = variables["params"].get("field", {})
    if "grid" not in field:
        return dict(variables)
    grid = {name: change(table) for name, table in field["grid"].items()}
    params = {**variables["params"], "field": {**field, "grid": grid}}
    return {**variables, "params": params}
