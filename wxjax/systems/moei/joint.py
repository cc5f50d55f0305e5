"""Dense and the experts trained at once: a shared encoder, a head for each.

A batch holds slots, and each slot belongs to a head: the encoder sees them all, and each
head the weather that it is for. Nothing is frozen and nothing is trained twice, so a
specialist learns at a specialist's speed while the encoder serves every one of them.
What a head owns is said by patterns (`config.joint.owned`): bottleneck and decoder, the
decoder alone, or everything.

Axes: b rows of a batch, n slots of a row, s side of a crop.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from wxjax import errors
from wxjax.losses import terms
from wxjax.nn import experts
from wxjax.systems.moei.backbone import Backbone

HEADS = ("dense", "dehaze", "derain", "desnow")


def init(net: Backbone, owned: Sequence[str], key: Any, batch: Mapping) -> dict:
    """`backbone`: what all share; `experts`: what each head owns, stacked; equal at first."""
    side = net.model.region
    params = net.init(key, jnp.zeros((1, side, side, 3)))["params"]
    flat = experts.flatten(params)
    names = experts.differing(list(flat), tuple(owned))
    shared = {name: leaf for name, leaf in flat.items() if name not in names}
    return {
        "params": {
            "backbone": experts.unflatten(shared),
            "experts": experts.stack([params] * len(HEADS), names),
        }
    }


def spans(slots: Sequence[int]) -> list[slice]:
    """Which slots of a row belong to each head.

    Raises:
      InputError: where not every head has at least one.
    """
    if len(slots) != len(HEADS) or min(slots) < 0 or sum(slots) < 1:
        expected = f"expected how many slots each of {', '.join(HEADS)} gets"
        raise errors.bad("config.joint.slots", tuple(slots), expected)
    ends = [sum(slots[: i + 1]) for i in range(len(slots))]
    return [slice(end - width, end) for end, width in zip(ends, slots, strict=True)]


def outputs(net: Backbone, params: Mapping, image: Any, slots: Sequence[int]) -> Any:
    """Every slot of `image [b n s s 3]` through its own head; unclipped, the same shape."""
    b, n, h, w, _ = image.shape
    shared = experts.flatten(params["backbone"])
    stacked = experts.flatten(params["experts"])
    chosen = [
        experts.unflatten({**shared, **{k: x[i] for k, x in stacked.items()}})
        for i in range(len(HEADS))
    ]
    whole = any(name.startswith("encoder/") for name in stacked)
    if not whole:
        flat = image.reshape(b * n, h, w, 3)
        maps = net.apply({"params": chosen[0]}, flat, method="encode")
        maps = [x.reshape(b, n, *x.shape[1:]) for x in maps]
    parts = []
    for variables, span in zip(chosen, spans(slots), strict=True):
        if span.stop == span.start:
            continue
        one = image[:, span].reshape(-1, h, w, 3)
        if whole:
            own = net.apply({"params": variables}, one, method="encode")
        else:
            own = [x[:, span].reshape(-1, *x.shape[2:]) for x in maps]
        restored = net.apply({"params": variables}, own, one, method="complete")
        parts.append(restored.reshape(b, -1, h, w, 3))
    return jnp.concatenate(parts, 1)


def loss(net: Backbone, weights: Mapping, slots: Sequence[int], variables, batch, key, step):
    """Mean over all samples of weighted terms; PSNR of each head's samples is logged."""
    image, target = batch["image"], batch["target"]
    b, n, h, w, _ = image.shape
    restored = outputs(net, variables["params"], image, slots)
    flat = [x.reshape(b * n, h, w, 3) for x in (restored, target, image)]
    values = terms.image_terms(sorted(weights), *flat)
    total, logs = terms.total(values, dict(weights), step)
    mse = jnp.mean((jnp.clip(restored, 0, 1) - target) ** 2, (2, 3, 4))
    before = jnp.mean((image - target) ** 2, (2, 3, 4))
    for name, span in zip(HEADS, spans(slots), strict=True):
        if span.stop > span.start:
            logs[f"psnr_{name}"] = decibels(mse[:, span])
            logs[f"input_{name}"] = decibels(before[:, span])
    return total, (logs, {})


def decibels(mse: Any) -> Any:
    return (-10 * jnp.log10(mse + 1e-5)).mean()
