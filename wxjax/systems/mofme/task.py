"""MoFME as a task: one network for all weather, its experts chosen token by token."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import FrozenConfigDict

from wxjax import errors
from wxjax.losses import terms
from wxjax.metrics import restoration
from wxjax.nn import balance, routing
from wxjax.ops import tile
from wxjax.systems.mofme import gating, whole
from wxjax.systems.mofme.gating import Gate
from wxjax.systems.mofme.network import (
    NO_REFERENCE,
    Network,
    build,
    normalise,
    start_as_published,
)
from wxjax.task import Task

BALANCE = ("switch", "importance", "load", "z")
MODES = ("local", "global")  # windows, each an image of its own; or the whole image at once


def make(config) -> Task:
    """The task; checks what the config says about the model, the losses and the tiles."""
    net = build(plain(config.model))
    gating.check(net.variant, net.gating)
    for name in config.balance:
        if name not in BALANCE:
            raise errors.unknown("config.balance", name, BALANCE)
    if config.tiles.mode not in MODES:
        raise errors.unknown("config.tiles.mode", config.tiles.mode, MODES)
    if config.tiles.tile % net.patch:
        cure = f"Try {max(1, round(config.tiles.tile / net.patch)) * net.patch}."
        expected = f"expected a multiple of the patch, {net.patch} px"
        raise errors.bad("config.tiles.tile", config.tiles.tile, expected, cure)
    tile.window(config.tiles.blend, config.tiles.tile, config.tiles.overlap)
    return Task(
        init=functools.partial(init, net),
        loss=functools.partial(loss, net, dict(config.losses), dict(config.balance)),
        predict=functools.partial(predict, net, FrozenConfigDict(config.tiles.to_dict())),
        measure=functools.partial(
            restoration.measure,
            protocol=config.evaluate.protocol,
            crop_border=config.evaluate.crop_border,
        ),
        summarize=restoration.summarize,
        parts=whole.make(net) if config.tiles.mode == "global" else None,
    )


def plain(model: Any) -> dict:
    """`config.model` as nested dicts."""
    return model.to_dict() if hasattr(model, "to_dict") else dict(model)


def init(net: Network, key, batch: Mapping) -> dict:
    """Fresh variables, tied as the published code ties them; their shapes know no image size."""
    side = 2 * net.patch
    params = net.init(key, jnp.zeros((1, side, side, net.in_channels)))["params"]
    return {"params": start_as_published(params)}


def loss(net: Network, weights: Mapping, balances: Mapping, variables, batch, key, step):
    """Sum of weighted image terms and balance losses, each logged by its name.

    `weights[term]` and `balances[name]` are what `losses/terms.py` takes for a weight; a
    balance loss is the mean over blocks.
    """
    image, target = batch["image"], batch["target"]
    output, gate = net.apply(variables, normalise(image), True, rngs={"dropout": key})
    values = terms.image_terms(tuple(weights), output, target, image)
    total, logs = terms.total(values, weights, step)
    if gate is not None:
        found = balance_terms(net, gate)
        logs |= {f"balance_{name}": value for name, value in found.items()}
        logs["experts"] = (gate.weights > 0).sum(-1).mean(dtype=jnp.float32)
        total += sum(terms.weight_at(w, step, name) * found[name] for name, w in balances.items())
    logs["psnr"] = -10 * jnp.log10(jnp.mean((output - target) ** 2, (1, 2, 3)) + 1e-10).mean()
    return total, (logs, {})


def balance_terms(net: Network, gate: Gate) -> dict[str, Any]:
    """The balance losses of `nn/balance.py`, each a mean over blocks."""
    count, e = net.gating.top_k, net.gating.experts

    def block(logits, weights):
        probs = routing.probabilities(logits, net.gating.temperature)
        return {
            "switch": balance.switch(probs, weights),
            "importance": balance.importance(probs),
            "load": balance.load(logits, count, 1 / e),
            "z": balance.router_z(logits),
        }

    found = jax.vmap(block, in_axes=1)(gate.logits, gate.weights)
    return {name: value.mean() for name, value in found.items()}


def predict(net: Network, tiles: Any, variables, batch: Mapping) -> dict[str, Any]:
    """Restores whole images (`image`), or the tiles of one image (`tiles`).

    Returns:
      `image [b h w 3]` or `tiles [n t t 3]`, unclipped, and for each image (of tiles: their
      mean) `gate_count [b l]`, `gate_histogram [b l s]`, `gate_usage [b l e]` and
      `gate_entropy [b l]` of `nn/routing.py: statistics`; none of these for `base`.
    """

    def run(images):
        given = normalise(images)
        if net.in_channels == 6:  # a photograph is a frame with none before it
            given = jnp.concatenate([given, jnp.full_like(given, NO_REFERENCE)], -1)
        restored, gate = net.apply(variables, given)
        said = {} if gate is None else routing.statistics(gate.weights, net.gating.top_k)
        return restored, {f"gate_{name}": value for name, value in said.items()}

    if "image" in batch:
        restored, said = run(batch["image"])
        return {"image": restored, **said}
    images = batch["tiles"]
    images = images / jnp.float32(255) if images.dtype == jnp.uint8 else images
    restored, said = tile.map_tiles(run, images, batch["count"], batch_size=tiles.batch_size)
    real = (jnp.arange(len(images)) < batch["count"]).astype(jnp.float32) / batch["count"]
    return {
        "tiles": restored.astype(jnp.float32),
        **{name: jnp.tensordot(real, value, 1)[None] for name, value in said.items()},
    }
