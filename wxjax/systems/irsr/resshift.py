"""Names and layouts of ResShift's and DifIISR's PyTorch checkpoints, as ours.

Both have one network (and DifIISR the journal's older conditioning); ResShift's code and
weights are for non-commercial use only, which holds for what is made from them.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.interop import states
from wxjax.nn import experts
from wxjax.systems.irsr.resshift_shapes import shapes, sizes

BUFFERS = (r".*relative_position_index", r".*attn_mask")


def same(x: np.ndarray) -> np.ndarray:
    return x


def linear(x: np.ndarray) -> np.ndarray:
    """(out, in) or (out, in, 1, 1) -> (in, out)."""
    return x.reshape(x.shape[:2]).T


def conv(x: np.ndarray) -> np.ndarray:
    """(out, in, y, x) -> (y, x, in, out)."""
    return x.transpose(2, 3, 1, 0)


def read(state: Mapping[str, np.ndarray], **options: Any) -> tuple[dict, dict[str, Any]]:
    """Sizes and variables of a `state_dict`; `resshift_shapes.sizes` says the options.

    Raises:
      InputError: where the state is no such UNet, or does not fit its own sizes; missing,
        surplus and misshapen entries are listed.
    """
    state = {key.removeprefix("_orig_mod."): value for key, value in states.strip(state).items()}
    model = sizes(state, **options)
    state = states.strip(state, BUFFERS)
    expected = shapes(model)
    if not any(key in expected for key in state):
        raise errors.InputError(
            f"not a ResShift checkpoint: none of its {len(state)} entries belongs to one, "
            f"first {', '.join(list(state)[:3]) or 'nothing'}."
        )
    states.check(state, expected, "ResShift")
    return model, {"params": experts.unflatten(convert(state))}


def convert(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our names and layouts of a `state_dict` whose keys are known (`read` checks them)."""
    found = {}
    for key, value in state.items():
        for pattern, name, layout in RULES:
            if match := re.fullmatch(pattern, key):
                name = re.sub(r"<(\w+)>", lambda part: our_place(match, part[1]), name)
                found[match.expand(name)] = layout(value)
                break
    return found


def our_place(match: re.Match, kind: str) -> str:
    """`input3_down` for group 1 'input_blocks.3', and so on."""
    part, number = match[1].split(".")
    return f"{part.split('_')[0]}{number}_{kind}"


def pair(key: str, name: str, layout=conv) -> list:
    """Rules for a weight and its bias."""
    return [(key + r"\.weight", name + "/kernel", layout), (key + r"\.bias", name + "/bias", same)]


def norm(key: str, name: str) -> list:
    return [(key + r"\.weight", name + "/scale", same), (key + r"\.bias", name + "/bias", same)]


def residual(key: str) -> list:
    return [
        *norm(key + r"in_layers\.0", "<res>/norm1"),
        *pair(key + r"in_layers\.2", "<res>/conv1"),
        *pair(key + r"emb_layers\.1", "<res>/time", linear),
        *norm(key + r"out_layers\.0", "<res>/norm2"),
        *pair(key + r"out_layers\.3", "<res>/conv2"),
        *pair(key + r"skip_connection", "<res>/skip", linear),
    ]


def swin(key: str) -> list:
    block = key + r"blocks\.(\d+)\."
    name = r"<swin>/block\2/"
    table = (
        block + r"attn\.relative_position_bias_table",
        name + "attn/bias_table",
        same,
    )
    return [
        *pair(key + r"patch_embed\.proj", "<swin>/embed", linear),
        *pair(key + r"patch_unembed\.proj", "<swin>/unembed", linear),
        *norm(block + "norm1", name + "norm1"),
        *norm(block + "norm2", name + "norm2"),
        table,
        *pair(block + r"attn\.qkv", name + "attn/qkv", linear),
        *pair(block + r"attn\.proj", name + "attn/proj", linear),
        *pair(block + r"mlp\.fc1", name + "fc1", linear),
        *pair(block + r"mlp\.fc2", name + "fc2", linear),
    ]


_B = r"((?:input_blocks|output_blocks)\.\d+)\."
RULES = [
    *pair(r"time_embed\.0", "time1", linear),
    *pair(r"time_embed\.2", "time2", linear),
    *pair(r"input_blocks\.0\.0", "input0"),
    *norm(r"out\.0", "head_norm"),
    *pair(r"out\.2", "head"),
    *residual(_B + r"0\."),
    *residual(r"(middle_block\.[02])\."),
    *swin(_B + r"1\."),
    *swin(r"(middle_block\.1)\."),
    *pair(_B + r"0\.op", "<down>"),
    *pair(_B + r"[12]\.conv", "<up>"),
]
for _i in range(8):  # a stage of the extractor is a convolution, an activation, a halving
    RULES += pair(rf"feature_extractor\.{3 * _i}", f"extract{_i}_conv")
    RULES += pair(rf"feature_extractor\.{3 * _i + 2}\.op", f"extract{_i}_down")
