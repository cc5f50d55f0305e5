"""DehazeXL-MoE-I as a task: what trains, what is measured and what is shipped.

`config.stage` says which part of the method the task is:

  dense                    the bare backbone on all degradations together
  dehaze, derain, desnow   the same backbone with shells, on one degradation
  router                   the gate on stored vectors (`vector`, `grid`, soft labels `q`)
  joint                    dense and the experts at once, a shared encoder (`joint.py`)
  system                   the whole: shared backbone, stacked experts, gate; inference only
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from ml_collections import FrozenConfigDict

from wxjax import errors
from wxjax.losses import terms
from wxjax.metrics import restoration
from wxjax.nn import experts
from wxjax.systems.moei import joint, reading, stream
from wxjax.systems.moei import router as routers
from wxjax.systems.moei.backbone import Backbone
from wxjax.systems.moei.engine import Engine, check_tiles, restore_images, restore_tiles
from wxjax.task import DEGRADATIONS, Task

EXPERTS = ("dehaze", "derain", "desnow")
STAGES = ("dense", *EXPERTS, "joint", "router", "system")


def make(config) -> Task:
    """The task of `config.stage`; checks what the config says about the model."""
    if config.stage not in STAGES:
        raise errors.unknown("config.stage", config.stage, STAGES)
    engine = make_engine(config)
    if engine.router is None and config.stage in ("router", "system"):
        expected = f"expected one of {', '.join(routers.ROUTERS)} for the stage {config.stage}"
        raise errors.bad("config.router.kind", config.router.kind, expected)
    check_tiles(config.model, config.tiles)
    net = engine.shelled if config.stage in EXPERTS else engine.bare
    losses = {name: dict(weights) for name, weights in config.losses.items()}
    if config.stage == "router":
        init = functools.partial(init_router, engine.router, picture=not engine.early)
        loss = functools.partial(router_loss, engine.router)
    elif config.stage == "joint":
        init = functools.partial(joint.init, net, tuple(config.joint.owned))
        slots = tuple(config.joint.slots)
        joint.spans(slots)
        loss = functools.partial(joint.loss, net, dict(config.joint.losses), slots)
    else:
        init = functools.partial(init_backbone, net)
        if config.stage == "system":
            unfrozen = (*config.unfrozen.part1, *config.unfrozen.part2)
            if engine.early:
                unfrozen = tuple(config.joint.owned)
            init = functools.partial(init_system, engine, unfrozen)
        loss = functools.partial(image_loss, net, losses)
    if config.stage in EXPERTS:  # a stage without a gate runs the network it trains
        engine = engine._replace(bare=net)
    return Task(
        init=init,
        loss=loss,
        predict=functools.partial(predict, engine),
        measure=functools.partial(
            restoration.measure,
            protocol=config.evaluate.protocol,
            crop_border=config.evaluate.crop_border,
        ),
        summarize=restoration.summarize,
        parts=stream.make(engine),
        prepare=functools.partial(stream.tables, engine),
    )


def make_engine(config) -> Engine:
    """The modules of the system, from plain values."""
    model = FrozenConfigDict(config.model.to_dict())
    gate = config.router
    leave = gate.get("leave", False)
    routes = len(EXPERTS) + leave
    router = routers.Router(gate.kind, gate.width, gate.depth, routes, gate.dropout)
    return Engine(
        bare=Backbone(model),
        shelled=Backbone(model, shelled=True),
        router=None if gate.kind == "none" else router,
        tiles=FrozenConfigDict(config.tiles.to_dict()),
        int8=gate.int8,
        leave=1 + len(EXPERTS) if leave else -1,
    )


def init_backbone(net: Backbone, key, batch: Mapping) -> dict:
    """The backbone's variables."""
    side = net.model.region
    return {"params": {"backbone": net.init(key, jnp.zeros((1, side, side, 3)))["params"]}}


def init_router(router: routers.Router, key, batch: Mapping, picture: bool = True) -> dict:
    """The gate for `vector [b v]` and `grid [b 8 8 d]`, neither start nor standard known yet.

    `picture`: whether the vector ends with statistics of the picture itself.
    """
    vector, grid = jnp.asarray(batch["vector"][:1]), jnp.asarray(batch["grid"][:1])
    plain = {"center": jnp.zeros(vector.shape[1]), "scale": jnp.ones(vector.shape[1])}
    start = {"start": routers.init_start(router.experts)} if picture else {}
    net = router.init(key, vector, grid)["params"]
    return {"params": {"router": {**start, "standard": plain, "net": net}}}


def init_system(engine: Engine, unfrozen: tuple[str, ...], key, batch: Mapping) -> dict:
    """The whole with untrained parts: shared backbone, deltas that change nothing, router."""
    shelled = init_backbone(engine.shelled, key, batch)["params"]["backbone"]
    flat = experts.flatten(shelled)
    owned = experts.differing(list(flat), unfrozen)
    apart = owned if engine.early else ()  # the shipped model holds no leaf twice
    shared = {k: leaf for k, leaf in flat.items() if "/shell" not in k and k not in apart}
    dims = engine.bare.model.dims
    seen = {
        "vector": jnp.zeros((1, reading.features(dims, picture=not engine.early))),
        "grid": jnp.zeros((1, routers.GRID, routers.GRID, dims[-1])),
    }
    return {
        "params": {
            "backbone": experts.unflatten(shared),
            "experts": experts.stack([shelled] * (1 + len(EXPERTS)), owned),
            "router": init_router(engine.router, key, seen, not engine.early)["params"]["router"],
        },
        "calibration": routers.uncalibrated(),
    }


def image_loss(net: Backbone, losses: Mapping, variables, batch, key, step):
    """Mean over the batch of the terms that each example's degradation asks for.

    `losses[degradation][term]` is a weight; every term is logged by its name, as the
    mean over the examples that it counts for.
    """
    image, target = batch["image"], batch["target"]
    output = net.apply({"params": variables["params"]["backbone"]}, image)
    names = sorted({name for weights in losses.values() for name in weights})
    values = terms.image_terms(names, output, target, image)
    total, logs = jnp.float32(0), {}
    for name in names:
        row = [terms.weight_at(losses.get(kind, {}).get(name, 0.0), step) for kind in DEGRADATIONS]
        weight = jnp.stack([jnp.float32(w) for w in row])[batch["degradation"]]
        counted = (weight > 0).astype(jnp.float32)
        logs[name] = (values[name] * counted).sum() / jnp.maximum(counted.sum(), 1)
        total += (weight * values[name]).mean()
    logs["psnr"] = -10 * jnp.log10(jnp.mean((output - target) ** 2, (1, 2, 3)) + 1e-10).mean()
    return total, (logs, {})


def router_loss(router: routers.Router, variables, batch, key, step):
    """KL(q || p), the divergence of the gate from the soft labels, in nats."""
    logits = routers.logits(
        router,
        variables["params"]["router"],
        batch["vector"],
        batch["grid"],
        deterministic=False,
        rngs={"dropout": key},
    )
    log_p = jax.nn.log_softmax(logits)
    q = batch["q"]
    divergence = jnp.sum(q * (jnp.log(jnp.maximum(q, 1e-9)) - log_p), -1)
    agree = (logits.argmax(-1) == q.argmax(-1)).astype(jnp.float32)
    return divergence.mean(), ({"kl": divergence.mean(), "accuracy": agree.mean()}, {})


def predict(engine: Engine, variables, batch: Mapping) -> dict:
    """Restores a batch of images (`image`) or the tiles of one image (`tiles`).

    Outputs are unclipped; `force` in the batch overrides the router (0 dense, 1 to 3
    the experts, -1 the router's choice).
    """
    if "tiles" in batch:
        return restore_tiles(engine, variables, batch)
    return restore_images(engine, variables, batch["image"], batch.get("force", -1))
