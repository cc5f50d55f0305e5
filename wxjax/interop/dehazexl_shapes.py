"""Sizes of a DehazeXL network as its checkpoint tells them, and the entries they ask for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.interop import states

OFFICIAL = dict(
    region=256,
    patch=4,
    dims=(96, 192, 384, 768),
    depths=(2, 2, 6, 2),
    head_dim=32,
    window=16,
    mlp_ratio=4,
    bottleneck=dict(depth=2, heads=8, chunk=1024, attention="exact"),
    decoder=dict(depth=2, head_dim=64, window=8, up="conv", head_init="uniform", alone=16),
    shell=dict(kind="none", ratio=1 / 16, rank=8, where="decoder"),
    dtype="float32",
    remat=False,
    alone=32,
)


def sizes(state: Mapping[str, np.ndarray], **options: Any) -> dict:
    """`config.model` as the state's shapes tell it; where one is missing, the official size."""
    known = ("region", "window", "heads", "attention")
    for name in options:
        if name not in known:
            raise errors.unknown("option of dehazexl", name, known)
    model = {name: dict(x) if isinstance(x, dict) else x for name, x in OFFICIAL.items()}
    dim = lambda key, axis, default: states.dim(state, key, axis, default)
    count = lambda pattern, default: states.count(state, pattern) or default
    stages = count(r"encoder\.model\.layers_(\d+)\..*", 4)
    block = "encoder.model.layers_{}.blocks.0."
    official = list(OFFICIAL["dims"]) + [768] * stages
    model["dims"] = tuple(
        dim(block.format(s) + "norm1.weight", 0, official[s]) for s in range(stages)
    )
    model["depths"] = tuple(
        count(rf"encoder\.model\.layers_{s}\.blocks\.(\d+)\..*", 2) for s in range(stages)
    )
    first, up = model["dims"][0], "decoder.layers_up.0.blocks.0."
    table = dim(up + "attn.relative_position_bias_table", 0, 225)
    model |= dict(
        patch=dim("encoder.model.patch_embed.proj.weight", 2, 4),
        head_dim=first // max(1, dim(block.format(0) + "attn.logit_scale", 0, first // 32)),
        mlp_ratio=max(1, dim(block.format(0) + "mlp.fc1.weight", 0, 4 * first) // max(1, first)),
        region=options.get("region", 256),
        window=options.get("window", 16),
    )
    bottom = 2 * model["dims"][-1]
    model["bottleneck"] |= dict(
        depth=count(r"bottleneck\.layers\.(\d+)\..*", 2),
        heads=options.get("heads", 8),
        attention=options.get("attention", "exact"),
    )
    model["decoder"] |= dict(
        depth=count(r"decoder\.layers_up\.0\.blocks\.(\d+)\..*", 2),
        head_dim=bottom // max(1, dim(up + "attn.relative_position_bias_table", 1, bottom // 64)),
        window=(round(table**0.5) + 1) // 2,
        up=variant(state),
    )
    return model


def variant(state: Mapping[str, np.ndarray]) -> str:
    """'linear' for the decoder of the only published checkpoint, else 'conv'."""
    return "linear" if any(key.endswith("up_x2.norm.weight") for key in state) else "conv"


def shapes(model: Mapping) -> dict[str, tuple[int, ...]]:
    """Every entry that an official checkpoint of these sizes holds, with its shape."""
    dims, ratio, decoder = model["dims"], model["mlp_ratio"], model["decoder"]
    found: dict[str, tuple[int, ...]] = {}

    def norm(name, c):
        found.update({f"{name}.weight": (c,), f"{name}.bias": (c,)})

    def linear(name, out, given, bias=True):
        found[f"{name}.weight"] = (out, given)
        if bias:
            found[f"{name}.bias"] = (out,)

    def halves(name, c):
        linear(f"{name}.attn.proj", c, c)
        norm(f"{name}.norm1", c)
        linear(f"{name}.mlp.fc1", ratio * c, c)
        linear(f"{name}.mlp.fc2", c, ratio * c)
        norm(f"{name}.norm2", c)

    patch = model["patch"]
    found["encoder.model.patch_embed.proj.weight"] = (dims[0], 3, patch, patch)
    found["encoder.model.patch_embed.proj.bias"] = (dims[0],)
    norm("encoder.model.patch_embed.norm", dims[0])
    for s, (c, depth) in enumerate(zip(dims, model["depths"], strict=True)):
        stage = f"encoder.model.layers_{s}"
        if s:
            linear(f"{stage}.downsample.reduction", c, 4 * dims[s - 1], bias=False)
            norm(f"{stage}.downsample.norm", c)
        for i in range(depth):
            name, heads = f"{stage}.blocks.{i}", c // model["head_dim"]
            found[f"{name}.attn.logit_scale"] = (heads, 1, 1)
            found[f"{name}.attn.q_bias"] = found[f"{name}.attn.v_bias"] = (c,)
            linear(f"{name}.attn.cpb_mlp.0", 512, 2)
            linear(f"{name}.attn.cpb_mlp.2", heads, 512, bias=False)
            linear(f"{name}.attn.qkv", 3 * c, c, bias=False)
            halves(name, c)
    d = dims[-1]
    linear("bottleneck.input_proj", d, d)
    for i in range(model["bottleneck"]["depth"]):
        name = f"bottleneck.layers.{i}"
        linear(f"{name}.attn.qkv", 3 * d, d)
        linear(f"{name}.attn.proj", d, d)
        found[f"{name}.input_layernorm.weight"] = (d,)
        found[f"{name}.post_attention_layernorm.weight"] = (d,)
        for part, size in (
            ("gate", (ratio * d, d)),
            ("up", (ratio * d, d)),
            ("down", (d, ratio * d)),
        ):
            linear(f"{name}.mlp.{part}_proj", *size, bias=False)
    stream, table = d, (2 * decoder["window"] - 1) ** 2
    for j, skip in enumerate(reversed(dims)):
        c = stream + skip
        for i in range(decoder["depth"]):
            name = f"decoder.layers_up.{j}.blocks.{i}"
            heads = max(1, c // decoder["head_dim"])
            found[f"{name}.attn.relative_position_bias_table"] = (table, heads)
            linear(f"{name}.attn.qkv", 3 * c, c)
            halves(name, c)
        stream = c // 4
        found |= expand_shapes(f"decoder.layers_up.{j}.upsample", c, decoder["up"])
    found |= expand_shapes("decoder.up_x2", stream, decoder["up"])
    found["decoder.output.weight"] = (3, stream // 4, 1, 1)
    return found


def expand_shapes(name: str, c: int, up: str) -> dict[str, tuple[int, ...]]:
    """Of one up-sampling step from `c` channels to a quarter of them."""
    if up == "linear":
        norm = {f"{name}.norm.weight": (c // 4,), f"{name}.norm.bias": (c // 4,)}
        return {f"{name}.expand.weight": (c, c), **norm}
    return {f"{name}.expand.weight": (c, c // 4, 2, 2), f"{name}.expand.bias": (c // 4,)}
