"""What every route would make of a picture, and what a router reads of it.

For soft labels and calibration: one encoder pass, then each expert in turn, and the
picture left as it is.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wxjax.ops import color
from wxjax.systems.moei import engine as engines
from wxjax.systems.moei.engine import Engine


def readings(engine: Engine, variables: Mapping, image: Any) -> dict[str, Any]:
    """`vector [b v]` and `grid [b 8 8 d]` alone, of `image [b h w 3]`."""
    _, h, w, _ = image.shape
    plan = {"corner": np.zeros((1, 2), np.int32), "count": np.int32(1), "grid": (h, w)}

    def one(x):
        apply = engines.network(engine, variables, 0)
        looked = engines.look(engine, apply, x[None], plan)
        return {name: y[0] for name, y in engines.read(looked, looked.tokens).items()}

    return jax.lax.map(one, image)


def candidates(engine: Engine, variables: Mapping, image: Any, target: Any) -> dict[str, Any]:
    """Errors of all routes on `image`, `target` `[b h w 3]`, sides multiples of a token's.

    Returns:
      `mse [b k]` on 8-bit pictures: dense, the experts, and the input itself; `vector [b v]`
      and `grid [b 8 8 d]`, what the router reads.
    """
    _, h, w, _ = image.shape
    plan = {"corner": np.zeros((1, 2), np.int32), "count": np.int32(1), "grid": (h, w)}
    heads = len(jax.tree.leaves(variables["params"]["experts"])[0])

    def one(item):
        x, truth = item
        apply = engines.network(engine, variables, 0)
        looked = engines.look(engine, apply, x[None], plan)
        said = engines.read(looked, looked.tokens)

        def error(route):
            own = engines.network(engine, variables, route)
            mixed = engines.mix(engine, own, looked)
            y = x + own(mixed.tokens, looked.maps, x[None], method="decode")[0]
            return jnp.mean((color.round_to_8bit(y) - truth) ** 2)

        errors = jax.lax.map(error, jnp.arange(heads))
        kept = jnp.mean((x - truth) ** 2)
        mse = jnp.concatenate([errors, kept[None]])
        return {"mse": mse, "vector": said["vector"][0], "grid": said["grid"][0]}

    return jax.lax.map(one, (image, target))
