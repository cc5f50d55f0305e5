"""The experts of the fusion block: small MLPs, stacked on a leading axis for `nn/executors.py`.

(Linear, LayerNorm, GELU, dropout) x (layers - 1) at width h, the same once more at width d,
and a linear residual. Widths that differ are masks over one width, so that any executor can
run them: a masked unit is 0 and does not count in the LayerNorm.

Axes: e experts, r rows, d features, h hidden units.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wxjax import errors
from wxjax.nn.executors import At, Expert
from wxjax.ops.dense import gelu
from wxjax.systems.reid import quantize

KINDS = ("mlp", "swiglu")
STEPS = "weight_steps"  # beside int8 kernels: last by name, after what Flax knows
RESIDUALS = ("linear", "identity", "none")
WIDTHS = (0.25, 0.5, 1.0)  # shares of its hidden units at which a slimmable expert is trained


class Body(NamedTuple):
    """What an expert is.

    Attributes:
      ratio: hidden width over d; a sequence gives each expert its own.
      layers: linear maps, 1 to 3; the last is to width d.
      kind: 'mlp', or 'swiglu': W3 (silu(W1 x) * W2 x).
      residual: 'linear', 'identity' or 'none', times `residual_weight`.
      slimmable: also trained at a quarter and half of its width.
      adaptive: a head on the global vector learns the narrowest of the trained widths at which
        a shot is still recognised, and picks one for each shot.
    """

    ratio: float | Sequence[float] = 2.0
    layers: int = 2
    kind: str = "mlp"
    residual: str = "linear"
    residual_weight: float = 1.0
    dropout: float = 0.1
    slimmable: bool = False
    adaptive: bool = False


def check(body: Body, experts: int) -> None:
    """Raises InputError for a body that no expert has."""
    if body.kind not in KINDS:
        raise errors.unknown("config.model.experts.kind", body.kind, KINDS)
    if body.residual not in RESIDUALS:
        raise errors.unknown("config.model.experts.residual", body.residual, RESIDUALS)
    if body.adaptive and not body.slimmable:
        expected = "expected False, or model.experts.slimmable=True with it"
        raise errors.bad("config.model.experts.adaptive", True, expected)
    if not 1 <= body.layers <= 3:
        raise errors.bad("config.model.experts.layers", body.layers, "expected 1 to 3")
    if isinstance(body.ratio, Sequence) and len(body.ratio) != experts:
        raise errors.bad(
            "config.model.experts.ratio", tuple(body.ratio), f"expected one for each of {experts}"
        )


def widths(body: Body, d: int, experts: int) -> list[int]:
    """Hidden units of each expert."""
    ratios = body.ratio if isinstance(body.ratio, Sequence) else [body.ratio] * experts
    return [max(1, round(ratio * d)) for ratio in ratios]


def init(key: PRNGKeyArray, body: Body, d: int, hidden: int) -> dict[str, Any]:
    """Parameters of one expert; kernels Glorot-uniform, biases 0."""
    keys = iter(jax.random.split(key, 5))

    def layer(fan_in, fan_out, normed=True):
        kernel = jax.nn.initializers.glorot_uniform()(next(keys), (fan_in, fan_out))
        norm = {"scale": jnp.ones(fan_out), "shift": jnp.zeros(fan_out)} if normed else {}
        return {"kernel": kernel, "bias": jnp.zeros(fan_out), **norm}

    if body.kind == "swiglu":
        made = {"in": layer(d, hidden, False), "up": layer(d, hidden, False)}
        made["out"] = layer(hidden, d, False)
    else:
        sizes = [d, *[hidden] * (body.layers - 1), d]
        names = ("in", "middle")[: body.layers - 1] + ("out",)
        pairs = zip(sizes, sizes[1:], strict=False)
        made = {name: layer(*pair) for name, pair in zip(names, pairs, strict=True)}
    if body.residual == "linear":
        made["residual"] = layer(d, d, False)
    return made


def masks(body: Body, d: int, experts: int, share: Any = 1.0) -> Float[Array, "e h"] | None:
    """1 for the hidden units that an expert has, None where all have all.

    `share` may be traced: the part of every width that is used.
    """
    sizes = widths(body, d, experts)
    if not body.slimmable and len(set(sizes)) == 1:
        return None
    limit = jnp.ceil(jnp.asarray(share) * np.array(sizes))
    return (jnp.arange(max(sizes)) < limit[:, None]).astype(jnp.float32)


def make(body: Body) -> Expert:
    """The expert as `nn/executors.py` runs it; its parameters may hold `mask` and `drop`."""

    def linear(params: Mapping, name: str, x: Array, at: At) -> Array:
        part = params[name]
        if STEPS in params:  # of compress.dynamic, for executors that run one expert at a time
            return quantize.product(x, part["kernel"], params[STEPS][name]) + at.row(part["bias"])
        return at.dot(x, part["kernel"]) + at.row(part["bias"])

    def mlp(params, x, at):
        mask = params.get("mask")
        names = [name for name in ("in", "middle", "out") if name in params]
        for i, name in enumerate(names):
            inner = mask if name != "out" else None
            x = _activated(linear(params, name, x, at), params[name], inner, at)
            if "drop" in params:
                x = x * params["drop"][i][..., : x.shape[-1]]
        return x

    def swiglu(params, x, at):
        x = jax.nn.silu(linear(params, "in", x, at)) * linear(params, "up", x, at)
        if "mask" in params:
            x = x * at.row(params["mask"])
        if "drop" in params:
            x = x * params["drop"][0][..., : x.shape[-1]]
        return linear(params, "out", x, at)

    def apply(params, x, at):
        y = (swiglu if body.kind == "swiglu" else mlp)(params, x, at)
        if body.residual == "linear":
            y = y + body.residual_weight * linear(params, "residual", x, at)
        if body.residual == "identity":
            y = y + body.residual_weight * x
        return y

    return Expert(apply)


def _activated(x: Array, part: Mapping, mask: Array | None, at: At) -> Array:
    """GELU of LayerNorm, over the units that the mask leaves."""
    if mask is None:
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    else:
        mask = at.row(mask)
        units = mask.sum(-1, keepdims=True)
        mean = (x * mask).sum(-1, keepdims=True) / units
        variance = (mask * (x - mean) ** 2).sum(-1, keepdims=True) / units
    x = (x - mean) * jax.lax.rsqrt(variance + 1e-6) * at.row(part["scale"]) + at.row(part["shift"])
    return gelu(x) if mask is None else gelu(x) * mask


def dropped(
    key: PRNGKeyArray, body: Body, experts: int, rows: int, width: int
) -> Float[Array, "e l r h"]:
    """Inverted dropout masks of every layer, for executors that run all rows of all experts."""
    shape = (experts, body.layers, rows, width)
    keep = jax.random.bernoulli(key, 1 - body.dropout, shape)
    return keep.astype(jnp.float32) / (1 - body.dropout)
