"""CLIP's visual half: against its equations written out in NumPy, and its position table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from wxjax import errors
from wxjax.systems.reid import backbone, clip

C, P, OUT, GRID = 8, 16, 6, (3, 3)


def state(blocks=2, width=C, tokens=9):
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(0, 0.3, shape).astype(np.float32)
    found = {
        "conv1.weight": draw(width, 3, P, P), "class_embedding": draw(width),
        "positional_embedding": draw(1 + tokens, width), "proj": draw(width, OUT),
    }  # fmt: skip
    for name in ("ln_pre", "ln_post"):
        found |= {f"{name}.weight": 1 + draw(width), f"{name}.bias": draw(width)}
    for i in range(blocks):
        own = f"transformer.resblocks.{i}."
        for name in ("ln_1", "ln_2"):
            found |= {f"{own}{name}.weight": 1 + draw(width), f"{own}{name}.bias": draw(width)}
        found |= {own + "attn.in_proj_weight": draw(3 * width, width),
                  own + "attn.in_proj_bias": draw(3 * width)}  # fmt: skip
        for name, a, b in (("attn.out_proj", width, width), ("mlp.c_fc", 4 * width, width),
                           ("mlp.c_proj", width, 4 * width)):  # fmt: skip
            found |= {f"{own}{name}.weight": draw(a, b), f"{own}{name}.bias": draw(a)}
    return {"visual." + k: v for k, v in found.items()} | {"logit_scale": np.float32(1)}


def norm(x, s, name):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * s[f"{name}.weight"] + s[f"{name}.bias"]


def written_out(state, image, heads):
    """The published forward pass, channels first where it has them so."""
    s = {k.removeprefix("visual."): v for k, v in state.items()}
    n, h, w, _ = image.shape
    cut = image.reshape(n, h // P, P, w // P, P, 3).transpose(0, 1, 3, 5, 2, 4)
    x = cut.reshape(n, -1, 3 * P * P) @ s["conv1.weight"].reshape(len(s["conv1.weight"]), -1).T
    c = x.shape[-1]
    x = np.concatenate([np.tile(s["class_embedding"], (n, 1, 1)), x], 1)
    x = norm(x + s["positional_embedding"], s, "ln_pre")
    for i in range(2):
        own = f"transformer.resblocks.{i}."
        y = norm(x, s, own + "ln_1") @ s[own + "attn.in_proj_weight"].T
        q, k, v = np.split(y + s[own + "attn.in_proj_bias"], 3, -1)
        q, k, v = (z.reshape(n, -1, heads, c // heads).transpose(0, 2, 1, 3) for z in (q, k, v))
        weights = scipy.special.softmax(q @ k.transpose(0, 1, 3, 2) / np.sqrt(c // heads), -1)
        y = (weights @ v).transpose(0, 2, 1, 3).reshape(n, -1, c)
        x = x + y @ s[own + "attn.out_proj.weight"].T + s[own + "attn.out_proj.bias"]
        y = norm(x, s, own + "ln_2") @ s[own + "mlp.c_fc.weight"].T + s[own + "mlp.c_fc.bias"]
        y = y * scipy.special.expit(1.702 * y)
        x = x + y @ s[own + "mlp.c_proj.weight"].T + s[own + "mlp.c_proj.bias"]
    return norm(x, s, "ln_post") @ s["proj"]


def test_the_trunk_is_the_published_one(monkeypatch):
    small = backbone.Kind(P, C, 2, 2)
    monkeypatch.setitem(backbone.KINDS, "vit_b16", small)
    image = np.random.default_rng(1).uniform(0, 1, (2, 48, 48, 3)).astype(np.float32)
    net = backbone.Backbone("vit_b16", OUT)
    params = {"vit": clip.trunk(state(), GRID)}
    expected = jax.eval_shape(net.init, jax.random.key(0), jnp.asarray(image))["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, dict(expected))
    cls, grid = net.apply({"params": params}, jnp.asarray(image))
    found = written_out(state(), 2 * image - 1, 2)
    np.testing.assert_allclose(cls, found[:, 0], atol=2e-5)
    np.testing.assert_allclose(grid.reshape(2, 9, OUT), found[:, 1:], atol=2e-5)


def test_positions_move_to_another_grid():
    table = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
    np.testing.assert_array_equal(clip.resized(table, (3, 3)), table)
    flat = clip.resized(np.ones((9, 6), np.float32), (6, 2))
    assert flat.shape == (12, 6)
    np.testing.assert_allclose(flat, 1, rtol=1e-6)


def test_slips_are_named():
    with pytest.raises(errors.InputError, match="not a CLIP checkpoint: no visual.conv1.weight"):
        clip.trunk({"a": np.zeros(1)}, GRID)
    lost = {k: v for k, v in state().items() if not k.endswith("0.ln_2.bias")}
    with pytest.raises(errors.InputError, match="ln_2.bias"):
        clip.trunk(lost, GRID)
