"""A feature as a sum of what the global vector and every expert put into it.

The feature of retrieval is affine in z = cls + scale * sum_e g_e E_e(F_e) where the block has
no last non-linear layer: after BatchNorm with its running statistics, a (z - mean). So

    feature = a cls + sum_e a scale g_e E_e + offset,   offset = -a mean,

and the similarity of two shots is a sum over pairs of parts. With a last layer the mixture's
part is shared out by integrated gradients along the experts' weights, and what the steps
leave over is a part named 'residual'.

Axes: b shots, f features, m bands, e experts.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.systems.reid.model import Network

STEPS = 32
EPSILON = 1e-5  # of flax.linen.BatchNorm


def contributions(
    net: Network, variables: Mapping[str, Any], batch: Mapping[str, Any], neck: str = "after"
) -> dict[str, Float[Array, "b f"]]:
    """Parts of the feature before it is scaled to length 1; their sum is the feature.

    Returns: 'global', a part an expert (of all bands, each in its own features), 'offset',
    and 'residual' where the block ends in a non-linear layer.

    Raises:
      InputError: for a network without experts.
    """
    s = net.sizes
    if s.block != "moe":
        raise errors.bad("config.model.block", s.block, "explain needs experts")
    image, present = batch["image"], batch["present"]
    said = net.apply(variables, image, present)
    run = lambda gates: net.apply(variables, image, present, gates=gates)["feature"]
    whole = said["feature"]
    gates = said["gates"]
    none = run(jnp.zeros_like(gates))
    k = gates.shape[-1]
    each = [gates * jax.nn.one_hot(e, k) for e in range(k)]
    if s.final:
        slope = lambda gates, along: jax.jvp(run, (gates,), (along,))[1]
        middles = (jnp.arange(STEPS) + 0.5) / STEPS
        parts = [
            jax.lax.map(lambda t, one=one: slope(t * gates, one), middles).mean(0) for one in each
        ]
    else:
        parts = [run(one) - none for one in each]
    found = {"global": none}
    found |= dict(zip(s.labels(), parts, strict=True))
    left = whole - sum(found.values())
    if s.final:
        found["residual"] = left
    else:  # rounding alone
        found["global"] = found["global"] + left
    if neck == "before":
        return found | {"offset": jnp.zeros_like(whole)}
    stats, scale = variables["batch_stats"]["neck"], variables["params"]["neck"]["scale"]
    slope = scale / jnp.sqrt(stats["var"] + EPSILON)
    known = jnp.repeat(present.astype(jnp.float32), s.features, 1)
    if whole.shape[-1] > known.shape[-1]:
        known = jnp.concatenate([known, jnp.ones((len(known), s.features))], 1)
    found = {name: part * slope * known for name, part in found.items()}
    return found | {"offset": -stats["mean"] * slope * known}


def split(
    first: Mapping[str, Float[Array, "f"]], second: Mapping[str, Float[Array, "f"]]
) -> dict[str, dict[str, float]]:
    """Cosine similarity of two shots as a table: part of the first x part of the second."""
    norms = [jnp.linalg.norm(sum(parts.values())) for parts in (first, second)]
    return {
        a: {b: float(x @ y / (norms[0] * norms[1])) for b, y in second.items()}
        for a, x in first.items()
    }
