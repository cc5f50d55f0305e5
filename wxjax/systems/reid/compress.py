"""Smaller networks: hidden units or whole experts removed for good, kernels in int8.

Axes: e experts, d features, h hidden units.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from wxjax import errors
from wxjax.systems.reid import quantize
from wxjax.systems.reid.experts import STEPS
from wxjax.systems.reid.sizes import Sizes


def bank(params: Mapping[str, Any]) -> dict[str, Any]:
    """The experts' stacked parameters of a network with one bank.

    Raises:
      InputError: for a network without experts.
    """
    for names in (("fusion", "bank", "experts"), ("bank", "experts")):
        place: Any = params
        for name in names:
            place = place.get(name, {}) if hasattr(place, "get") else {}
        if place:
            return place
    raise errors.InputError("this network has no experts: nothing to prune or to quantise in them.")


def replaced(params: Mapping[str, Any], experts: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with its bank's experts replaced."""
    out = dict(params)
    if "fusion" in out:
        fusion = dict(out["fusion"])
        fusion["bank"] = {**fusion["bank"], "experts": dict(experts)}
        return {**out, "fusion": fusion}
    return {**out, "bank": {**out["bank"], "experts": dict(experts)}}


def unit_scores(experts: Mapping[str, Any]) -> Float[Array, "*m e h"]:
    """|W1[:, j]| |gamma_j| |W2[j, :]| of every hidden unit of experts of two layers.

    Raises:
      InputError: for experts of another depth or kind.
    """
    if set(experts) - {"residual"} != {"in", "out"}:
        found = ", ".join(experts)
        raise errors.bad("experts", found, "pruning knows MLPs of two layers")
    first, second = experts["in"], experts["out"]
    norm = lambda x, axis: jnp.sqrt((x**2).sum(axis))
    return norm(first["kernel"], -2) * jnp.abs(first["scale"]) * norm(second["kernel"], -1)


def kept(scores: Float[Array, "*m e h"], ratio: float) -> Int[Array, "*m e k"]:
    """The units that stay where the lowest `ratio` of each expert go, in their old order."""
    if not 0 <= ratio < 1:
        raise errors.bad("ratio", ratio, "expected a share from 0 to below 1")
    h = scores.shape[-1]
    count = max(1, h - math.floor(ratio * h))
    return jnp.sort(jnp.argsort(-scores, axis=-1, stable=True)[..., :count], axis=-1)


def pruned(params: Mapping[str, Any], ratio: float) -> dict[str, Any]:
    """Parameters whose experts lost `ratio` of their hidden units, physically.

    The hidden LayerNorm then sees other statistics: fine-tune for an epoch or three.
    """
    experts = bank(params)
    units = kept(unit_scores(experts), ratio)
    first = {
        name: jnp.take_along_axis(x, units[..., None, :] if name == "kernel" else units, -1)
        for name, x in experts["in"].items()
    }
    kernel = jnp.take_along_axis(experts["out"]["kernel"], units[..., None], -2)
    second = {**experts["out"], "kernel": kernel}
    return replaced(params, {**experts, "in": first, "out": second})


def expert_scores(
    gates: Float[Array, "n g e"], outputs: Float[Array, "n *m e d"]
) -> Float[Array, " e"]:
    """Usage times contribution: an expert's mean weight times the mean length of its output."""
    length = jnp.linalg.norm(outputs, axis=-1)
    return gates.mean((0, 1)) * length.reshape(-1, length.shape[-1]).mean(0)


def removable(sizes: Sizes) -> bool:
    """Whether `without` knows how: experts one a scale, shared by all bands, weights not fixed."""
    alone = sizes.fusion == "shared" and sizes.replicas == 1 and sizes.block == "moe"
    return alone and sizes.gate.kind != "fixed"


def without(params: Mapping[str, Any], sizes: Sizes, index: int) -> dict[str, Any]:
    """Parameters of the network of `sizes` without one expert and the scale that it sees.

    Its windows, its slice of the bank and its logit of the gate go. A gate that reads all
    scales also loses the inputs from that one, and hidden units with the lowest scores down to
    half of the inputs that are left; fine-tune for an epoch or three.

    Raises:
      InputError: for a network that is not `removable`.
    """
    if not removable(sizes):
        found = f"{sizes.fusion}, {sizes.replicas} a scale, gate {sizes.gate.kind}"
        expected = "removing one needs model.fusion=shared, replicas=1, a gate that is not fixed"
        raise errors.bad("experts", found, expected)
    fusion = dict(params["fusion"])
    parts = {k: v for k, v in fusion["bank"].items() if k != f"scale{sizes.scales[index]}"}
    parts["experts"] = jax.tree.map(lambda x: jnp.delete(x, index, 0), parts["experts"])
    fusion["bank"] = parts
    if "gate" in fusion:
        fusion["gate"] = _narrower(fusion["gate"], sizes, index)
    return {**params, "fusion": fusion}


def _narrower(gate: Mapping[str, Any], sizes: Sizes, index: int) -> dict[str, Any]:
    """The gate without one expert's logit and, where it read them, features."""
    d, k, heads = sizes.features, len(sizes.scales), sizes.gate.heads
    gate = {name: dict(layer) if hasattr(layer, "keys") else layer for name, layer in gate.items()}
    hidden = [f"hidden{i}" for i in range(sizes.gate.depth - 1)]
    if sizes.gate.input == "concat":
        first = gate[(*hidden, "logits")[0]]
        stay = np.delete(np.arange(k * d), np.s_[index * d : (index + 1) * d])
        first["kernel"] = first["kernel"][stay]
        width = (k - 1) * d // 2
        for i, name in enumerate(hidden):
            layer, norm = gate[name], gate[f"norm{i}"]
            after = gate[(*hidden, "logits")[i + 1]]
            length = lambda x, axis: jnp.sqrt((x**2).sum(axis))
            score = length(layer["kernel"], 0) * jnp.abs(norm["scale"]) * length(after["kernel"], 1)
            units = jnp.sort(jnp.argsort(-score, stable=True)[:width])
            layer.update(kernel=layer["kernel"][:, units], bias=layer["bias"][units])
            norm.update(scale=norm["scale"][units], bias=norm["bias"][units])
            after["kernel"] = after["kernel"][units]
    columns = np.delete(np.arange(heads * k).reshape(heads, k), index, 1).reshape(-1)
    last = gate["logits"]
    last.update(kernel=last["kernel"][:, columns], bias=last["bias"][columns])
    return gate


def weight_only(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Every kernel through int8 and back, and the bytes before and after."""
    sizes = {"float32": 0, "int8": 0}

    def one(path, x):
        x = jnp.asarray(x)
        sizes["float32"] += x.size * 4
        if getattr(path[-1], "key", "") != "kernel" or x.ndim < 2:
            sizes["int8"] += x.size * 4
            return x
        flat = x.reshape(-1, *x.shape[-2:]) if x.ndim == 3 else x.reshape(-1, x.shape[-1])
        q, step = quantize.quantize(flat)
        sizes["int8"] += q.size + step.size * 4
        return quantize.dequantize(q, step).reshape(x.shape)

    return jax.tree.map_with_path(one, dict(params)), sizes


def dynamic(params: Mapping[str, Any]) -> dict[str, Any]:
    """Experts whose products run in int8 (weights by channel, activations by row).

    Gate, norms, windows and the first layers of the network stay in float32.
    """

    experts = dict(bank(params))
    steps = {}
    for name, layer in list(experts.items()):
        q, steps[name] = quantize.quantize(jnp.asarray(layer["kernel"]))
        experts[name] = {**layer, "kernel": q}
    return replaced(params, {**experts, STEPS: steps})


def bytes_of(tree: Any) -> int:
    return int(sum(np.asarray(x).nbytes for x in jax.tree.leaves(tree)))
