"""DehazeXL-MoE-I as a task: what trains, what is measured and what is shipped.

`config.stage` says which part of the method the task is:

  dense                    the bare backbone on all degradations together
  dehaze, derain, desnow   the same backbone with shells, on one degradation
  router                   the gate on stored vectors (`vector`, `grid`, soft labels `q`)
  system                   the whole: shared backbone, stacked experts, gate; inference only
"""

import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from wxjax import errors
from wxjax.losses import terms
from wxjax.metrics import perceptual, protocols, statistics
from wxjax.nn import experts
from wxjax.ops import color
from wxjax.systems.moei import reading, stream
from wxjax.systems.moei import router as routers
from wxjax.systems.moei.backbone import Backbone
from wxjax.systems.moei.engine import Engine, check_tiles, restore_images, restore_tiles
from wxjax.task import DEGRADATIONS, Task

EXPERTS = ("dehaze", "derain", "desnow")
STAGES = ("dense", *EXPERTS, "router", "system")


def make(config) -> Task:
    """The task of `config.stage`; checks what the config says about the model."""
    if config.stage not in STAGES:
        raise errors.unknown("config.stage", config.stage, STAGES)
    engine = make_engine(config)
    check_tiles(config.model, config.tiles)
    net = engine.shelled if config.stage in EXPERTS else engine.bare
    losses = {name: dict(weights) for name, weights in config.losses.items()}
    if config.stage == "router":
        init = functools.partial(init_router, engine.router)
        loss = functools.partial(router_loss, engine.router)
    else:
        init = functools.partial(init_backbone, net)
        if config.stage == "system":
            unfrozen = (*config.unfrozen.part1, *config.unfrozen.part2)
            init = functools.partial(init_system, engine, unfrozen)
        loss = functools.partial(image_loss, net, losses)
    if config.stage in EXPERTS:  # a stage without a gate runs the network it trains
        engine = engine._replace(bare=net)
    return Task(
        init=init,
        loss=loss,
        predict=functools.partial(predict, engine),
        measure=functools.partial(
            measure, protocol=config.evaluate.protocol, crop_border=config.evaluate.crop_border
        ),
        summarize=summarize,
        parts=stream.make(engine),
        prepare=functools.partial(stream.tables, engine),
    )


def make_engine(config) -> Engine:
    """The modules of the system, from plain values."""
    model = FrozenConfigDict(config.model.to_dict())
    gate = config.router
    return Engine(
        bare=Backbone(model),
        shelled=Backbone(model, shelled=True),
        router=routers.Router(gate.kind, gate.width, gate.depth, len(EXPERTS), gate.dropout),
        tiles=FrozenConfigDict(config.tiles.to_dict()),
        int8=gate.int8,
    )


def init_backbone(net: Backbone, key, batch: Mapping) -> dict:
    """The backbone's variables."""
    side = net.model.region
    return {"params": {"backbone": net.init(key, jnp.zeros((1, side, side, 3)))["params"]}}


def init_router(router: routers.Router, key, batch: Mapping) -> dict:
    """The gate for `vector [b v]` and `grid [b 8 8 d]`, neither start nor standard known yet."""
    vector, grid = jnp.asarray(batch["vector"][:1]), jnp.asarray(batch["grid"][:1])
    plain = {"center": jnp.zeros(vector.shape[1]), "scale": jnp.ones(vector.shape[1])}
    start = routers.init_start(router.experts)
    net = router.init(key, vector, grid)["params"]
    return {"params": {"router": {"start": start, "standard": plain, "net": net}}}


def init_system(engine: Engine, unfrozen: tuple[str, ...], key, batch: Mapping) -> dict:
    """The whole with untrained parts: shared backbone, deltas that change nothing, router."""
    shelled = init_backbone(engine.shelled, key, batch)["params"]["backbone"]
    flat = experts.flatten(shelled)
    owned = experts.differing(list(flat), unfrozen)
    shared = {name: leaf for name, leaf in flat.items() if "/shell" not in name}
    dims = engine.bare.model.dims
    seen = {
        "vector": jnp.zeros((1, reading.features(dims))),
        "grid": jnp.zeros((1, routers.GRID, routers.GRID, dims[-1])),
    }
    return {
        "params": {
            "backbone": experts.unflatten(shared),
            "experts": experts.stack([shelled] * (1 + len(EXPERTS)), owned),
            "router": init_router(engine.router, key, seen)["params"]["router"],
        },
        "calibration": {"temperature": jnp.float32(1), "threshold": jnp.float32(0)},
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


def measure(outputs, batch, *, protocol: str, crop_border: int) -> dict[str, np.ndarray]:
    """PSNR, SSIM, MSE and LPIPS of each example, on the 8-bit picture that is written.

    A single target stands for all images, and its share of the work is done once.
    """
    pictures, truths = ([eight_bits(x) for x in v] for v in (outputs["image"], batch["target"]))
    groups = [pictures] if len(truths) == 1 else [[picture] for picture in pictures]
    found = []
    for group, truth in zip(groups, truths, strict=True):
        scores = protocols.measure_all(group, truth, protocol, crop_border)
        far = perceptual.distances(group, truth)
        found += [{**score, "lpips": d} for score, d in zip(scores, far, strict=True)]
    return {name: np.array([x[name] for x in found]) for name in ("psnr", "ssim", "mse", "lpips")}


def squared_error(outputs, batch) -> dict[str, np.ndarray]:
    """MSE alone, on the 8-bit picture: all that soft labels and calibration need."""
    images = outputs["image"]
    pairs = zip(images, np.broadcast_to(batch["target"], np.shape(images)), strict=True)
    errors_ = [eight_bits(a) / 255.0 - eight_bits(b) / 255.0 for a, b in pairs]
    return {"mse": np.asarray([np.mean(error**2) for error in errors_])}


def eight_bits(image) -> np.ndarray:
    """uint8 as is; float images clipped and rounded as a file would be."""
    image = np.asarray(image)
    return image if image.dtype == np.uint8 else np.asarray(color.round_to_uint8(image))


def summarize(rows: list[dict]) -> dict[str, float]:
    """Means a degradation, and their mean over degradations (macro)."""
    metrics = [name for name in ("psnr", "ssim", "lpips") if name in rows[0]["metrics"]]
    out = {}
    for name in metrics:
        means = {}
        for kind in sorted({row["degradation"] for row in rows}):
            values = [row["metrics"][name] for row in rows if row["degradation"] == kind]
            finite = [v for v in values if v is not None and math.isfinite(v)]
            if finite:
                means[kind] = float(np.mean(finite))
        out |= {f"{name}_{kind}": mean for kind, mean in means.items()}
        out[f"{name}_macro"] = float(np.mean(list(means.values())))
    if "psnr_macro" in out and "lpips_macro" in out:
        out["hmean"] = float(statistics.h_mean(out["psnr_macro"], out["lpips_macro"]))
    return out
