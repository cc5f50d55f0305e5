"""Our network with official weights gives the official numbers.

`python -m pytest tests/parity -k dehazexl -rP` prints the largest error of every stage.
"""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict, FrozenConfigDict

from tests.parity import fixtures
from wxjax.interop import dehazexl, torch_weights
from wxjax.losses import pixel
from wxjax.nn import attention, experts, hyper
from wxjax.systems.moei import backbone, bottleneck

OUTPUT, INNER = 2e-4, 1e-4  # what the specification asks for
ABOVE = np.s_[..., 192:320, 192:320]  # across the borders of regions
ALL = np.s_[:]

# Fixture and entry -> our stage, the part that is stored, the tolerance.
STAGES = {
    (1, "enc_stage0_s4"): ("map0", np.s_[..., ::4, ::4], INNER),
    (1, "enc_stage1_s2"): ("map1", np.s_[..., ::2, ::2], INNER),
    (1, "enc_stage2_s2"): ("map2", np.s_[..., ::2, ::2], INNER),
    (1, "enc_stage3"): ("map3", ALL, INNER),
    (1, "tokens_in"): ("tokens_in", ALL, INNER),
    (1, "tokens_out"): ("tokens_out", ALL, INNER),
    (1, "up0"): ("up0", np.s_[:, ::4], INNER),
    (1, "decoder_s2"): ("decoder", np.s_[..., ::2, ::2], OUTPUT),
    (1, "final"): ("final", ALL, OUTPUT),
    (2, "enc_stage3_region"): ("map3", np.s_[4:5], INNER),
    (2, "enc_stage0_region_s4"): ("map0", np.s_[4:5, :, ::4, ::4], INNER),
    (2, "tokens_in_s"): ("tokens_in", np.s_[:, 1::7], INNER),
    (2, "tokens_out_s"): ("tokens_out", np.s_[:, 1::7], INNER),
    (2, "decoder_s8"): ("decoder", np.s_[..., 3::8, 3::8], OUTPUT),
    (2, "final_s4"): ("final", np.s_[..., 1::4, 2::4], OUTPUT),
    (2, "final_crop"): ("final", ABOVE, OUTPUT),
    (3, "tokens_in_s"): ("tokens_in", np.s_[:, 1::5], INNER),
    (3, "tokens_out_s"): ("tokens_out", np.s_[:, 1::5], INNER),
    (3, "decoder_s8"): ("decoder", np.s_[..., 3::8, 3::8], OUTPUT),
    (3, "final_s4"): ("final", np.s_[..., 1::4, 2::4], OUTPUT),
    (3, "final_crop"): ("final", ABOVE, OUTPUT),
    (5, "tokens_out"): ("tokens_out", ALL, INNER),
    (5, "up0"): ("up0", np.s_[:, ::4], INNER),
    (5, "final"): ("final", ALL, OUTPUT),
}


@functools.cache
def arrays(number: int):
    return fixtures.load(f"dehazexl_{number}")


@functools.cache
def official(linear: bool):
    """A user's checkpoint, read: sizes, variables, network, and the state itself."""
    state = fixtures.state(arrays(5 if linear else 1))
    return *torch_weights.read("dehazexl", state), state


def first(x):
    """Channels first, as the official arrays are."""
    return jnp.moveaxis(x, -1, -3)


def run(model, variables, image):
    """Every stage that a fixture may hold; images `[b h w 3]`."""
    net = backbone.Backbone(FrozenConfigDict(ConfigDict(model)))
    apply = functools.partial(net.apply, {"params": variables["params"]["backbone"]})
    watched = lambda module, _: module.name in ("input_proj", "level0_up")
    watch = dict(capture_intermediates=watched, mutable=["intermediates"])
    _, h, w, _ = image.shape
    regions = backbone.split(image, 256)
    maps = apply(regions, method="encode")
    grid = backbone.join(maps[-1], h // 256, w // 256)
    position = np.stack(np.mgrid[: h // 32, : w // 32], -1).reshape(-1, 2)
    tokens, seen = apply(grid.reshape(image.shape[0], -1, 768), position, method="mix", **watch)
    projected = seen["intermediates"]["bottleneck"]["input_proj"]["__call__"][0]
    cut = backbone.split(tokens.reshape(grid.shape), 8)
    decoded, seen = apply(cut, maps, regions, method="decode", **watch)
    up = seen["intermediates"]["decoder"]["level0_up"]["__call__"][0]
    decoded = backbone.join(decoded, h // 256, w // 256)
    return {
        **{f"map{i}": first(m) for i, m in enumerate(maps)},
        "tokens_in": projected + bottleneck.sincos(position, 768),
        "tokens_out": tokens,
        "up0": up.reshape(up.shape[0], -1, up.shape[-1]),
        "decoder": first(decoded),
        "final": first(decoded + image),
    }


@functools.cache
def stages(number: int) -> dict:
    image = np.moveaxis(arrays(number)["in/x"], 1, -1)
    model, variables, _, _ = official(number == 5)
    return jax.device_get(jax.jit(functools.partial(run, model))(variables, image))


def compare(name, found, expected, tolerance):
    error = np.abs(np.asarray(found) - expected).max()
    print(f"{name}: largest error {error:.1e}, tolerance {tolerance:.0e}")
    assert found.shape == expected.shape and error <= tolerance


def at_length(number, entry):
    """Weights 1 (convolutional decoder) and 5 (linear) for every change, 2 and 3 at night."""
    marks = (pytest.mark.nightly,) if number in (2, 3) else ()
    return pytest.param(number, entry, marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize("number, entry", [at_length(*case) for case in STAGES])
def test_every_stage_equals_the_official_network(number, entry):
    stage, part, tolerance = STAGES[number, entry]
    expected = arrays(number)[f"out/{entry}"]
    compare(f"dehazexl_{number} {entry}", stages(number)[stage][part], expected, tolerance)


@pytest.mark.slow
def test_losses_and_gradients_equal_the_official_ones():
    image = jnp.asarray(np.moveaxis(arrays(1)["in/x"], 1, -1))
    _, variables, apply, state = official(False)
    keys = json.loads(str(arrays(1)["config"]))["grad_keys"]

    def loss(variables):
        output = apply(variables, image)
        parts = pixel.l1(output, 1 - image), pixel.fft_l1(output, 1 - image, scale="official")
        return sum(part[0] for part in parts), jnp.concatenate(parts)

    (_, parts), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    flat = experts.flatten(gradient["params"]["backbone"])
    norms = [np.linalg.norm(flat[ours(key, state)]) for key in keys]
    for name, found, expected in (("loss", parts, arrays(1)["out/loss"]),) + (
        ("grad_l2", norms, arrays(1)["out/grad_l2"]),
    ):
        relative = np.abs(np.asarray(found) / expected - 1).max()
        print(f"dehazexl_1 {name}: largest relative error {relative:.1e}, tolerance 2e-03")
        assert relative <= 2e-3


def ours(key: str, state) -> str:
    """Our name of an official parameter."""
    rules = dehazexl.RULES + dehazexl.expand_rules(dehazexl.variant(state))
    matches = (
        re.fullmatch(pattern, key) and re.sub(pattern, name, key) for pattern, name, _ in rules
    )
    return next(name for name in matches if name)


@pytest.mark.parametrize("length", [96, 128, 256, 300])
def test_hyperattention_equals_the_official_one(length):
    z = arrays(4)
    args = json.loads(str(z["config"]))["args"]
    q, k, v = (jnp.moveaxis(jnp.asarray(z[f"in/n{length}_{name}"]), 1, 2) for name in "qkv")
    block, samples = args["block_size"], args["sample_size"]
    if length < args["min_seq_len"]:  # the exact path: one block, nothing sampled
        block = samples = length
        exact = first_heads(attention.global_attention(q, k, v))
        compare(f"dehazexl_4 n{length} exact", exact, z[f"out/n{length}_attn"], 1e-5)
    found = hyper.hyper_attention(
        q,
        k,
        v,
        jnp.asarray(z["in/proj_dir"]),
        sampled=jnp.asarray(z[f"in/n{length}_sampled"]),
        block=block,
        samples=samples,
    )
    name = f"dehazexl_4 n{length}"
    compare(f"{name} attn", first_heads(found.output), z[f"out/n{length}_attn"], 1e-5)
    lse = first_heads(found.lse[..., None])
    compare(f"{name} lse", lse, z[f"out/n{length}_lse"], 1e-5)


def first_heads(x):
    return np.moveaxis(np.asarray(x), 2, 1)
