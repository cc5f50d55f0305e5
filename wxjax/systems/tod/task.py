"""Time of day as a task: one view at any hour, from the frames that travel with the weights.

A batch is only numbers (`index`): which hours and pixels a step looks at is drawn inside the
step. Axes: g groups (each at one hour), n pixels of a group, t given frames.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from wxjax import errors
from wxjax.losses import perceptual, structure
from wxjax.metrics import restoration
from wxjax.systems.tod import anchors, codes, fields, quantise, scene
from wxjax.task import Task

FIELDS = ("mlp", "encoder", "dense", "hash2d", "hash3d", "sunfield", "basis")
BLOCK = 2**15  # pixels that are rendered at a time
LPIPS_SIDE = 64  # pixels below which AlexNet sees next to nothing: patches are enlarged


def make(config) -> Task:
    """The task; checks what the config says about the model and the losses."""
    model = FrozenConfigDict(config.model.to_dict())
    check(model)
    training = FrozenConfigDict(config.training.to_dict())
    return Task(
        init=functools.partial(init, model),
        loss=functools.partial(loss, model, training, config.get("num_steps", 0) or 0),
        predict=functools.partial(predict, model),
        measure=functools.partial(
            restoration.measure, protocol=config.evaluate.protocol, crop_border=0
        ),
        summarize=summarize,
    )


def check(model: Any) -> None:
    """Raises InputError for a name that is not one of its choices."""
    for name, choices in (
        ("field", FIELDS), ("transfer", anchors.TRANSFERS), ("anchor", anchors.ANCHORS),
        ("activation", ("relu", "siren")), ("be_mode", ("replace", "concat")),
        ("be_input", ("baseline", "key")),
        ("basis_fit", ("svd", "grid")), ("quant", quantise.QUANTS),
    ):  # fmt: skip
        if model.get(name, choices[0]) not in choices:
            raise errors.unknown(f"model.{name}", model[name], choices)
    grids = model.field in ("dense", "hash2d", "hash3d") and not model.use_baseline_encoder
    grids |= model.field == "sunfield" and model.residual_net and not model.use_baseline_encoder
    grids |= model.field == "basis" and model.basis_fit == "grid"
    if quant(model) != "none" and not grids:
        rule = "this field has no grids to store"
        cure = "Take dense, hash2d, hash3d, residual_net=True, or basis with basis_fit=grid."
        raise errors.bad("model.quant", quant(model), rule, cure)
    if model.be_downsample not in (1, 2, 4):
        raise errors.bad("model.be_downsample", model.be_downsample, "expected 1, 2 or 4")
    codes.check(model, 0)
    codes.lights(model)


def quant(model: Any) -> str:
    """How grids are stored; views trained before there was a choice have plain ones."""
    return model.get("quant", "none")


def init(model: Any, key, batch: Mapping) -> dict:
    """Fresh parameters, and the scene made of `frames [t h w 3]` at `hours [t]`."""
    day = scene.make(model, np.asarray(batch["frames"]), np.asarray(batch["hours"]))
    height, width = day["frames"].shape[:2]
    field = network(model, height, width)
    params = {"sun": day.pop("place")}
    if field is not None:
        code = jnp.zeros((1, code_size(model)))
        given = (
            jnp.zeros((1, 4, 2)),
            code,
            jnp.zeros(1),
            encoder_input(model, day),
            looks(model, 4),
        )
        params["field"] = jax.jit(field.init)(key, *given)["params"]
    return {"params": params, "scene": day}


def network(model: Any, height: int, width: int) -> Any:
    """The trained part; None where all is closed form."""
    if closed(model) and (model.field == "basis" or not model.residual_net):
        return None
    if model.field == "basis":
        return fields.LowRank(model, height, width)
    outputs = 4 if model.field == "sunfield" else 3
    return fields.Field(model, height, width, outputs)


def closed(model: Any) -> bool:
    """Whether a field starts from the closed forms between frames."""
    return model.field == "sunfield" or (model.field == "basis" and model.basis_fit == "svd")


def code_size(model: Any) -> int:
    """Of the code that conditions the head: `sunfield` also sees how the light changes."""
    size = codes.time_size(model)
    return 3 * size + 1 if model.field == "sunfield" else size


def looks(model: Any, n: int) -> Any:
    """What of the frames themselves the head is shown, by shape: only `sunfield` looks."""
    return jnp.zeros((1, n, 12)) if model.field == "sunfield" else None


def encoder_input(model: Any, day: Mapping) -> Any:
    """The pictures `[h w 3 k]` that a BaselineEncoder reads; None without one."""
    if not (model.use_baseline_encoder or model.field == "encoder"):
        return None
    chosen = [nearest(model, day)]
    if model.be_input == "key":
        chosen += key_frames(model, day)
    parts = [decode(model, day["frames"][:, :, i]) for i in chosen]
    return jnp.concatenate(parts, -1)


def nearest(model: Any, day: Mapping) -> Any:
    """Index of the baseline frame: the one nearest to `baseline_time`."""
    apart = (day["hours"] - model.baseline_time) % model.period
    return jnp.argmin(jnp.minimum(apart, model.period - apart))


def key_frames(model: Any, day: Mapping) -> list[Any]:
    """The darkest frame, and the two that differ most from the baseline (in that order)."""
    level = jnp.asarray(day["frames"][::8, ::8], jnp.float32)
    dark = jnp.argmin(level.mean((0, 1, 3)))
    apart = jnp.square(level - level[:, :, nearest(model, day)][:, :, None]).mean((0, 1, 3))
    order = jnp.argsort(-apart)
    return [dark, order[0], order[1]]


def decode(model: Any, frames: Any) -> Any:
    return scene.decode(model, frames)


def values_at(
    model: Any,
    variables: Mapping,
    xy: Any,
    hour: Any,
    pixels: Any,
    lamps: Any,
    keep: Any = None,
    image: Any = None,
) -> tuple[Any, Any]:
    """Values `[g n 3]` at places `[g n 2]`, each group at its own hour `[g]`.

    Returns with them what the network of `sunfield` gave, `[g n 4]`; None of other fields.

    Args:
      pixels: those places in every frame, values `[g n t 3]`; lamps: linear light `[g n 3]`.
      keep: frames that may be used, `[g t]`; None: all.
      image: what a BaselineEncoder reads.
    """
    day, params = variables["scene"], variables["params"]
    height, width, count, _ = day["frames"].shape
    field = network(model, height, width)
    keep = jnp.ones((len(hour), count), bool) if keep is None else keep
    if closed(model):
        if model.field == "basis":  # of rank r over time: a projection of each pixel's day
            pixels = jnp.einsum("gntc,ts->gnsc", pixels, day["projection"])
        found = anchors.closed_forms(model, params["sun"], day, pixels, lamps, keep, hour)
        if field is None:
            return found.blend, None
        return anchored(model, field, params, day, xy, hour, pixels, found)
    code = codes.time(model, params["sun"], hour)
    given = (xy, code, hour / model.period, image, None)
    delta = field.apply({"params": params["field"]}, *given)
    if not model.residual_mode:
        return delta, None
    return jnp.take(pixels, nearest(model, day), axis=2) + delta, None


def anchored(model, field, params, day, xy, hour, pixels, found: anchors.Found):
    """The blend and what a network adds between frames, zero at each given hour; its output.

    C = P + (t - a) (b - t) / g0^2 (N + w (B' - A)), as the error of an interpolation is.
    """
    at, hours = found.at, day["hours"]
    place = params["sun"]
    now = codes.time(model, place, hour)
    left, right = (codes.time(model, place, hours[i]) for i in (at.index[1], at.index[2]))
    usual = jnp.median((jnp.roll(hours, -1) - hours) % model.period)
    code = jnp.concatenate([now, now - left, right - now, at.spans[1][:, None] / usual], -1)
    look = [found.blend, found.corrected - found.anchor]
    look += [anchors.timeline.take(pixels, at.index[i]) for i in (1, 2)]
    look = jax.lax.stop_gradient(jnp.concatenate(look, -1))
    out = field.apply({"params": params["field"]}, xy, code, None, None, look)
    size = at.u * (1 - at.u) * jnp.minimum(at.spans[1] / usual, 2) ** 2
    change = out[..., :3] + out[..., 3:] * (found.corrected - found.anchor)
    return found.blend + 0.1 * size[:, None, None] * change, out


def draw(model: Any, training: Any, day: Mapping, key: Any, index: Any) -> dict:
    """Hours by their odds; pixels anywhere, or patches of `patch_size`."""
    height, width, count, _ = day["frames"].shape
    side = training.patch_size
    pixels = side**2 if side else max(1, training.batch_size // training.groups)

    def one(number):
        keys = jax.random.split(jax.random.fold_in(key, number), 4)
        frame = jax.random.categorical(keys[0], jnp.log(day["odds"]))
        if side:
            y = jax.random.randint(keys[1], (), 0, height - side + 1) + jnp.arange(side)
            x = jax.random.randint(keys[2], (), 0, width - side + 1) + jnp.arange(side)
            y, x = (v.reshape(-1) for v in jnp.meshgrid(y, x, indexing="ij"))
        else:
            y = jax.random.randint(keys[1], (pixels,), 0, height)
            x = jax.random.randint(keys[2], (pixels,), 0, width)
        hidden = jax.random.randint(keys[3], (), 1, 3)
        return frame, y, x, hidden

    frame, y, x, hidden = jax.vmap(one)(index)
    keep = anchors.leave_out(count, frame, hidden)
    if model.field != "sunfield":
        keep = jnp.ones_like(keep)
    return {"frame": frame, "hour": day["hours"][frame], "y": y, "x": x, "keep": keep}


def loss(model: Any, training: Any, steps: int, variables, batch, key, step):
    """w_l2 MSE (or Charbonnier) + w_ssim (1 - SSIM) + w_lpips LPIPS at drawn hours and places.

    `sunfield` predicts each drawn frame from the others, one or three of them hidden; the mean
    size of what its network gives costs w_static, for most of a view does not change.
    """
    day, params = variables["scene"], variables["params"]
    ready = step >= quantise.STARTS * steps
    params = {**params, "field": quantise.seen(quant(model), params["field"], ready)}
    variables = {**variables, "params": params}
    height, width = day["frames"].shape[:2]
    drawn = draw(model, training, day, key, batch["index"])
    pixels = decode(model, day["frames"][drawn["y"], drawn["x"]])
    lamps = day["lamps"][drawn["y"], drawn["x"]].astype(jnp.float32)
    xy = codes.centres(drawn["y"], drawn["x"], height, width)
    image = encoder_input(model, day)
    given = (xy, drawn["hour"], pixels, lamps, drawn["keep"], image)
    output, change = values_at(model, variables, *given)
    target = anchors.timeline.take(pixels, drawn["frame"])
    apart = output - target
    error = jnp.square(apart).mean()
    logs = {"mse": error, "psnr": -10 * jnp.log10(error + 1e-10)}
    if training.charbonnier:
        error = jnp.sqrt(jnp.square(apart) + 1e-6).mean()
    total = training.loss_l2_w * error
    static = training.get("loss_static_w", 0.0)  # views trained before there was one have none
    if static and change is not None:
        logs["static"] = jnp.abs(change).mean()
        total += static * logs["static"]
    if training.patch_size:
        side = training.patch_size
        patches = [v.reshape(-1, side, side, 3) for v in (output, target)]
        added, said = patch_terms(training, *patches, step)
        total, logs = total + added, logs | said
    return total, (logs, {"scene": day})


def patch_terms(training: Any, output: Any, target: Any, step: Any) -> tuple[Any, dict]:
    """The weighted SSIM and LPIPS of patches; LPIPS every `lpips_freq` steps, times that."""
    total, logs = jnp.float32(0), {}
    if training.loss_ssim_w:
        logs["ssim_loss"] = structure.dissimilarity(output, target).mean()
        total += training.loss_ssim_w * logs["ssim_loss"]
    if training.loss_lpips_w:
        every = training.lpips_freq

        def measured(_):
            return perceptual.lpips(*(at_least(v, LPIPS_SIDE) for v in (output, target))).mean()

        due = step % every == 0
        found = jax.lax.cond(due, measured, lambda _: jnp.float32(0), None)
        logs["lpips"] = found * every
        total += training.loss_lpips_w * every * found
    return total, logs


def at_least(image: Any, side: int) -> Any:
    """Patches enlarged bilinearly to `side` where they are smaller."""
    if image.shape[1] >= side:
        return image
    return jax.image.resize(image, (len(image), side, side, 3), "bilinear")


def predict(model: Any, variables, batch: Mapping) -> dict[str, Any]:
    """Whole frames, or single pixels, at any hours.

    Args:
      batch: `time [b]` in hours; for random access also `coords [b n 2]` (y, x in pixels).

    Returns:
      `image [b h w 3]`, or `[b n 3]` of the coordinates: sRGB in [0, 1] unclipped, or linear
      light where the transfer is log1p or mu.
    """
    day = {name: jnp.asarray(x) for name, x in variables["scene"].items()}
    variables = {**variables, "scene": day}
    height, width, _, _ = day["frames"].shape
    image = encoder_input(model, day)
    hour = jnp.asarray(batch["time"], jnp.float32) % model.period

    def pixels(hour, y, x):
        """`[n 3]` at one hour."""
        seen = decode(model, day["frames"][y, x])[None]
        lamps = day["lamps"][y, x].astype(jnp.float32)[None]
        xy = codes.centres(y, x, height, width)[None]
        found, _ = values_at(model, variables, xy, hour[None], seen, lamps, None, image)
        return anchors.from_value(found[0], model.transfer)

    if "coords" in batch:
        places = jnp.asarray(batch["coords"], jnp.int32)
        run = lambda given: pixels(given[0], given[1][:, 0], given[1][:, 1])
        return {"image": jax.lax.map(run, (hour, places))}
    rows = max(1, min(height, BLOCK // width))
    starts = jnp.minimum(jnp.arange(0, height, rows), height - rows)

    def frame(hour):
        def block(start):
            y = (start + jnp.arange(rows))[:, None] + jnp.zeros((1, width), jnp.int32)
            x = jnp.zeros((rows, 1), jnp.int32) + jnp.arange(width)
            return pixels(hour, y.reshape(-1), x.reshape(-1)).reshape(rows, width, 3)

        parts = jax.lax.map(block, starts)
        whole = jnp.zeros((height, width, 3))
        for i in range(len(starts)):
            whole = jax.lax.dynamic_update_slice(whole, parts[i], (starts[i], 0, 0))
        return whole

    return {"image": jax.lax.map(frame, hour)}


def summarize(rows: list[dict]) -> dict[str, float]:
    """Means over hours of a validation: PSNR capped at 60 dB, SSIM, LPIPS."""
    out = {}
    for name, cap in (("psnr", 60.0), ("ssim", 1.0), ("lpips", np.inf)):
        values = [row["metrics"][name] for row in rows if name in row["metrics"]]
        if values:
            out[name] = float(np.mean([min(cap, v) for v in values]))
    return out
