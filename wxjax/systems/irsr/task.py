"""Infrared super-resolution as a task: a chain in wavelet bands that starts at bicubic."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wxjax import errors
from wxjax.losses import terms
from wxjax.metrics import restoration
from wxjax.ops import tile
from wxjax.systems.irsr import baselines, diffusion, losses, whitening
from wxjax.systems.irsr import codec as codecs
from wxjax.systems.irsr import model as models
from wxjax.systems.irsr.model import Model
from wxjax.task import Task


def make(config) -> Task:
    """The task; checks what the config says about the method, the losses and the tiles."""
    settings = config.to_dict() if hasattr(config, "to_dict") else config
    said = config.losses.to_dict()
    for name in said["image"]:
        if name not in losses.NAMES:
            raise errors.unknown("losses.image", name, losses.NAMES)
    tile.window(config.tiles.blend, config.tiles.tile, config.tiles.overlap)
    if config.model.kind in baselines.KINDS:
        init, learn, run = baseline(settings, said)
    else:
        model = models.make(settings)
        losses.step_weights(model.plan, said["steps"])
        whitening.band_weights(whitening.identity(1), said["bands"])
        init = lambda key, batch: models.init(model, key)
        learn = functools.partial(loss, model, said)
        run = functools.partial(models.super_resolve, model)
    key = functools.partial(jax.random.key, config.seed)
    options = dict(protocol=config.evaluate.protocol, crop_border=config.evaluate.crop_border)
    return Task(
        init=init,
        loss=learn,
        predict=functools.partial(predict, run, config.tiles.batch_size, key),
        measure=functools.partial(measure, **options),
        summarize=restoration.summarize,
        scale=config.model.scale,
    )


def baseline(settings: Mapping, said: Mapping):
    """`init`, `loss` and the enlarging function of a network of `baselines.py`."""
    net, multiple = baselines.make(settings)
    channels, scale = settings["model"]["channels"], settings["model"]["scale"]
    select = functools.partial(models.select_channels, channels)

    def init(key, batch):
        return baselines.init(net, multiple, channels, key)

    def run(variables, image, key, index, corner=None):
        large = baselines.enlarge(net, scale, multiple, variables, select(image))
        return jnp.broadcast_to(large, (*large.shape[:-1], image.shape[-1]))

    def learn(variables, batch, key, step):
        truth = select(batch["target"])
        output = baselines.enlarge(net, scale, multiple, variables, select(batch["image"]))
        values = losses.image_terms(tuple(said["image"]), output, truth)
        logs = {name: value.mean() for name, value in values.items()}
        total, _ = terms.total(values, said["image"], step)
        error = jnp.square(output - truth).mean((1, 2, 3))
        logs["psnr"] = -10 * jnp.log10(error + 1e-10).mean()
        kept = {name: tree for name, tree in variables.items() if name != "params"}
        return total, (logs, kept)

    return init, learn, run


def measure(outputs: Mapping, batch: Mapping, **options) -> dict[str, Any]:
    """PSNR, SSIM, MSE, LPIPS and `bias`, the mean error in grey levels of 255.

    A grey picture is measured as three equal channels: the same numbers, and LPIPS has its
    colours. Networks may move the mean level, which for a thermal frame is a temperature.
    """
    pair = (np.asarray(x) for x in (outputs["image"], batch["target"]))
    image, target = (np.broadcast_to(x, (*x.shape[:3], 3)) for x in pair)
    found = restoration.measure({"image": image}, {"target": target}, **options)
    codes = [
        np.stack([restoration.eight_bits(x) for x in v]).astype(np.float64) for v in (image, target)
    ]
    return {**found, "bias": (codes[0] - codes[1]).mean((1, 2, 3))}


def loss(model: Model, said: Mapping, variables, batch, key, step):
    """The chain's error in the bands, and weighted terms of the decoded estimate of x_0.

    `said`: `bands` and `steps` (what bands and steps count, `whitening.band_weights` and
    `losses.step_weights`), `weighted` (by the variational bound), `regression` (weight of
    the light CNN's L1), `image` (weights by name, of `losses.image_terms`).
    """
    truth = 2 * models.select(model, batch["target"]) - 1
    view = models.look(model, variables, models.enlarged(model, batch["image"]))
    params, stats = variables["params"], models.statistics(variables)
    zx = codecs.encode(model.codec, params["codec"], truth, multiple=model.multiple).z
    wanted = zx if model.coordinates == "raw" else whitening.residual(stats, zx, view.z)
    bands = whitening.band_weights(stats, said["bands"])
    keys = jax.random.split(key, 2)
    t = jax.random.randint(keys[0], (len(truth),), 0, len(model.plan.steps))
    noise = jax.random.normal(keys[1], wanted.shape)
    found, total, logs = [], jnp.float32(0), {}
    for i, group in enumerate(model.groups):
        aim, start, drawn = wanted[..., group], view.start[..., group], noise[..., group]
        # The second stage learns from the true first one, and is sampled with the found.
        cond = models.condition(model, variables, view, i, wanted[..., : group.start])
        xt = diffusion.noised(model.plan, aim, start, t, drawn)
        scaled = xt / diffusion.at(diffusion.input_scale(model.plan), t)
        own = jax.random.fold_in(key, 2 + i)
        out = models.answer(model, params, i, scaled, t, cond, True, own)
        goal = diffusion.target(model.plan, model.predict, aim, start, t, drawn)
        weight = diffusion.loss_weight(model.plan, model.predict, said["weighted"])
        error = losses.latent_error(out, goal, bands[group] / bands[group].mean())
        error = (diffusion.at(weight, t)[:, 0, 0, 0] * error).mean()
        logs[f"latent{i}"] = error
        total += error
        found.append(diffusion.estimate(model.plan, model.predict, out, xt, start, t))
    known = jnp.concatenate([view.start[..., :0], *found], -1)
    if "light" in params:
        known = models.regress(model, params, view, jax.lax.stop_gradient(known))
        apart = jnp.abs(known - wanted)[..., model.regressed]
        logs["regression"] = (bands[model.regressed] * apart).mean()
        total += said["regression"] * logs["regression"]
    output = models.picture(model, variables, view, known, truth.shape[1:3])
    share = diffusion.at(losses.step_weights(model.plan, said["steps"]), t)[:, 0, 0, 0]
    share = share if model.groups else jnp.ones_like(share)
    values = losses.image_terms(tuple(said["image"]), (output + 1) / 2, (truth + 1) / 2)
    logs |= {name: value.mean() for name, value in values.items()}
    added, _ = terms.total({n: share * v for n, v in values.items()}, said["image"], step)
    error = jnp.square((output - truth) / 2).mean((1, 2, 3))
    logs["psnr"] = -10 * jnp.log10(error + 1e-10).mean()
    # Beside what doing nothing would give; mean squared errors of latents compare to no other.
    logs["of_nothing"] = jnp.square(known - wanted).mean() / jnp.square(wanted - (
        view.z if model.coordinates == "raw" else 0)).mean()  # fmt: skip
    kept = {name: tree for name, tree in variables.items() if name != "params"}
    return total + added, (logs, kept)


def predict(run: Any, batch_size: int, key: Any, variables, batch: Mapping) -> dict[str, Any]:
    """Enlarges whole images (`image`), or the tiles of one image (`tiles`).

    Returns:
      `image [b H W c]` or `tiles [n T T c]`, unclipped. Examples are told apart by `index`;
      tiles share the noise of the places they share.
    """
    run = functools.partial(run, variables)
    if "image" in batch:
        image = batch["image"]
        index = batch.get("index", jnp.arange(len(image)))
        return {"image": run(image, key(), jnp.asarray(index, jnp.int32))}
    tiles = batch["tiles"]
    tiles = tiles / jnp.float32(255) if tiles.dtype == jnp.uint8 else tiles

    def enlarge(part):
        image, corner = part
        return run(image, key(), jnp.zeros(len(image), jnp.int32), corner)

    parts = (tiles, jnp.asarray(batch["corner"], jnp.int32))
    return {"tiles": tile.map_tiles(enlarge, parts, batch["count"], batch_size=batch_size)}
