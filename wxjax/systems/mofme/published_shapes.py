"""Sizes of a MoFME network as its checkpoint tells them, and the entries they ask for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.interop import states

KNOWN = ("heads", "top_k", "expert_offset")
_V = "Img_Encoder.vision_transformer."
_L = _V + "transformer.layers."


def variant(state: Mapping[str, np.ndarray]) -> str:
    """'film', 'moe' or 'base', by the entries that only it has."""
    if any(key.startswith(_L + "0.3.") for key in state):
        return "film"
    return "moe" if any(key.startswith(_L + "0.2.") for key in state) else "base"


def sizes(state: Mapping[str, np.ndarray], **options: Any) -> dict:
    """`config.model` as the state's shapes tell it; where one is missing, the official size.

    Args:
      options: what no tensor says: `heads` (of 64 features each), `top_k` (4) and
        `expert_offset`; by default that of the code that such weights come from:
        'published' for film, 'fixed' with a reference frame, whose code repaired it.
    """
    for name in options:
        if name not in KNOWN:
            raise errors.unknown("option of mofme", name, KNOWN)
    dim = lambda key, axis, default: states.dim(state, key, axis, default)
    kind = variant(state)
    channels = dim("head.0.weight", 1, 3)
    width = dim(_V + "to_patch_embedding.proj.weight", 0, 384)
    inner = dim(_L + "0.0.fn.to_qkv.weight", 0, 1536) // 3
    heads = options.get("heads", max(1, inner // 64))
    hidden = {
        "film": _L + "0.2.0.weight",
        "moe": _L + "0.2.0.fn.net.0.weight",
        "base": _L + "0.1.fn.net.0.weight",
    }[kind]
    experts = 1 if kind == "base" else dim(_L + "0.1.0.bias", 0, 16)
    repaired = "fixed" if channels == 6 or kind != "film" else "published"
    return dict(
        variant=kind,
        dims=(dim("head.0.weight", 0, 32), width, dim("tail.2.weight", 1, 128)),
        depth=states.count(state, _L.replace(".", r"\.") + r"(\d+)\..*") or 2,
        heads=heads,
        head_dim=inner // heads,
        mlp_ratio=max(1, dim(hidden, 0, 4 * width) // max(1, width)),
        patch=dim(_V + "to_patch_embedding.proj.weight", 2, 8),
        head="sigmoid",
        dropout=0.1,
        in_channels=channels,
        dtype="float32",
        remat=False,
        router=dict(
            experts=experts,
            top_k=min(options.get("top_k", 4), experts),
            top_p=1.0,
            temperature=1.0,
            level="token",
            samples=0,
            rate=0.1,
            executor="auto",
            expert_offset=options.get("expert_offset", repaired),
        ),
    )


def shapes(model: Mapping) -> dict[str, tuple[int, ...]]:
    """Every entry that an official checkpoint of these sizes holds and a forward pass reads."""
    stem, d, tail = model["dims"]
    patch, hidden = model["patch"], model["mlp_ratio"] * model["dims"][1]
    inner, experts = model["heads"] * model["head_dim"], model["router"]["experts"]
    found: dict[str, tuple[int, ...]] = {}

    def layer(key, out, *rest):
        found.update({f"{key}.weight": (out, *rest), f"{key}.bias": (out,)})

    def residual(key, c):
        layer(f"{key}.body.0", c, c, 3, 3)
        layer(f"{key}.body.2", c, c, 3, 3)

    layer("head.0", stem, model["in_channels"], 3, 3)
    residual("head.1", stem)
    residual("head.2", stem)
    layer(_V + "to_patch_embedding.proj", d, stem, patch, patch)
    layer(_V + "to_patch_embedding.norm", d)
    for i in range(model["depth"]):
        block = f"{_L}{i}."
        layer(block + "0.norm", d)
        found[block + "0.fn.to_qkv.weight"] = (3 * inner, d)
        layer(block + "0.fn.to_out.0", d, inner)
        _half(layer, block, model["variant"], d, hidden, experts)
    layer("patch_embed_to_img_feature.0", patch**2 * tail, d)
    residual("tail.1", tail)
    layer("tail.2", tail // 2, tail, 3, 3)
    residual("tail.3", tail // 2)
    layer("tail.4", 3, tail // 2, 3, 3)
    return found


def _half(layer, block: str, kind: str, d: int, hidden: int, experts: int) -> None:
    """The feed-forward half of one block."""

    def feed_forward(key, first, second):
        layer(key + first, hidden, d)
        layer(key + second, d, hidden)

    if kind == "base":
        layer(block + "1.norm", d)
        feed_forward(block + "1.fn.net.", "0", "3")
        return
    layer(block + "1.0", experts, d)
    if kind == "moe":
        for e in range(experts):
            layer(f"{block}2.{e}.norm", d)
            feed_forward(f"{block}2.{e}.fn.net.", "0", "3")
        return
    feed_forward(block + "2.", "0", "3")
    layer(block + "3.0", d)
    for key in ("3.1.0.0", "3.1.1.0"):
        layer(block + key, d, d)
    for e in range(experts):  # numbered from 3: LayerNorm, stars and GELU come first
        for part in (0, 1):
            layer(f"{block}3.{3 + e}.expert.{part}", d, d)
