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
    """

    bare: Backbone
    shelled: Backbone
    router: routers.Router | None
    tiles: Any
    int8: bool = False


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
      `tiles [n t t 3]` unclipped, and with a leading axis of 1: `vector`, `grid` (what
      a router reads, unless there is none) and, where `variables` have one, `weights`,
      `confidence`, `route`, `abstained`.
    """
    settings = engine.tiles
    images = unit(batch["tiles"])
    apply = network(engine, variables, 0)
    mixed = encode(engine, apply, images, batch)
    outputs = mixed.said
    if "experts" in variables["params"]:
        gate = decide(engine, variables, outputs)
        force = jnp.asarray(batch.get("force", -1), jnp.int32)
        route = jnp.where(force >= 0, force, gate.pop("index"))
        outputs |= {**gate, "route": route}
        apply = network(engine, variables, route[0])
        if engine.bare.model.shell.where != "decoder":  # shells before it cost a second pass
            mixed = encode(engine, apply, images, batch)

    def decode(item):
        tokens, maps, image = item
        return image + apply(tokens, maps, image, method="decode")

    restored = tile.map_tiles(
        decode, (mixed.tokens, mixed.maps, images), batch["count"], batch_size=settings.batch_size
    )
    return {"tiles": restored.astype(jnp.float32), **outputs}


def unit(tiles: Any) -> Any:
    """uint8 as float32 in [0, 1]."""
    return tiles / jnp.float32(255) if tiles.dtype == jnp.uint8 else tiles


def network(engine: Engine, variables: Mapping, route: Any) -> Callable[..., Any]:
    """The backbone with the parameters of a route, as a function of arrays and a method."""
    params = variables["params"]
    routed = "experts" in params
    chosen = params["backbone"]
    if routed:
        chosen = experts.choose(chosen, params["experts"], route)
    collections = {"params": chosen}
    if "tables" in variables:
        collections["tables"] = variables["tables"]
    net = engine.shelled if routed else engine.bare
    return lambda *xs, method: net.apply(collections, *xs, method=method)


class Mixed(NamedTuple):
    tokens: Any  # [n t t d] after the bottleneck
    maps: Any  # the encoder's skips, one a stage
    said: dict  # what a router reads; empty without one


def encode(engine: Engine, apply: Callable[..., Any], images, batch) -> Mixed:
    """Encoder over tiles, bottleneck over the tokens of the whole image.

    Tokens that lie in several tiles are averaged under the blending window. In 'local'
    mode every tile is an image of its own, and only what the router reads is shared.
    """
    settings = engine.tiles

    def look(x):
        maps = apply(x, method="encode")
        return maps, reading.look(x, maps) if engine.router else []

    maps, parts = tile.map_tiles(look, images, batch["count"], batch_size=settings.batch_size)
    tokens = maps[-1].astype(jnp.float32)
    n, t, _, d = tokens.shape
    step = images.shape[1] // t
    real = jnp.arange(n) < batch["count"]
    local = np.stack(np.mgrid[:t, :t], -1).reshape(-1, 2)
    place = batch["corner"][:, None] // step + local  # [n, t*t, 2]
    extent = jnp.asarray(batch["grid"]) // step

    if settings.mode == "local":
        mixed = apply(tokens.reshape(n, t * t, d), local, method="mix").astype(jnp.float32)
        weight = jnp.broadcast_to(real[:, None], (n, t * t)).astype(jnp.float32)
        flat = [x.reshape(n * t * t, -1) for x in (mixed, place, weight)]
        every, position, valid = flat[0], flat[1], flat[2][:, 0]
        mixed = mixed.reshape(tokens.shape)
    else:
        total = n * t * t
        index = place[..., 0] * extent[1] + place[..., 1]
        index = jnp.where(real[:, None], index, total)  # padding falls off the end
        ramp = tile.window(settings.blend, t, settings.overlap // step)
        weight = jnp.asarray((ramp[:, None] * ramp).reshape(1, t * t, 1))
        weighted = tokens.reshape(n, t * t, d) * weight
        sums = jnp.zeros((total, d)).at[index].add(weighted, mode="drop")
        share = (
            jnp.zeros((total, 1))
            .at[index]
            .add(jnp.broadcast_to(weight, (n, t * t, 1)), mode="drop")
        )
        valid = (share[:, 0] > 0).astype(jnp.float32)
        position = jnp.stack(jnp.divmod(jnp.arange(total), extent[1]), -1)
        tokens = sums / jnp.where(share > 0, share, 1)
        every = apply(tokens[None], position, valid[None], method="mix")[0].astype(jnp.float32)
        mixed = every[jnp.minimum(index, total - 1)].reshape(n, t, t, d)

    said = {}
    if engine.router:
        share = real / jnp.maximum(real.sum(), 1).astype(jnp.float32)
        said = read(every, position, valid, extent, parts, share)
    return Mixed(mixed, maps, said)


def read(tokens, position, valid, extent, parts, share) -> dict[str, Any]:
    """What a router reads of mixed `tokens [l d]` and of the `parts` that `reading.look` left.

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
