"""MoFME in pieces, for whole images of any size: look, mix, finish (`evaluate/stream.py`).

Stem and tail see tiles, the transformer the tokens of the whole image, its attention in
blocks of queries and keys: never more than some tiles and a row of tokens in memory.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from wxjax import errors
from wxjax.nn import routing
from wxjax.systems.mofme.network import NO_REFERENCE, Network, normalise
from wxjax.task import Parts


class Look(Network):
    """Tiles in [-1, 1] to tokens `[n k k d]`."""

    @nn.compact
    def __call__(self, x):
        return self.look(x)


class Mix(Network):
    """Tokens `[b n d]` through the blocks, with their gates."""

    @nn.compact
    def __call__(self, tokens, valid):
        return self.mix(tokens, False, valid)


class Finish(Network):
    """Mixed tokens `[n k k d]` and tiles in [-1, 1] to pixels."""

    @nn.compact
    def __call__(self, tokens, image):
        return self.finish(tokens, image)


def make(net: Network) -> Parts:
    """The pieces of `net`, each a pure function to be compiled alone.

    Raises:
      InputError: where experts are chosen for the frame: padding would have a say.
    """
    if net.variant != "base" and net.gating.level == "frame":
        cure = "Try config.tiles.mode='local'."
        raise errors.bad("router.level", "frame", "not for whole images in pieces", cure)
    fields = {f.name: getattr(net, f.name) for f in dataclasses.fields(net) if f.init}
    fields = {name: x for name, x in fields.items() if name not in ("name", "parent")}
    looks, mixes, finishes = (kind(**fields) for kind in (Look, Mix, Finish))

    def look(variables: Mapping, route: Any, tiles: Any) -> dict[str, Any]:
        x = normalise(unit(tiles))
        if net.in_channels == 6:
            x = jnp.concatenate([x, jnp.full_like(x, NO_REFERENCE)], -1)
        return {"tokens": looks.apply(variables, x).astype(jnp.float32), "maps": [], "moments": []}

    def mix(variables: Mapping, seen: Mapping, force: Any) -> dict[str, Any]:
        valid = seen["valid"]
        tokens, gate = mixes.apply(variables, seen["tokens"][None], valid[None])
        said = {}
        if gate is not None:
            found = routing.statistics(gate.weights, net.gating.top_k, valid)
            said = {f"gate_{name}": value for name, value in found.items()}
        return {"tokens": tokens[0].astype(jnp.float32), "route": jnp.int32(0), "said": said}

    def finish(variables: Mapping, route: Any, tokens: Any, tiles: Any, maps: Any = None) -> Any:
        image = normalise(unit(tiles))
        return finishes.apply(variables, tokens, image).astype(jnp.float32)

    return Parts(look=look, mix=mix, finish=finish, step=net.patch, features=net.dim)


def unit(tiles: Any) -> Any:
    """Bytes to [0, 1]; floats as they are."""
    return tiles / jnp.float32(255) if tiles.dtype == jnp.uint8 else tiles
