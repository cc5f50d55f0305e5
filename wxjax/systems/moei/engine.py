"""The one inference path: encode once, mix all tokens, pick an expert, decode, blend.

Works on tile batches (`ops/tile.py`), so that one compiled program serves every image
of a bucket, and every route within it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wxjax import errors
from wxjax.nn import experts, routing
from wxjax.ops import tile
from wxjax.systems.moei import reading
from wxjax.systems.moei import router as routers
from wxjax.systems.moei.backbone import Backbone

MODES = ("global", "local")


class Engine(NamedTuple):
    """What inference needs to know besides the variables.

    Attributes:
      bare: the backbone without shells; shelled: with them.
      router: the gate's module; None: no statistics are taken for one.
      tiles: `config.tiles`: tile, overlap, blend, mode, batch_size.
      int8: whether the router computes in int8.
      leave: the route that leaves a picture as it is; -1: there is none.
    """

    bare: Backbone
    shelled: Backbone
    router: routers.Router | None
    tiles: Any
    int8: bool = False
    leave: int = -1

    @property
    def early(self) -> bool:
        """Whether the router reads the encoder alone, so that experts may own the bottleneck."""
        return self.bare.model.get("block", "swin") == "conv"


def stride(model) -> int:
    """Pixels a token: the patch times one halving a stage after the first."""
    return model.patch * 2 ** (len(model.dims) - 1)


def check_tiles(model, tiles) -> None:
    """Raises InputError where tile, overlap or mode do not fit the model."""
    if tiles.mode not in MODES:
        raise errors.unknown("config.tiles.mode", tiles.mode, MODES)
    if tiles.tile % model.region:
        cure = f"Try {max(1, round(tiles.tile / model.region)) * model.region}."
        expected = f"expected a multiple of the model's region of {model.region} px"
        raise errors.bad("config.tiles.tile", tiles.tile, expected, cure)
    if tiles.overlap % stride(model):
        expected = f"expected a multiple of {stride(model)} px, the side of one token"
        raise errors.bad("config.tiles.overlap", tiles.overlap, expected)
    tile.window(tiles.blend, tiles.tile, tiles.overlap)


def restore_tiles(engine: Engine, variables: Mapping, batch: Mapping) -> dict[str, Any]:
    """Restores the tiles of one image.

    Args:
      variables: `params` with `backbone`, and for the whole system `experts` (stacked
        deltas) and `router`; then also the collection `calibration`.
      batch: a tile batch; `force` (int32, optional) asks for an expert by index, 0
        being dense, and -1 for the router's choice.

    Returns:
      `tiles [n h w 3]` unclipped, and with a leading axis of 1: `vector`, `grid` (what
      a router reads, unless there is none) and, where `variables` have one, `weights`,
      `confidence`, `route`, `abstained`.
    """
    settings = engine.tiles
    images = unit(batch["tiles"])
    apply = network(engine, variables, 0)
    looked = look(engine, apply, images, batch)
    if engine.early:
        outputs, route = choose(engine, variables, read(looked, looked.tokens), batch)
        apply = network(engine, variables, route)
        mixed = mix(engine, apply, looked)
    else:
        mixed = mix(engine, apply, looked)
        said = read(looked, mixed.every) if engine.router else {}
        outputs, route = choose(engine, variables, said, batch)
        if "experts" in variables["params"]:
            apply = network(engine, variables, route)
        if engine.bare.model.shell.where != "decoder" and "experts" in variables["params"]:
            looked = look(engine, apply, images, batch)  # shells before it cost a second pass
            mixed = mix(engine, apply, looked)

    def decode(item):
        tokens, maps, image = item
        return image + left(engine, route, apply(tokens, maps, image, method="decode"))

    restored = tile.map_tiles(
        decode, (mixed.tokens, looked.maps, images), batch["count"], batch_size=settings.batch_size
    )
    return {"tiles": restored.astype(jnp.float32), **outputs}


def choose(engine: Engine, variables: Mapping, said: Mapping, batch: Mapping) -> tuple[dict, Any]:
    """What the gate says besides `said`, and the route: the gate's, or the one asked for."""
    force = jnp.asarray(batch.get("force", -1), jnp.int32)
    if "router" not in variables["params"]:
        return dict(said), jnp.maximum(force, 0).reshape(-1)[0]
    gate = decide(engine, variables, said)
    index = gate.pop("index")
    route = jnp.where(force >= 0, force, index)
    return {**said, **gate, "route": route}, route[0]


def left(engine: Engine, route: Any, change: Any) -> Any:
    """The change that a route makes: none where it leaves the picture as it is."""
    if engine.leave < 0:
        return change
    return jnp.where(jnp.asarray(route) == engine.leave, 0, change)


def unit(tiles: Any) -> Any:
    """uint8 as float32 in [0, 1]."""
    return tiles / jnp.float32(255) if tiles.dtype == jnp.uint8 else tiles


def network(engine: Engine, variables: Mapping, route: Any) -> Callable[..., Any]:
    """The backbone with the parameters of a route, as a function of arrays and a method."""
    params = variables["params"]
    routed = "experts" in params
    chosen = params["backbone"]
    if routed:
        last = len(jax.tree.leaves(params["experts"])[0]) - 1  # what leaves a picture has none
        chosen = experts.choose(chosen, params["experts"], jnp.minimum(route, last))
    collections = {"params": chosen}
    if "tables" in variables:
        collections["tables"] = variables["tables"]
    shells = routed and any("/shell" in name for name in experts.flatten(params["experts"]))
    net = engine.shelled if shells else engine.bare
    return lambda *xs, method: net.apply(collections, *xs, method=method)


class Looked(NamedTuple):
    """What the encoder leaves of the tiles of one image."""

    maps: Any  # the encoder's skips, one a stage, [n ...]
    tokens: Any  # [l d] of the whole image; in 'local' mode tile after tile
    position: Any  # [l 2]
    valid: Any  # [l]
    extent: Any  # [2] rows and columns of the token grid
    parts: list  # what `reading.look` left of each tile
    share: Any  # [n] of each tile in the image
    index: Any  # [n k l] where each tile's tokens lie in `tokens`


class Mixed(NamedTuple):
    tokens: Any  # [n k l d] after the bottleneck
    every: Any  # [l d] of the whole image


def look(engine: Engine, apply: Callable[..., Any], images, batch) -> Looked:
    """The encoder over tiles.

    Tokens that lie in several tiles are averaged under the blending window.
    """
    settings = engine.tiles

    def one(x):
        maps = apply(x, method="encode")
        return maps, read_tiles(engine, x, maps)

    maps, parts = tile.map_tiles(one, images, batch["count"], batch_size=settings.batch_size)
    tokens = maps[-1].astype(jnp.float32)
    n, tall, wide, d = tokens.shape
    each, total = tall * wide, n * tall * wide
    step = images.shape[1] // tall
    real = jnp.arange(n) < batch["count"]
    local = np.stack(np.mgrid[:tall, :wide], -1).reshape(-1, 2)
    place = batch["corner"][:, None] // step + local  # [n, each, 2]
    extent = jnp.asarray(batch["grid"]) // step
    share = real / jnp.maximum(real.sum(), 1).astype(jnp.float32)
    if settings.mode == "local":
        valid = jnp.broadcast_to(real[:, None], (n, each)).reshape(-1).astype(jnp.float32)
        index = jnp.arange(total).reshape(n, tall, wide)
        flat = tokens.reshape(total, d), place.reshape(total, 2), valid
        return Looked(maps, *flat, extent, parts, share, index)
    index = place[..., 0] * extent[1] + place[..., 1]
    index = jnp.where(real[:, None], index, total)  # padding falls off the end
    overlap = settings.overlap // step if n > 1 else 0
    down, across = (tile.window(settings.blend, side, overlap) for side in (tall, wide))
    weight = jnp.asarray((down[:, None] * across).reshape(1, each, 1))
    weighted = tokens.reshape(n, each, d) * weight
    sums = jnp.zeros((total, d)).at[index].add(weighted, mode="drop")
    spread = jnp.broadcast_to(weight, (n, each, 1))
    cover = jnp.zeros((total, 1)).at[index].add(spread, mode="drop")
    valid = (cover[:, 0] > 0).astype(jnp.float32)
    position = jnp.stack(jnp.divmod(jnp.arange(total), extent[1]), -1)
    tokens = sums / jnp.where(cover > 0, cover, 1)
    index = jnp.minimum(index, total - 1).reshape(n, tall, wide)
    return Looked(maps, tokens, position, valid, extent, parts, share, index)


def mix(engine: Engine, apply: Callable[..., Any], looked: Looked) -> Mixed:
    """The bottleneck over the tokens of the whole image; in 'local' mode over each tile's."""
    n, tall, wide = looked.index.shape
    d = looked.tokens.shape[-1]
    if engine.tiles.mode == "local":
        local = np.stack(np.mgrid[:tall, :wide], -1).reshape(-1, 2)
        mixed = apply(looked.tokens.reshape(n, -1, d), local, method="mix").astype(jnp.float32)
        return Mixed(mixed.reshape(n, tall, wide, d), mixed.reshape(-1, d))
    given = looked.tokens[None], looked.position, looked.valid[None]
    every = apply(*given, method="mix")[0].astype(jnp.float32)
    return Mixed(every[looked.index], every)


def read_tiles(engine: Engine, images: Any, maps: Any) -> list:
    """What a router wants to know of each tile; nothing without a router."""
    return reading.look(images, maps, picture=not engine.early) if engine.router else []


def read(looked: Looked, tokens: Any) -> dict[str, Any]:
    """What a router reads, of tokens that are mixed or not."""
    rest = looked.position, looked.valid, looked.extent, looked.parts, looked.share
    return describe(tokens, *rest)


def describe(tokens, position, valid, extent, parts, share) -> dict[str, Any]:
    """What a router reads of `tokens [l d]` and of the `parts` that `read_tiles` left.

    Returns:
      `vector [1 v]`: the mean token, then what `reading.py` says of the maps and the picture;
      `grid [1 8 8 d]`: the tokens in 64 cells.
    """
    mean = jnp.einsum("ld,l->d", tokens, valid) / jnp.maximum(valid.sum(), 1)
    vector = jnp.concatenate([mean, reading.describe(parts, share)])
    grid = routers.pool_grid(tokens, position, valid, extent)
    return {"vector": vector[None], "grid": grid[None]}


def decide(engine: Engine, variables: Mapping, seen: Mapping) -> dict[str, Any]:
    """The gate: calibrated probabilities, the index they choose, and whether it is dense."""
    params, calibration = variables["params"]["router"], variables["calibration"]
    logits = routers.logits(engine.router, params, seen["vector"], seen["grid"], int8=engine.int8)
    weights = routing.probabilities(logits, calibration["temperature"], calibration["lapse"])
    index = routing.abstain(weights, calibration["threshold"])
    return {
        "logits": logits,
        "weights": weights,
        "confidence": weights.max(-1),
        "index": index,
        "abstained": index == 0,
    }


def restore_images(engine: Engine, variables: Mapping, images, force=-1) -> dict[str, Any]:
    """The same for a batch of images `[b h w 3]` of one size, wholly on the device."""
    b, h, w, _ = images.shape
    if engine.early:
        return restore_whole(engine, variables, images, force)
    size, overlap = engine.tiles.tile, engine.tiles.overlap
    plan = tile.cut(np.zeros((h, w, 1), np.uint8), tile=size, overlap=overlap, pad_to_bucket=False)
    height, width = plan["grid"]
    corner = plan["corner"]
    padded = jnp.pad(images, ((0, 0), (0, height - h), (0, width - w), (0, 0)), mode="reflect")
    force = jnp.broadcast_to(jnp.asarray(force, jnp.int32), (b,))

    def one(item):
        image, expert = item
        cut = lambda at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), (size, size, 3))
        tiles = jax.vmap(cut)(jnp.asarray(corner))
        outputs = restore_tiles(engine, variables, {**plan, "tiles": tiles, "force": expert})
        whole = tile.assemble_on_device(
            outputs.pop("tiles"), corner, overlap=overlap, blend=engine.tiles.blend
        )
        return {"image": whole[:h, :w], **{name: x[0] for name, x in outputs.items()}}

    return jax.lax.map(one, (padded, force))


def restore_whole(engine: Engine, variables: Mapping, images, force=-1) -> dict[str, Any]:
    """Images as one tile each, with the margin that streaming gives them."""
    b, h, w, _ = images.shape
    step, margin = stride(engine.bare.model), engine.tiles.get("margin", 0)
    extra = [(margin, margin + -(side + 2 * margin) % step) for side in (h, w)]
    padded = jnp.pad(images, ((0, 0), *extra, (0, 0)), mode="reflect")
    plan = {"corner": np.zeros((1, 2), np.int32), "count": np.int32(1), "grid": padded.shape[1:3]}
    force = jnp.broadcast_to(jnp.asarray(force, jnp.int32), (b,))

    def one(item):
        image, expert = item
        outputs = restore_tiles(engine, variables, {**plan, "tiles": image[None], "force": expert})
        whole = outputs.pop("tiles")[0, margin : margin + h, margin : margin + w]
        return {"image": whole, **{name: x[0] for name, x in outputs.items()}}

    return jax.lax.map(one, (padded, force))
