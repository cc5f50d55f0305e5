"""Names and layouts of DehazeXL's PyTorch checkpoints (CVPR 2025), as ours."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.interop import states
from wxjax.interop.dehazexl_shapes import shapes, sizes, variant
from wxjax.nn import experts

# Made anew on our side; the second line is what other versions of timm and DehazeXL save.
IGNORED = (
    r".*\.(relative_position_index|relative_coords_table|attn_mask|k_bias)",
    r".*lsh\.(proj_dir|perm|enc_vec)",
)


def read(state: Mapping[str, np.ndarray], **options: Any) -> tuple[dict, dict[str, Any]]:
    """Sizes (`config.model`) and variables of a `state_dict`.

    Args:
      options: what no tensor says: `region` (256) and `window` (16) in pixels and tokens,
        `heads` of the bottleneck (8), `attention` (exact, hyper or auto).

    Raises:
      InputError: where the state is no DehazeXL, or does not fit its own sizes; missing,
        surplus and misshapen entries are listed.
    """
    state = states.strip(state, IGNORED)
    model = sizes(state, **options)
    expected = shapes(model)
    if not any(key in expected for key in state):
        raise errors.InputError(
            f"not a DehazeXL checkpoint: none of its {len(state)} entries belongs to one, "
            f"first {', '.join(list(state)[:3]) or 'nothing'}."
        )
    states.check(state, expected, "DehazeXL")
    return model, {"params": {"backbone": experts.unflatten(convert(state, model["region"]))}}


def convert(state: Mapping[str, np.ndarray], region: int = 256) -> dict[str, np.ndarray]:
    """Our names and layouts of a `state_dict` whose keys are known (`read` checks them)."""
    rules, found = RULES + expand_rules(variant(state), region), {}
    for key, value in state.items():
        for pattern, name, layout in rules:
            if match := re.fullmatch(pattern, key):
                found[match.expand(name)] = layout(value)
                break
    return found


def linear(x: np.ndarray) -> np.ndarray:
    """(out, in) -> (in, out)."""
    return x.T


def patch_kernel(x: np.ndarray) -> np.ndarray:
    """(out, in, y, x) -> (y x in, out): a strided convolution as a matrix on blocks."""
    return x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0])


def expand_kernel(x: np.ndarray) -> np.ndarray:
    """Transposed 2x2 convolution (in, out, y, x) -> (in, y x out)."""
    return x.transpose(0, 2, 3, 1).reshape(x.shape[0], -1)


def same(x: np.ndarray) -> np.ndarray:
    return x


_S = r"encoder\.model\.layers_(\d)\."
_E = _S + r"blocks\.(\d+)\."
_B = r"bottleneck\.layers\.(\d+)\."
_D = r"decoder\.layers_up\.(\d)\."
_U = _D + r"blocks\.(\d+)\."
_BLOCK = r"encoder/stage\1_block\2/"
_LEVEL = r"decoder/level\1_block\2/"

RULES = [
    (r"encoder\.model\.patch_embed\.proj\.weight", "encoder/patch_embed/kernel", patch_kernel),
    (r"encoder\.model\.patch_embed\.proj\.bias", "encoder/patch_embed/bias", same),
    (r"encoder\.model\.patch_embed\.norm\.weight", "encoder/patch_norm/scale", same),
    (r"encoder\.model\.patch_embed\.norm\.bias", "encoder/patch_norm/bias", same),
    (_S + r"downsample\.reduction\.weight", r"encoder/merge\1/kernel", linear),
    (_S + r"downsample\.norm\.weight", r"encoder/merge_norm\1/scale", same),
    (_S + r"downsample\.norm\.bias", r"encoder/merge_norm\1/bias", same),
    (_E + r"attn\.(logit_scale|q_bias|v_bias)", _BLOCK + r"attn/\3", same),
    (_E + r"attn\.cpb_mlp\.0\.weight", _BLOCK + "attn/cpb_hidden/kernel", linear),
    (_E + r"attn\.cpb_mlp\.0\.bias", _BLOCK + "attn/cpb_hidden/bias", same),
    (_E + r"attn\.cpb_mlp\.2\.weight", _BLOCK + "attn/cpb_out/kernel", linear),
    (_E + r"(attn)\.(qkv|proj)\.weight", _BLOCK + r"\3/\4/kernel", linear),
    (_E + r"attn\.proj\.bias", _BLOCK + "attn/proj/bias", same),
    (_E + r"(norm[12])\.weight", _BLOCK + r"\3/scale", same),
    (_E + r"(norm[12])\.bias", _BLOCK + r"\3/bias", same),
    (_E + r"mlp\.(fc[12])\.weight", _BLOCK + r"mlp/\3/kernel", linear),
    (_E + r"mlp\.(fc[12])\.bias", _BLOCK + r"mlp/\3/bias", same),
    (r"bottleneck\.input_proj\.weight", "bottleneck/input_proj/kernel", linear),
    (r"bottleneck\.input_proj\.bias", "bottleneck/input_proj/bias", same),
    (_B + r"attn\.(qkv|proj)\.weight", r"bottleneck/layer\1/\2/kernel", linear),
    (_B + r"attn\.(qkv|proj)\.bias", r"bottleneck/layer\1/\2/bias", same),
    (_B + r"input_layernorm\.weight", r"bottleneck/layer\1/norm1/scale", same),
    (_B + r"post_attention_layernorm\.weight", r"bottleneck/layer\1/norm2/scale", same),
    (_B + r"mlp\.(gate|up|down)_proj\.weight", r"bottleneck/layer\1/\2/kernel", linear),
    (_U + r"attn\.relative_position_bias_table", _LEVEL + "attn/bias_table", same),
    (_U + r"attn\.(qkv|proj)\.weight", _LEVEL + r"attn/\3/kernel", linear),
    (_U + r"attn\.(qkv|proj)\.bias", _LEVEL + r"attn/\3/bias", same),
    (_U + r"(norm[12])\.weight", _LEVEL + r"\3/scale", same),
    (_U + r"(norm[12])\.bias", _LEVEL + r"\3/bias", same),
    (_U + r"mlp\.(fc[12])\.weight", _LEVEL + r"mlp/\3/kernel", linear),
    (_U + r"mlp\.(fc[12])\.bias", _LEVEL + r"mlp/\3/bias", same),
    (r"decoder\.output\.weight", "decoder/output/kernel", patch_kernel),
]


def expand_rules(kind: str, region: int = 256) -> list:
    """The up-sampling entries, which differ between the two decoder variants."""
    rules = []
    for pattern, name in (
        (_D + r"upsample\.", r"decoder/level\1_up/"),
        (r"decoder\.up_x2\.", f"decoder/up{region}/"),
    ):
        layout = linear if kind == "linear" else expand_kernel
        rules.append((pattern + r"expand\.weight", name + "expand/kernel", layout))
        rules.append((pattern + r"expand\.bias", name + "bias", same))
        rules.append((pattern + r"norm\.weight", name + "norm/scale", same))
        rules.append((pattern + r"norm\.bias", name + "norm/bias", same))
    return rules
