"""The engine in pieces, for images that do not fit: look, mix, finish.

`look` and `finish` see a few tiles, `mix` the tokens of the whole image. What is kept
between them lies with the caller (`evaluate/stream.py`): on the host, or nowhere, where
`finish` runs the encoder again instead of being handed its maps. Equal to
`engine.restore_tiles` up to the order of sums.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wxjax.nn import experts
from wxjax.systems.moei import engine as engines
from wxjax.systems.moei.engine import Engine, network, unit
from wxjax.task import Parts


def make(engine: Engine) -> Parts:
    """The pieces of `engine`, each a pure function to be compiled alone."""
    step = engines.stride(engine.bare.model)
    return Parts(
        look=lambda variables, route, tiles: look(engine, variables, route, tiles),
        mix=lambda variables, seen, force: mix(engine, variables, seen, force),
        finish=lambda variables, route, tokens, tiles, maps=None: finish(
            engine, variables, route, tokens, tiles, maps
        ),
        step=step,
        features=engine.bare.model.dims[-1],
        local=engine.tiles.mode == "local",
        passes=1 if engine.early or engine.bare.model.shell.where == "decoder" else 2,
        leave=engine.leave,
    )


def look(engine: Engine, variables: Mapping, route: Any, tiles: Any) -> dict[str, Any]:
    """Tiles `[n t t 3]` to `tokens [n k k d]`, `maps` (the skips) and, for a router,
    `moments` of each map and of the picture.

    In 'local' mode, where every tile is an image of its own, the tokens are mixed already.
    """
    apply = network(engine, variables, route)
    images = unit(tiles)
    maps = apply(images, method="encode")
    tokens = maps[-1].astype(jnp.float32)
    if engine.tiles.mode == "local":
        n, k, _, d = tokens.shape
        place = np.stack(np.mgrid[:k, :k], -1).reshape(-1, 2)
        tokens = apply(tokens.reshape(n, k * k, d), place, method="mix").astype(jnp.float32)
        tokens = tokens.reshape(n, k, k, d)
    moments = engines.read_tiles(engine, images, maps)
    return {"tokens": tokens, "maps": maps, "moments": moments}


def mix(engine: Engine, variables: Mapping, seen: Mapping, force: Any) -> dict[str, Any]:
    """The bottleneck over the whole image, and the gate's decision.

    Args:
      seen: `tokens [l d]`, their `position [l 2]` on the token grid of `extent [2]` and
        `valid [l]` (0 for padding, which comes last); `moments` of every tile `[n 3 c]` a
        map and the `share [n]` of each; `route []` whose parameters mix.
      force: as in `engine.restore_tiles`.

    Returns:
      `tokens [l d]` mixed, `route []`, and what `engine.restore_tiles` says besides tiles.
    """
    tokens, valid, position = seen["tokens"], seen["valid"], seen["position"]
    force = jnp.broadcast_to(jnp.asarray(force, jnp.int32), (1,))

    def blend(tokens, route):
        if engine.tiles.mode == "local":
            return tokens
        apply = network(engine, variables, route)
        return apply(tokens[None], position, valid[None], method="mix")[0].astype(jnp.float32)

    def choose(tokens):
        if not engine.router:
            return {}, jnp.maximum(force[0], 0) if "experts" in variables["params"] else 0
        rest = position, valid, seen["extent"], seen["moments"], seen["share"]
        said = engines.describe(tokens, *rest)
        return engines.choose(engine, variables, said, {"force": force})

    if engine.early:
        said, route = choose(tokens)
        tokens = blend(tokens, route)
    else:
        tokens = blend(tokens, seen["route"])
        said, route = choose(tokens)
    return {"tokens": tokens, "route": jnp.int32(route), "said": said}


def finish(
    engine: Engine, variables: Mapping, route: Any, tokens: Any, tiles: Any, maps: Any = None
) -> Any:
    """Restored tiles `[n t t 3]`, unclipped, of mixed tokens `[n k k d]`.

    Without `maps` the encoder runs again: with the parameters that `look` had.
    """
    apply = network(engine, variables, route)
    images = unit(tiles)
    if maps is None:
        first = 0 if engine.bare.model.shell.where == "decoder" else route
        maps = network(engine, variables, first)(images, method="encode")
    change = apply(tokens, maps, images, method="decode")
    return (images + engines.left(engine, route, change)).astype(jnp.float32)


def tables(engine: Engine, variables: Mapping) -> dict[str, Any]:
    """`variables` with what depends on the weights alone, computed once a checkpoint.

    The position biases of the encoder; not where experts own parameters that make them.
    """
    params = variables["params"]
    if engine.early:
        return dict(variables)  # convolutions have none
    owned = experts.flatten(params.get("experts", {}))
    if "tables" in variables or any("/cpb_" in name for name in owned):
        return dict(variables)
    net, chosen = engine.bare, params["backbone"]
    side = net.model.region
    blank = jnp.zeros((1, side, side, 3))
    run = lambda p: net.apply({"params": p}, blank, method="encode", mutable=["tables"])[1]
    found = jax.jit(run)({"encoder": chosen["encoder"]})
    return {**variables, **found}
