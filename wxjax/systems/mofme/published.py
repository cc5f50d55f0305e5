"""Names and layouts of MoFME's PyTorch checkpoints (AAAI 2024), as ours.

The published code saves a pickled module beside the `model_state_dict`; only the latter is
read. What no forward pass reads is left out: position tables and the FiLM experts' norms.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.interop import states
from wxjax.nn import experts
from wxjax.systems.mofme.published_shapes import shapes, sizes, variant

IGNORED = (r".*pos_embedding", r".*layers\.\d+\.3\.\d+\.norm\.(weight|bias)")


def same(x: np.ndarray) -> np.ndarray:
    return x


def linear(x: np.ndarray) -> np.ndarray:
    """(out, in) -> (in, out)."""
    return x.T


def conv(x: np.ndarray) -> np.ndarray:
    """(out, in, y, x) -> (y, x, in, out)."""
    return x.transpose(2, 3, 1, 0)


def patch_kernel(x: np.ndarray) -> np.ndarray:
    """(out, in, y, x) -> (y x in, out): a strided convolution as a matrix on blocks."""
    return x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0])


def read(state: Mapping[str, np.ndarray], **options: Any) -> tuple[dict, dict[str, Any]]:
    """Sizes (`config.model`) and variables of a `state_dict`.

    Args:
      options: what no tensor says: `heads`, `top_k` (4) and `expert_offset`, by default
        that of the code that such weights come from.

    Raises:
      InputError: where the state is no MoFME, or does not fit its own sizes; missing,
        surplus and misshapen entries are listed.
    """
    state = states.strip(state, IGNORED)
    model = sizes(state, **options)
    expected = shapes(model)
    if not any(key in expected for key in state):
        raise errors.InputError(
            f"not a MoFME checkpoint: none of its {len(state)} entries belongs to one, "
            f"first {', '.join(list(state)[:3]) or 'nothing'}."
        )
    states.check(state, expected, "MoFME")
    return model, {"params": experts.unflatten(convert(state))}


def convert(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our names and layouts of a `state_dict` whose keys are known (`read` checks them).

    Experts are stacked on their first axis.
    """
    kind = variant(state)
    rules = SHARED + {"base": BASE, "moe": MOE, "film": FILM}[kind]
    found: dict[str, np.ndarray] = {}
    parts: dict[str, dict[int, np.ndarray]] = {}
    for key, value in state.items():
        for pattern, name, layout in rules:
            if match := re.fullmatch(pattern, key):
                name = match.expand(name)
                if "expert" in match.groupdict():
                    parts.setdefault(name, {})[int(match["expert"])] = layout(value)
                else:
                    found[name] = layout(value)
                break
    stacked = {name: np.stack([x[i] for i in sorted(x)]) for name, x in parts.items()}
    return found | (join_film(stacked) if kind == "film" else stacked)


def join_film(stacked: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gamma and beta of each expert side by side, `[e d 2d]`."""
    joined = {}
    for name, value in stacked.items():
        if "/gamma_" in name:
            beta = stacked[name.replace("/gamma_", "/beta_")]
            joined[name.replace("/gamma_", "/expert_")] = np.concatenate([value, beta], -1)
    return joined


def pair(key: str, name: str, layout=linear) -> list:
    """Rules for a weight and its bias."""
    return [(key + r"\.weight", name + "/kernel", layout), (key + r"\.bias", name + "/bias", same)]


def norm(key: str, name: str) -> list:
    return [(key + r"\.weight", name + "/scale", same), (key + r"\.bias", name + "/bias", same)]


def residual(key: str, name: str) -> list:
    """A residual block's two convolutions."""
    first = pair(key + r"\.body\.0", name + "/conv1/conv", conv)
    return first + pair(key + r"\.body\.2", name + "/conv2/conv", conv)


_V = r"Img_Encoder\.vision_transformer\."
_L = _V + r"transformer\.layers\.(\d+)\."
_B = r"block\1/"

SHARED = [
    *pair(r"head\.0", "stem/conv", conv),
    *residual(r"head\.1", "stem_res1"),
    *residual(r"head\.2", "stem_res2"),
    *pair(_V + r"to_patch_embedding\.proj", "patch_embed", patch_kernel),
    *norm(_V + r"to_patch_embedding\.norm", "patch_norm"),
    *norm(_L + r"0\.norm", _B + "attn_norm"),
    (_L + r"0\.fn\.to_qkv\.weight", _B + "attn/qkv/kernel", linear),
    *pair(_L + r"0\.fn\.to_out\.0", _B + "attn/proj"),
    *pair(r"patch_embed_to_img_feature\.0", "unfold"),
    *residual(r"tail\.1", "tail_res1"),
    *pair(r"tail\.2", "tail_conv/conv", conv),
    *residual(r"tail\.3", "tail_res2"),
    *pair(r"tail\.4", "out/conv", conv),
]
BASE = [
    *norm(_L + r"1\.norm", _B + "norm"),
    *pair(_L + r"1\.fn\.net\.0", _B + "ffn/fc1"),
    *pair(_L + r"1\.fn\.net\.3", _B + "ffn/fc2"),
]
_ROUTER = pair(_L + r"1\.0", _B + "router")
_E = _L + r"2\.(?P<expert>\d+)\."
_X = _B + "mixture/expert_"
MOE = [
    *_ROUTER,
    (_E + r"norm\.weight", _X + "scale", same),
    (_E + r"norm\.bias", _X + "shift", same),
    (_E + r"fn\.net\.0\.weight", _X + "kernel1", linear),
    (_E + r"fn\.net\.0\.bias", _X + "bias1", same),
    (_E + r"fn\.net\.3\.weight", _X + "kernel2", linear),
    (_E + r"fn\.net\.3\.bias", _X + "bias2", same),
]
_E = _L + r"3\.(?P<expert>\d+)\.expert\."  # numbered from 3: LayerNorm, stars and GELU come first
FILM = [
    *_ROUTER,
    *pair(_L + r"2\.0", _B + "mixture/ffn/fc1"),
    *pair(_L + r"2\.3", _B + "mixture/ffn/fc2"),
    *norm(_L + r"3\.0", _B + "mixture/norm"),
    *pair(_L + r"3\.1\.0\.0", _B + "mixture/star_a"),
    *pair(_L + r"3\.1\.1\.0", _B + "mixture/star_b"),
    (_E + r"0\.weight", _B + "mixture/gamma_kernel", linear),
    (_E + r"0\.bias", _B + "mixture/gamma_bias", same),
    (_E + r"1\.weight", _B + "mixture/beta_kernel", linear),
    (_E + r"1\.bias", _B + "mixture/beta_bias", same),
]
