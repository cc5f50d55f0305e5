"""A feature as a sum of what the global vector and every expert put into it.

The feature of retrieval is affine in z = cls + scale * sum_e g_e E_e(F_e) where the block has
no last non-linear layer: after BatchNorm with its running statistics it is a (z - mean). So

    feature = a cls + sum_e a scale g_e E_e + offset,   offset = -a mean,

and the similarity of two shots is a sum over pairs of parts. With a last layer the mixture's
part is shared out by integrated gradients along the experts' weights, and what the steps
leave over is a part named 'residual': most of it, since the LayerNorm there forgets lengths and
jumps at the path's start. Read it first.

Axes: b shots, f features, m bands, g gate heads, e experts, d features of a band.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.systems.reid.model import Network
from wxjax.systems.reid.sizes import Sizes

STEPS = 32
EPSILON = 1e-5  # of flax.linen.BatchNorm


def contributions(
    net: Network, variables: Mapping[str, Any], batch: Mapping[str, Any], neck: str = "after"
) -> dict[str, Float[Array, "b f"]]:
    """Parts of the feature before it is scaled to length 1; their sum is the feature.

    Returns: 'global', a part an expert (of all bands, each in its own features), 'offset',
    and 'residual' where the block ends in a non-linear layer.

    Raises:
      InputError: for a network without experts, or a last layer under a joint gate.
    """
    s = net.sizes
    if s.block != "moe":
        raise errors.bad("config.model.block", s.block, "explain needs experts")
    image, present = batch["image"], batch["present"]
    run = lambda gates: net.apply(variables, image, present, gates=gates)["feature"]
    if s.final and s.fusion == "hierarchical":
        expected = "explain cannot split a last layer under a hierarchical gate"
        raise errors.bad("config.model.final", s.final, expected)
    said = net.apply(variables, image, present)
    whole, gates = said["feature"], said["gates"]
    known = jnp.repeat(present.astype(jnp.float32), s.features, 1)
    if whole.shape[-1] > known.shape[-1]:
        known = jnp.concatenate([known, jnp.ones((len(known), s.features))], 1)
    if s.final and s.fusion != "crossmodal":
        found = integrated(run, gates, s.labels())
        found["residual"] = whole - sum(found.values())
    else:
        each = parts(s, variables["params"], gates, said["outputs"])
        found = dict(zip(s.labels(), jnp.moveaxis(each * known[:, None], 1, 0), strict=True))
        found = {"global": whole - sum(found.values())} | found
    if neck == "before":
        return found | {"offset": jnp.zeros_like(whole)}
    stats, scale = variables["batch_stats"]["neck"], variables["params"]["neck"]["scale"]
    slope = scale / jnp.sqrt(stats["var"] + EPSILON) * known
    found = {name: part * slope for name, part in found.items()}
    return found | {"offset": -stats["mean"] * slope}


def parts(
    s: Sizes, params: Mapping[str, Any], gates: Float[Array, "b g k"], outputs: Array
) -> Float[Array, "b k f"]:
    """What every expert of the pool puts into the feature before the neck."""
    b, m, d = gates.shape[0], len(s.modalities), s.features
    if s.fusion == "crossmodal":  # outputs [b k d]; the bands' own features are without experts
        joint = gates[:, 0, :, None] * outputs
        return jnp.concatenate([jnp.zeros((b, s.pool, m * d)), joint], -1)
    scale = jnp.broadcast_to(params["fusion"]["scale"], (m, d))
    e = s.per_band
    if s.fusion == "hierarchical":  # outputs [b m e d], one part a band and expert
        joint = gates.reshape(b, m, e)
        fine = joint / jnp.maximum(joint.sum(-1, keepdims=True), 1e-9)
        own = scale[:, None] * fine[..., None] * outputs
        spread = jnp.einsum("bmed,mn->bmend", own, jnp.eye(m)).reshape(b, m * e, m * d)
        return jnp.concatenate([spread, (joint[..., None] * outputs).reshape(b, m * e, d)], -1)
    heads = gates.shape[1] // m
    weights = gates.reshape(b, m, heads, e)
    cut = outputs.reshape(b, m, e, heads, -1)
    each = jnp.einsum("bmge,bmegc->bemgc", weights, cut).reshape(b, e, m, d)
    return (each * scale).reshape(b, e, m * d)


def integrated(run: Any, gates: Float[Array, "b g k"], labels: list[str]) -> dict[str, Array]:
    """Parts by integrated gradients from no expert at all to `gates`, midpoint rule."""
    middles = (jnp.arange(STEPS) + 0.5) / STEPS
    found = {"global": run(jnp.zeros_like(gates))}
    for e, name in enumerate(labels):
        along = gates * jax.nn.one_hot(e, gates.shape[-1])
        slope = lambda t, along=along: jax.jvp(run, (t * gates,), (along,))[1]
        found[name] = jax.lax.map(slope, middles).mean(0)
    return found


def split(
    first: Mapping[str, Float[Array, "f"]], second: Mapping[str, Float[Array, "f"]]
) -> dict[str, dict[str, float]]:
    """Cosine similarity of two shots as a table: part of the first x part of the second."""
    norms = [jnp.linalg.norm(sum(found.values())) for found in (first, second)]
    return {
        a: {b: float(x @ y / (norms[0] * norms[1])) for b, y in second.items()}
        for a, x in first.items()
    }
