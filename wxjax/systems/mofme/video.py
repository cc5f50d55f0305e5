"""MoFME on clips as a task: trained on its own outputs as often as on the truth.

A reference that is always the true frame before teaches a network to trust what it will
never see again; so part of the references are its own outputs (scheduled sampling), part
are missing, as at a scene's first frame, and the rest are worn: noisy, tinted, or with some of
the weather left in them. Without the last two, what a network leaves in one frame it keeps and
adds to in the next. All lose a share of their detail (experiments/mofme_video).

Axes: b clips, t frames, h w height width.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from wxjax import errors
from wxjax.losses import terms
from wxjax.nn import routing
from wxjax.ops import color
from wxjax.systems.mofme import reference, streaming
from wxjax.systems.mofme import task as images
from wxjax.systems.mofme.network import NO_REFERENCE, Network, build, normalise
from wxjax.systems.mofme.reference import Align
from wxjax.task import Stream, Task


class Exposure(NamedTuple):
    """What a frame sees for its reference in training.

    Attributes:
      own: share of references that are the network's own output for the frame before: a
        weight of `losses/terms.py`, so that it can rise with the step. The rest is the truth.
      drop: share that is missing.
      noise: standard deviation, in [0, 1], at most: each clip draws its own.
      shift: pixels that a share of the reference is moved by, at most: what is carried is never
        quite in place, and loses detail; a network that finds all of it there copies it.
      tint: standard deviation of what is added to each channel of a true reference.
      rest: share of the weather left in a true reference, at most.
    """

    own: Any = 0.5
    drop: float = 0.1
    noise: float = 0.02
    shift: int = 1
    tint: float = 0.05
    rest: float = 0.5


def make(config) -> Task:
    """The task; checks what the config says about model, losses, tiles and references."""
    base = images.make(config)
    net = build(images.plain(config.model))
    if net.in_channels != 6:
        expected = "expected 6: a frame and its reference"
        raise errors.bad("config.model.in_channels", net.in_channels, expected)
    tiles = FrozenConfigDict(config.tiles.to_dict())
    apart = ("cuts", "align")
    exposure = Exposure(**{n: x for n, x in config.video.to_dict().items() if n not in apart})
    align = reference.settings(config.video)
    for name in ("drop", "noise", "tint", "rest"):
        if not 0 <= getattr(exposure, name) <= 1:
            raise errors.bad(f"config.video.{name}", getattr(exposure, name), "expected 0 to 1")
    return base._replace(
        loss=functools.partial(
            loss, net, dict(config.losses), dict(config.balance), exposure, align
        ),
        predict=functools.partial(predict, net, align, base.predict),
        measure=functools.partial(measure, base.measure),
        stream=Stream(
            streaming.init_state,
            functools.partial(
                streaming.step, net, tiles, streaming.settings(config.video.cuts), align
            ),
            streaming.reset,
        ),
    )


def loss(
    net: Network,
    weights: Mapping,
    balances: Mapping,
    exposure: Exposure,
    align: Align,
    variables,
    batch,
    key,
    step,
):
    """The image task's loss, averaged over a clip's frames, each with a reference.

    No gradient flows through a reference. Logged besides: PSNR of the first frame (no
    reference) and of the last.
    """
    image, target = (batch[name].swapaxes(0, 1) for name in ("image", "target"))
    own = terms.weight_at(exposure.own, step, "own")

    def frame(before, item):
        number, x, truth, along, *earlier = item
        inner, outer = jax.random.split(jax.random.fold_in(key, number))
        seen = expose(exposure, own, inner, before, *earlier, carried(align, along, x))
        seen = jnp.where(number == 0, NO_REFERENCE, seen)
        both = jnp.concatenate([normalise(x), seen], -1)
        output, gate = net.apply(variables, both, True, rngs={"dropout": outer})
        values = terms.image_terms(tuple(weights), output, truth, x)
        total, logs = terms.total(values, weights, step)
        if gate is not None:
            found = images.balance_terms(net, gate)
            logs |= {f"balance_{name}": value for name, value in found.items()}
            logs["experts"] = (gate.weights > 0).sum(-1).mean(dtype=jnp.float32)
            total += sum(
                terms.weight_at(w, step, name) * found[name] for name, w in balances.items()
            )
        error = jnp.mean((output - truth) ** 2, (1, 2, 3))
        logs["psnr"] = -10 * jnp.log10(error + 1e-10).mean()
        return jax.lax.stop_gradient(jnp.clip(output, 0, 1)), (total, logs)

    t = image.shape[0]
    earlier = [jnp.concatenate([x[:1], x[:-1]]) for x in (target, image)]
    along = courses(align, earlier[1], image)
    items = jnp.arange(t), image, target, along, *earlier
    _, (total, logs) = jax.lax.scan(frame, jnp.zeros_like(image[0]), items, unroll=unroll())
    means = {name: value.mean() for name, value in logs.items()}
    return total.mean(), (
        {**means, "psnr_first": logs["psnr"][0], "psnr_last": logs["psnr"][-1]},
        {},
    )


def unroll() -> bool:
    """Whether a step's frames are laid out: on a CPU gradients of convolutions crawl in a loop.

    Measured on 2 busy cores, 3 frames of 96x96, batch 2: 10 s in a loop, 0.5 s laid out. The
    forward pass alone is as fast in a loop.
    """
    return jax.default_backend() == "cpu"


def courses(align: Align, before: Any, now: Any) -> reference.Course | None:
    """How each of the frames `now [t b h w 3]` follows from the one before it."""
    lumas = (color.luma(jax.lax.stop_gradient(image))[..., 0] for image in (before, now))
    return jax.vmap(jax.vmap(functools.partial(reference.course, align)))(*lumas)


def carried(align: Align, along: reference.Course | None, image: Any) -> Callable[[Any], Any]:
    """Brings references `[b h w 3]` in [-1, 1] to the frames `image`, in [0, 1]."""
    bring = functools.partial(reference.carry, align)
    return lambda seen: jax.vmap(bring)(seen, along, normalise(image))


def expose(
    exposure: Exposure,
    own: Any,
    key: Any,
    output: Any,
    truth: Any,
    degraded: Any,
    bring: Callable[[Any], Any] = lambda seen: seen,
):
    """The reference `[b h w 3]` in [-1, 1] of one frame.

    Args:
      own: share of references that are `output`, what the network made of the frame before.
      truth, degraded: that frame as it was, and as the camera saw it.
      bring: carries it to the present frame (`carried`).
    """
    keys = jax.random.split(key, 8)
    b = output.shape[0]
    draw = lambda key: jax.random.uniform(key, (b, 1, 1, 1))
    amount = exposure.noise * draw(keys[0])
    worn = truth + amount * jax.random.normal(keys[1], truth.shape)
    worn += exposure.tint * jax.random.normal(keys[5], (b, 1, 1, 3))
    # Squared: most references are nearly clean, as a good network's are.
    worn += exposure.rest * draw(keys[6]) ** 2 * (degraded - truth)
    seen = jnp.where(draw(keys[3]) < own, output, jnp.clip(worn, 0, 1))
    # A share of it from next door: out of place and less sharp, as carried frames are.
    move = jax.random.randint(keys[2], (2,), -exposure.shift, exposure.shift + 1)
    seen += draw(keys[7]) * (jnp.roll(seen, move, (1, 2)) - seen)
    seen = bring(normalise(seen))
    return jnp.where(draw(keys[4]) < exposure.drop, NO_REFERENCE, seen)


def predict(net: Network, align: Align, still, variables, batch: Mapping) -> dict[str, Any]:
    """Restores clips `[b t h w 3]`, each frame with the one restored before; else photographs.

    Returns:
      `image` alike, unclipped, and of every frame `gate_count [b t l]`, `gate_histogram
      [b t l s]`, `gate_usage [b t l e]`, `gate_entropy [b t l]`. Scene cuts are the
      stream's to find: a clip is one scene.
    """
    if "image" not in batch or batch["image"].ndim == 4:
        return still(variables, batch)

    def frame(output, item):
        number, x, before = item
        along = jax.tree.map(lambda leaf: leaf[0], courses(align, before[None], x[None]))
        seen = carried(align, along, x)(output)
        seen = jnp.where(number == 0, NO_REFERENCE, seen)
        restored, gate = net.apply(variables, jnp.concatenate([normalise(x), seen], -1))
        said = {} if gate is None else routing.statistics(gate.weights, net.gating.top_k)
        return normalise(jnp.clip(restored, 0, 1)), (restored, said)

    frames = batch["image"].astype(jnp.float32).swapaxes(0, 1)
    earlier = jnp.concatenate([frames[:1], frames[:-1]])
    items = jnp.arange(len(frames)), frames, earlier
    _, (restored, said) = jax.lax.scan(frame, jnp.zeros_like(frames[0]), items)
    named = {f"gate_{name}": value.swapaxes(0, 1) for name, value in said.items()}
    return {"image": restored.swapaxes(0, 1), **named}


def measure(still, outputs: Mapping, batch: Mapping) -> dict[str, np.ndarray]:
    """The image measures of every frame, averaged over each clip; photographs as they are."""
    image, target = np.asarray(outputs["image"]), np.asarray(batch["target"])
    if image.ndim == 4:
        return still(outputs, batch)
    flat = lambda x: x.reshape(-1, *x.shape[2:])
    values = still({"image": flat(image)}, {"target": flat(target)})
    return {name: x.reshape(image.shape[:2]).mean(1) for name, x in values.items()}
