"""Which experts a token of MoFME takes: settings, router, and the mixture they ask for.

Axes: b images, n tokens, d features of a token, e experts.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.nn import executors, expert_kinds, routing
from wxjax.nn.attention import torch_uniform
from wxjax.nn.routing import Choice
from wxjax.systems.mofme import uncertainty

VARIANTS = ("base", "moe", "film")
OFFSETS = ("fixed", "published")
LEVELS = ("token", "frame")


class Gating(NamedTuple):
    """How a token's experts are chosen.

    Attributes:
      experts: how many there are.
      top_k: slots a token; top_p: the mass after which fewer are kept, 1 for always top_k.
      temperature: divides the logits.
      level: 'token', or 'frame' for one choice an image, whose experts are merged.
      samples: thinned routers of the uncertainty-aware gate; 0 is the plain router.
      rate: dropout on the router's input in those samples.
      executor: one of `nn/executors.py`.
      expert_offset: 'published' is the index shift of MoFME's code, whose mixture reads
        p_0 gelu(z) + sum_e p_e f_{e-1}(z) and never uses the last expert; 'fixed' is what
        was meant. Film only.
    """

    experts: int
    top_k: int = 4
    top_p: float = 1.0
    temperature: float = 1.0
    level: str = "token"
    samples: int = 0
    rate: float = 0.1
    executor: str = "auto"
    expert_offset: str = "fixed"


class Gate(NamedTuple):
    """What the router said: calibrated logits and the weights kept, both `[b n e]`."""

    logits: Array
    weights: Array


def check(variant: str, gating: Gating) -> None:
    """Raises InputError for settings that no network has."""
    if variant not in VARIANTS:
        raise errors.unknown("model.variant", variant, VARIANTS)
    if gating.expert_offset not in OFFSETS:
        raise errors.unknown("model.expert_offset", gating.expert_offset, OFFSETS)
    if gating.level not in LEVELS:
        raise errors.unknown("router.level", gating.level, LEVELS)
    if gating.executor not in executors.NAMES:
        raise errors.unknown("router.executor", gating.executor, executors.NAMES)
    if variant == "base":
        return
    routing.check(gating.top_k, gating.top_p, gating.experts)
    if gating.level == "frame" and variant == "moe":
        cure = "Try model.variant='film', whose experts are linear."
        raise errors.bad("router.level", "frame", "cannot merge experts with a GELU", cure)
    if gating.executor == "folded" and variant == "moe":
        raise errors.bad("router.executor", "folded", "needs experts that are linear")


class Router(nn.Module):
    """Logits over experts from the residual stream, which is not normalised.

    With `samples` the logits are those of an ensemble of thinned routers (dropout on the
    input), calibrated by `uncertainty.probit`. In training masks differ by token and step;
    else they are the same M masks for every image, so that a result does not depend on the
    batch, the tile or the frame.
    """

    gating: Gating

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], train: bool = False) -> Float[Array, "b n e"]:
        d, gating = x.shape[-1], self.gating
        init = torch_uniform(d)
        kernel = self.param("kernel", init, (d, gating.experts))
        bias = self.param("bias", init, (gating.experts,))
        x = x.astype(jnp.float32)
        if not gating.samples:
            return x @ kernel + bias
        key = self.make_rng("dropout") if train else jax.random.key(0)
        shape = x.shape if train else (1, 1, d)
        thinned = uncertainty.masks(key, gating.samples, shape, gating.rate)
        return uncertainty.probit(uncertainty.samples(x, kernel, bias, thinned))


def mixture(
    expert: expert_kinds.Expert, params: Any, x: Array, logits: Array, gating: Gating
) -> tuple[Array, Array]:
    """The mixture `[b n d]` of experts that the logits `[b n e]` choose, and its weights."""
    b, n, d = x.shape
    if gating.level == "frame":
        choice = routing.frame_level(logits / gating.temperature, gating.top_k, gating.top_p)
        weights = routing.scatter(choice, gating.experts)[:, None]
        weights = jnp.broadcast_to(weights, logits.shape)
        own, shifted = offset(gating, choice)
        y = executors.merged(expert, params, x, shifted)
        own = None if own is None else own[:, None, None]
    else:
        choice = routing.select(logits, gating.top_k, gating.top_p, gating.temperature)
        weights = routing.scatter(choice, gating.experts)
        own, shifted = offset(gating, choice)
        flat = Choice(*(leaf.reshape(b * n, -1) for leaf in shifted))
        y = executors.run(gating.executor, expert, params, x.reshape(b * n, d), flat)
        y = y.reshape(b, n, d)
        own = None if own is None else own[..., None]
    if own is not None:
        y = y + own.astype(y.dtype) * nn.gelu(x, approximate=False)
    return y, weights


def offset(gating: Gating, choice: Choice) -> tuple[Array | None, Choice]:
    """The weight of GELU, and the choice of experts, under the published index shift."""
    if gating.expert_offset == "fixed":
        return None, choice
    first = choice.index == 0
    own = jnp.where(first, choice.weight, 0).sum(-1)
    # Slot 0 is GELU's: its row is not an expert's, so it keeps no expert.
    index = jnp.maximum(choice.index - 1, 0)
    return own, Choice(index, jnp.where(first, 0, choice.weight))
