"""Sizes of ResShift's UNet as its checkpoint tells them, and the entries they ask for."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.interop import states

KNOWN = ("image_size", "mask")
_SWIN = r"(?:input_blocks|output_blocks|middle_block)\.\d+\.1\.blocks\.\d+\."


def sizes(state: Mapping[str, np.ndarray], **options: Any) -> dict:
    """The UNet's sizes as the state's shapes tell them; where one is missing, the official.

    Args:
      options: `image_size`, the latent's side in training, which decides what is shifted;
        by default read off the masks that a checkpoint stores, or 64. `mask`: 'official'.
    """
    for name in options:
        if name not in KNOWN:
            raise errors.unknown("option of resshift", name, KNOWN)
    dim = lambda key, axis, default: states.dim(state, key, axis, default)
    width = dim("time_embed.0.weight", 1, 160)
    multiples, blocks, attended = _levels(state, width)
    side = options.get("image_size", _side(state))
    swin = "middle_block.1.blocks.0."
    swin_dim = dim("middle_block.1.patch_embed.proj.weight", 0, 192)
    heads = dim(swin + "attn.relative_position_bias_table", 1, max(1, swin_dim // 32))
    out = dim("out.2.weight", 0, 3)
    stages = states.count(state, r"feature_extractor\.(\d+)\.op\.weight")
    conditions = dim("input_blocks.0.0.weight", 1, 2 * out) - out
    return dict(
        in_channels=out,
        cond_channels=dim("feature_extractor.0.weight", 1, 3) if stages else conditions,
        out_channels=out,
        side=side,
        width=width,
        multiples=multiples,
        blocks=blocks,
        attention=tuple(side >> level for level in attended),
        swin_depth=states.count(state, r"middle_block\.1\.blocks\.(\d+)\..*") or 2,
        swin_dim=swin_dim,
        head_dim=swin_dim // heads,
        window=_window(state),
        mlp_ratio=max(1, dim(swin + "mlp.fc1.weight", 0, 4 * swin_dim) // swin_dim),
        mask=options.get("mask", "official"),
        extractor=stages,
        zero_head=False,
        dropout=0.0,
        remat=False,
        dtype="float32",
    )


def _levels(state: Mapping, width: int) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    """Channel multiples and residual blocks of each level, and which levels have Swin layers."""
    channels: list[list[int]] = [[]]
    attended: list[int] = []
    n = 1
    while True:
        if f"input_blocks.{n}.0.op.weight" in state:
            channels.append([])
        elif (key := f"input_blocks.{n}.0.out_layers.3.weight") in state:
            if not channels[-1] and f"input_blocks.{n}.1.patch_embed.proj.weight" in state:
                attended.append(len(channels) - 1)
            channels[-1].append(int(np.shape(state[key])[0]))
        else:
            break
        n += 1
    if n == 1:
        return (1, 2, 2, 4), (2, 2, 2, 2), [0, 1, 2, 3]
    multiples = tuple(row[0] // width if row else 1 for row in channels)
    return multiples, tuple(map(len, channels)), attended


def _window(state: Mapping) -> int:
    """The largest window; the tables have (2 window - 1)^2 rows."""
    rows = [
        np.shape(value)[0]
        for key, value in state.items()
        if re.fullmatch(_SWIN + r"attn\.relative_position_bias_table", key)
    ]
    return (math.isqrt(max(rows)) + 1) // 2 if rows else 8


def _side(state: Mapping) -> int:
    """The latent's side in training, from the first level's mask `[windows t t]`."""
    key = "input_blocks.1.1.blocks.1.attn_mask"
    if key not in state:
        return 64
    count, tokens, _ = np.shape(state[key])
    return math.isqrt(count) * math.isqrt(tokens)


def shapes(model: Mapping) -> dict[str, tuple[int, ...]]:
    """Every entry that an official checkpoint of these sizes holds, buffers apart."""
    found: dict[str, tuple[int, ...]] = {}
    width, levels = model["width"], len(model["multiples"])
    time, out = 4 * width, model["out_channels"]

    def layer(key, *shape):
        found.update({f"{key}.weight": shape, f"{key}.bias": shape[:1]})

    def residual(key, before, after):
        layer(f"{key}.in_layers.0", before)
        layer(f"{key}.in_layers.2", after, before, 3, 3)
        layer(f"{key}.emb_layers.1", 2 * after, time)
        layer(f"{key}.out_layers.0", after)
        layer(f"{key}.out_layers.3", after, after, 3, 3)
        if before != after:
            layer(f"{key}.skip_connection", after, before, 1, 1)

    layer("time_embed.0", time, width)
    layer("time_embed.2", time, time)
    c = model["cond_channels"]
    for i in range(model["extractor"]):
        layer(f"feature_extractor.{3 * i}", 16 << i, c, 3, 3)
        c = 32 << i
        layer(f"feature_extractor.{3 * i + 2}.op", c, 16 << i, 3, 3)
    layer("input_blocks.0.0", width, model["in_channels"] + c, 3, 3)

    kept, n, c = [width], 1, width
    for level, (multiple, count) in enumerate(
        zip(model["multiples"], model["blocks"], strict=True)
    ):
        side = model["side"] >> level
        for i in range(count):
            residual(f"input_blocks.{n}.0", c, width * multiple)
            c = width * multiple
            if i == 0 and side in model["attention"]:
                _swin(found, layer, f"input_blocks.{n}.1", c, side, model)
            kept.append(c)
            n += 1
        if level + 1 < levels:
            layer(f"input_blocks.{n}.0.op", c, c, 3, 3)
            kept.append(c)
            n += 1
    residual("middle_block.0", c, c)
    _swin(found, layer, "middle_block.1", c, side, model)
    residual("middle_block.2", c, c)
    n = 0
    for level in reversed(range(levels)):
        after, side = width * model["multiples"][level], model["side"] >> level
        for i in range(model["blocks"][level] + 1):
            residual(f"output_blocks.{n}.0", c + kept.pop(), after)
            c, swin = after, i == 0 and side in model["attention"]
            if swin:
                _swin(found, layer, f"output_blocks.{n}.1", c, side, model)
            if i == model["blocks"][level] and level:
                layer(f"output_blocks.{n}.{1 + swin}.conv", c, c, 3, 3)
            n += 1
    layer("out.0", width)
    layer("out.2", out, width, 3, 3)
    return found


def _swin(found: dict, layer: Any, key: str, c: int, side: int, model: Mapping) -> None:
    d, heads = model["swin_dim"], model["swin_dim"] // model["head_dim"]
    rows = (2 * min(model["window"], side) - 1) ** 2
    layer(f"{key}.patch_embed.proj", d, c, 1, 1)
    layer(f"{key}.patch_unembed.proj", c, d, 1, 1)
    for i in range(model["swin_depth"]):
        block = f"{key}.blocks.{i}"
        layer(f"{block}.norm1", d)
        layer(f"{block}.norm2", d)
        found[f"{block}.attn.relative_position_bias_table"] = (rows, heads)
        layer(f"{block}.attn.qkv", 3 * d, d)
        layer(f"{block}.attn.proj", d, d)
        layer(f"{block}.mlp.fc1", model["mlp_ratio"] * d, d, 1, 1)
        layer(f"{block}.mlp.fc2", d, model["mlp_ratio"] * d, 1, 1)
