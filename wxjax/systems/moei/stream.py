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
from wxjax.systems.moei import reading
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
        passes=1 if engine.bare.model.shell.where == "decoder" else 2,
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
    moments = reading.look(images, maps) if engine.router else []
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
    apply = network(engine, variables, seen["route"])
    tokens, valid, position = seen["tokens"], seen["valid"], seen["position"]
    if engine.tiles.mode != "local":
        tokens = apply(tokens[None], position, valid[None], method="mix")[0].astype(jnp.float32)
    route, said = jnp.int32(0), {}
    if engine.router:
        grid = position, valid, seen["extent"]
        said = engines.read(tokens, *grid, seen["moments"], seen["share"])
    if "experts" in variables["params"]:
        gate = engines.decide(engine, variables, said)
        force = jnp.broadcast_to(jnp.asarray(force, jnp.int32), (1,))
        said |= gate | {"route": jnp.where(force >= 0, force, gate["index"])}
        del said["index"]
        route = said["route"][0]
    return {"tokens": tokens, "route": route, "said": said}


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
    return (images + apply(tokens, maps, images, method="decode")).astype(jnp.float32)


def tables(engine: Engine, variables: Mapping) -> dict[str, Any]:
    """`variables` with what depends on the weights alone, computed once a checkpoint.

    The position biases of the encoder; not where experts own parameters that make them.
    """
    params = variables["params"]
    owned = experts.flatten(params.get("experts", {}))
    if "tables" in variables or any("/cpb_" in name for name in owned):
        return dict(variables)
    net, chosen = engine.bare, params["backbone"]
    side = net.model.region
    blank = jnp.zeros((1, side, side, 3))
    run = lambda p: net.apply({"params": p}, blank, method="encode", mutable=["tables"])[1]
    found = jax.jit(run)({"encoder": chosen["encoder"]})
    return {**variables, **found}
