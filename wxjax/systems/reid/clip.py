"""The visual half of CLIP's ViT-B/16 (Radford et al., 2021) as a re-identification trunk.

Read from a file the user has (.safetensors, .npz or a plain state_dict .pth of OpenAI's or
OpenCLIP's names); nothing is downloaded.
"""

import re
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from wxjax import errors
from wxjax.interop import states

HEADS = ("visual.", "module.visual.", "")


def trunk(state: Mapping[str, np.ndarray], grid: tuple[int, int]) -> dict[str, Any]:
    """Parameters of `backbone/vit` for pictures of `grid` tokens.

    Raises:
      InputError: where the state has no visual transformer of that size; both sides listed.
    """
    head = next((h for h in HEADS if h + "conv1.weight" in state), None)
    if head is None:
        shown = ", ".join(sorted(state)[:3])
        raise errors.InputError(
            f"not a CLIP checkpoint: no visual.conv1.weight among {len(state)} entries "
            f"({shown}, ...)."
        )
    found = {k.removeprefix(head): np.asarray(v, np.float32) for k, v in state.items()
             if k.startswith(head) and re.match(NAMES, k.removeprefix(head))}  # fmt: skip
    states.check(found, shapes(found), "CLIP's visual ViT")
    patch = found["conv1.weight"].transpose(2, 3, 1, 0)
    table = found["positional_embedding"]
    params: dict[str, Any] = {
        "patch": {"kernel": patch},
        "cls": found["class_embedding"][None, None],
        "position": np.concatenate([table[:1], resized(table[1:], grid)])[None],
        "norm_pre": _norm(found, "ln_pre"),
        "norm_post": _norm(found, "ln_post"),
        "project": {"kernel": found["proj"]},
    }
    count = states.count(found, r"transformer\.resblocks\.(\d+)\..*")
    for i in range(count):
        own = f"transformer.resblocks.{i}."
        params[f"block{i}"] = {
            "norm1": _norm(found, own + "ln_1"),
            "qkv": {
                "kernel": found[own + "attn.in_proj_weight"].T,
                "bias": found[own + "attn.in_proj_bias"],
            },
            "out": _linear(found, own + "attn.out_proj"),
            "norm2": _norm(found, own + "ln_2"),
            "up": _linear(found, own + "mlp.c_fc"),
            "down": _linear(found, own + "mlp.c_proj"),
        }
    return params


NAMES = r"conv1|class_embedding|positional_embedding|ln_pre|ln_post|proj$|transformer\.resblocks"


def shapes(state: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """What a state of this width, depth and patch must hold."""
    c, _, p, _ = np.shape(state["conv1.weight"])
    n = states.dim(state, "positional_embedding", 0, 197)
    expected = {
        "conv1.weight": (c, 3, p, p),
        "class_embedding": (c,),
        "positional_embedding": (n, c),
        "proj": (c, states.dim(state, "proj", 1, 512)),
    }
    pairs = {"ln_pre": (c,), "ln_post": (c,)}
    for i in range(states.count(state, r"transformer\.resblocks\.(\d+)\..*")):
        own = f"transformer.resblocks.{i}."
        pairs |= {own + "ln_1": (c,), own + "ln_2": (c,), own + "attn.out_proj": (c, c)}
        pairs |= {own + "mlp.c_fc": (4 * c, c), own + "mlp.c_proj": (c, 4 * c)}
        expected |= {own + "attn.in_proj_weight": (3 * c, c), own + "attn.in_proj_bias": (3 * c,)}
    for name, shape in pairs.items():
        expected |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return expected


def resized(table: Float[np.ndarray, "n c"], grid: tuple[int, int]) -> Float[np.ndarray, "m c"]:
    """Position vectors of a square grid at another one, bicubic."""
    side = round(len(table) ** 0.5)
    if side * side != len(table):
        raise errors.bad("positional_embedding", len(table), "expected a square number of tokens")
    square = table.reshape(side, side, -1)
    if grid == (side, side):
        return table
    # OpenCV takes at most four channels in some modes: a slice at a time is exact and cheap.
    parts = [cv2.resize(square[..., i : i + 4], grid[::-1], interpolation=cv2.INTER_CUBIC)
             .reshape(*grid, -1) for i in range(0, square.shape[-1], 4)]  # fmt: skip
    return np.concatenate(parts, -1).reshape(grid[0] * grid[1], -1)


def _norm(state: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {"scale": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}


def _linear(state: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {"kernel": state[f"{name}.weight"].T, "bias": state[f"{name}.bias"]}
