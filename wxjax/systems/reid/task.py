"""Re-identification as a task: shots in several bands to features that rank by identity."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from wxjax import errors
from wxjax.losses import terms
from wxjax.nn import balance
from wxjax.systems.reid import losses as metric_losses
from wxjax.systems.reid.experts import WIDTHS
from wxjax.systems.reid.model import Network
from wxjax.systems.reid.sizes import Sizes, sizes_of
from wxjax.task import Task

LOSSES = ("identity", "triplet", "smoothing", "margin", "direct")
BALANCE = ("var", "importance", "load", "switch", "z", "mi", "entropy", "diversity")
NECKS = ("after", "before")
MISSING = {"none": "", "r": "r", "n": "n", "t": "t", "rn": "rn", "rt": "rt", "nt": "nt"}


def make(config) -> Task:
    """The task; checks what the config says about the model and the losses."""
    sizes = sizes_of(config)
    for name in config.losses:
        if name not in LOSSES:
            raise errors.unknown("config.losses", name, LOSSES)
    for name in config.balance:
        if name not in BALANCE:
            raise errors.unknown("config.balance", name, BALANCE)
    if config.evaluate.neck not in NECKS:
        raise errors.unknown("config.evaluate.neck", config.evaluate.neck, NECKS)
    if not 0 <= config.modality_dropout < 1:
        expected = "expected a probability below 1"
        raise errors.bad("config.modality_dropout", config.modality_dropout, expected)
    net = Network(sizes)
    steps = config.get("num_steps", 1) or 1
    return Task(
        init=functools.partial(init, net),
        loss=functools.partial(
            loss,
            net,
            config.losses.to_dict(),
            config.balance.to_dict(),
            float(config.modality_dropout),
            int(steps),
        ),
        predict=functools.partial(predict, net, config.evaluate.neck),
        measure=measure,
        summarize=summarize,
    )


def init(net: Network, key, batch: Mapping) -> dict:
    """Fresh variables; what they are does not depend on `batch`."""
    s = net.sizes
    m = len(s.modalities)
    image = jnp.zeros((2, m, *s.size, 3))
    camera = jnp.zeros(2, jnp.int32) if s.cameras else None
    variables = net.init(key, image, jnp.ones((2, m), bool), camera=camera)
    return dict(variables)


def dropped(key, present, rate: float, label):
    """`present` without the bands drawn at `rate`, never all that a shot had.

    One draw an identity: shots with different bands are far apart whoever they show, and the
    farthest positive of a triplet would always be one of them.
    """
    first = (label[:, None] == label).argmax(1)  # of the shots of the same identity
    keep = present & (jax.random.uniform(key, present.shape)[first] >= rate)
    return jnp.where(keep.any(1, keepdims=True), keep, present)


def loss(net: Network, weights: Mapping, balances: Mapping, rate: float, steps: int,
         variables, batch, key, step):  # fmt: skip
    """Identity and triplet terms of the fused feature and of every band's, and routing terms."""
    # Seeds reorder the shots: noise differs with them, and one program serves them all.
    key = jax.random.fold_in(key, batch["index"].sum())
    first, second, third = jax.random.split(key, 3)
    present = batch["present"]
    if rate:
        present = dropped(first, present, rate, batch["label"])
    progress = step / steps

    def run(share):
        found, stats = net.apply(
            variables, batch["image"], present, True, progress, share=share,
            camera=batch.get("camera"), rngs={"dropout": second},
            mutable=["batch_stats", "router"],
        )  # fmt: skip
        return task_terms(weights, found, batch["label"], present), found, stats

    (total, logs), said, stats = run(1.0)
    body = net.sizes.experts
    if body.slimmable and net.sizes.block == "moe":
        # The sandwich rule (Yu and Huang, 2019): the widest, the narrowest, one between; where
        # a head learns which suffices, each of the widths.
        middle = WIDTHS[1] if body.adaptive else jax.random.choice(third, jnp.array(WIDTHS))
        narrower = [run(share) for share in (WIDTHS[0], middle)]
        total = (total + sum(part[0] for part, _, _ in narrower)) / 3
        if body.adaptive:
            right = [(s["scores"].argmax(-1) == batch["label"]) for _, s, _ in narrower]
            found = complexity(said["widths"], jnp.stack(right, -1))
            logs |= {f"complexity_{name}": value for name, value in found.items()}
            total = total + found["loss"]
    if "gates" in said:
        found = balance_terms(net.sizes, said)
        logs |= {f"balance_{name}": value for name, value in found.items()}
        total += sum(terms.weight_at(w, step, name) * found[name] for name, w in balances.items())
        logs["entropy"] = found["entropy"] / jnp.log(said["probs"].shape[-1])
        usage = said["gates"].mean((0, 1))
        logs |= {f"usage_{i}": usage[i] for i in range(usage.shape[0])}
    return total, (logs, dict(stats))


def complexity(logits, right):
    """Cross-entropy of the head `[b 3]` with the narrowest width that is `right [b 2]`, else 1."""
    target = jnp.where(right.any(-1), right.argmax(-1), len(WIDTHS) - 1)
    each = -jnp.take_along_axis(jax.nn.log_softmax(logits), target[:, None], -1)
    share = jnp.array(WIDTHS)
    return {
        "loss": each.mean(),
        "share": share[logits.argmax(-1)].mean(),
        "wanted": share[target].mean(),
    }


def task_terms(weights: Mapping, said: Mapping, label, present):
    """Weighted sum, and the means by name; `direct` is the share of the bands' own terms."""
    margin = weights.get("margin") or None
    smoothing = weights.get("smoothing", 0.1)
    share = weights.get("direct", 0.5) if said["bands"].shape[1] > 1 else 0.0
    logs = {
        "identity": metric_losses.identity(said["scores"], label, smoothing).mean(),
        "triplet": metric_losses.batch_hard_triplet(said["feature"], label, margin).mean(),
        "accuracy": (said["scores"].argmax(-1) == label).mean(),
    }
    total = {name: logs[name] for name in ("identity", "triplet")}
    if share:
        here = present.astype(jnp.float32)
        count = jnp.maximum(here.sum(), 1)
        each = jax.vmap(metric_losses.identity, (1, None, None), 1)(
            said["band_scores"], label, smoothing
        )
        apart = [
            metric_losses.batch_hard_triplet(said["bands"][:, i], label, margin)
            for i in range(said["bands"].shape[1])
        ]
        own = {"identity": (each * here).sum() / count,
               "triplet": (jnp.stack(apart, 1) * here).sum() / count}  # fmt: skip
        total = {name: (1 - share) * total[name] + share * own[name] for name in own}
    return sum(weights.get(name, 0.0) * total[name] for name in total), logs


def balance_terms(sizes: Sizes, said: Mapping) -> dict[str, Any]:
    """Each routing loss, computed for every gate (so within a band) and averaged."""
    k = said["probs"].shape[-1]
    gating = sizes.gate

    def one(probs, logits, weights):
        logs = jnp.log(jnp.maximum(probs, 1e-9))
        return {
            "var": balance.variance(probs),
            "importance": balance.importance(probs),
            "load": balance.load(logits, min(gating.kept(k), k), 1 / k),
            "switch": balance.switch(probs, weights),
            "z": balance.router_z(logits),
            "mi": balance.decidedness(probs),
            "entropy": -(probs * logs).sum(-1).mean(),
        }

    found = jax.vmap(one, (1, 1, 1))(said["probs"], said["logits"], said["gates"])
    found = {name: value.mean() for name, value in found.items()}
    if "outputs" in said:
        outputs = said["outputs"]
        found["diversity"] = balance.diversity(outputs.reshape(-1, *outputs.shape[-2:]))
    return found


def predict(net: Network, neck: str, variables, batch: Mapping) -> dict[str, Any]:
    """Features of shots `image [b m h w 3]` with bands `present [b m]`.

    Args:
      batch: also `gates [b g k]` to be used in place of the network's, `share` of the
        experts' width, `camera [b]` for a network with side information.

    Returns:
      `feature [b f]` of length 1 (parts of absent bands 0), `bands [b m d]` alike for each
      band alone; for experts `gates [b g k]` and `shares` of the windows by scale;
      for adaptive ones `width [b]`, the share of the hidden units that a shot asks for.
    """
    image = batch["image"]
    present = batch.get("present")
    present = jnp.ones(image.shape[:2], bool) if present is None else present
    said = net.apply(
        variables, image, present, gates=batch.get("gates"), share=batch.get("share", 1.0),
        camera=batch.get("camera"),
    )  # fmt: skip
    names = ("neck", "necks") if neck == "after" else ("feature", "bands")
    unit = lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    found = {"feature": unit(said[names[0]]), "bands": unit(said[names[1]])}
    if "widths" in said:
        found["width"] = jnp.array(WIDTHS)[said["widths"].argmax(-1)]
    kept = ("gates", "shares", "dropped")
    return {**found, **{name: said[name] for name in kept if name in said}}


def measure(outputs: Mapping, batch: Mapping) -> dict[str, Any]:
    """One shot alone has no score: its feature is what a ranking needs."""
    return {"feature": outputs["feature"]}


def summarize(rows: Sequence[Mapping]) -> dict[str, float]:
    """Means over queries with a true match of what each row (a query) says."""
    valid = [row for row in rows if row["valid"]]
    names = [
        name for name in ("ap", "inp", "rank1", "rank5", "rank10") if valid and name in valid[0]
    ]
    return {name: sum(row[name] for row in valid) / len(valid) for name in names}
