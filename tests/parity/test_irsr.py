"""Wavelets, UNet and diffusion give the official numbers."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.parity import fixtures
from wxjax.interop import torch_weights
from wxjax.nn import experts
from wxjax.systems.irsr import codec as codecs
from wxjax.systems.irsr import diffusion, resize, resshift_shapes, unet, wavelet


def last(x):
    return np.moveaxis(x, 1, -1)


def first(x):
    return np.moveaxis(np.asarray(x), -1, 1)


@functools.cache
def case(number: int):
    """Network, variables and arrays of one fixture."""
    arrays = fixtures.load(f"dwtdiff_{number}")
    settings = json.loads(str(arrays["config"]))
    side = settings.get("args", settings.get("unet_args"))["image_size"]
    model, variables, _ = torch_weights.read("resshift", fixtures.state(arrays), image_size=side)
    return unet.build(model), variables, arrays


@functools.cache
def run(number: int):
    """Output and stages of one fixture's input."""
    net, variables, arrays = case(number)
    cond = last(arrays["in/lq"])
    if "in/mask" in arrays:
        cond = np.concatenate([cond, last(arrays["in/mask"])], -1)
    apply = jax.jit(lambda *args: net.apply(*args, mutable="intermediates"))
    y, kept = apply(variables, last(arrays["in/x"]), arrays["in/t"], cond)
    return y, {n: value[0] for n, value in experts.flatten(kept["intermediates"]).items()}


# Official name of a stage: ours.
STAGES = {
    "time_embed": "after_time",
    "input_blocks.0": "after_input0",
    "input_blocks.1.0": "after_input1_res",
    "input_blocks.1.1.blocks.1": "input1_swin/after_block1",
    "input_blocks.1.1": "after_input1",
    "input_blocks.3": "after_input3",
    "input_blocks.4": "after_input4",
    "input_blocks.9": "after_input9",
    "input_blocks.10.1.blocks.1": "input10_swin/after_block1",
    "input_blocks.11": "after_input11",
    "middle_block.0": "after_middle0_res",
    "middle_block.1": "after_middle1",
    "middle_block": "after_middle",
    "output_blocks.0": "after_output0",
    "output_blocks.1": "after_output1",
    "feature_extractor": "after_extract1",
}


@pytest.mark.parametrize(
    "number",
    [1, pytest.param(2, marks=pytest.mark.nightly), 4],
    ids=["small", "full", "journal"],
)
def test_the_unet_and_its_stages_equal_the_official_ones(number):
    arrays = case(number)[2]
    y, stages = run(number)
    seen = 0
    for name, ours in STAGES.items():
        if f"out/{name}" in arrays:
            found = stages[ours] if name == "time_embed" else first(stages[ours])
            np.testing.assert_allclose(found, arrays[f"out/{name}"], atol=1e-4, err_msg=name)
            seen += 1
    assert seen >= {1: 10, 2: 8, 4: 4}[number]
    np.testing.assert_allclose(first(y), arrays["out/y"], atol=5e-5)


def test_a_rectangle_equals_the_official_one_and_the_meant_mask_does_not():
    net, variables, arrays = case(1)
    inputs = last(arrays["in/x_rect"]), arrays["in/t_rect"], last(arrays["in/lq_rect"])
    found = jax.jit(net.apply)(variables, *inputs)
    np.testing.assert_allclose(first(found), arrays["out/y_rect"], atol=5e-5)
    other = jax.jit(net.clone(mask="swin").apply)(variables, *inputs)
    assert np.abs(first(other) - arrays["out/y_rect"]).max() > 0.1


def full(**changes):
    model = resshift_shapes.sizes({})
    return model | changes


COUNTS = [
    (dict(), 118_593_583),
    (dict(in_channels=12, out_channels=12, cond_channels=12), 118_632_472),
    (dict(in_channels=21, out_channels=21, cond_channels=21), 118_671_361),
    (dict(in_channels=16, out_channels=16, cond_channels=16), 118_649_756),
    (dict(in_channels=48, out_channels=48, cond_channels=48), 118_788_028),
    (dict(extractor=1), 118_640_431),
    (dict(extractor=2, cond_channels=4), 118_714_399),
    (dict(extractor=3, in_channels=8, out_channels=8), 118_931_604),
    (dict(in_channels=16, out_channels=16, cond_channels=16, width=32, swin_dim=64,
          blocks=(1, 1, 1, 1), mlp_ratio=2), 3_740_000),
]  # fmt: skip


@pytest.mark.parametrize("changes, expected", COUNTS)
def test_numbers_of_parameters_are_the_published_ones(changes, expected):
    model = full(**changes)
    found = unet.parameters(unet.shapes(model))
    assert found == sum(int(np.prod(s)) for s in resshift_shapes.shapes(model).values())
    if expected == 3_740_000:  # published to three digits
        assert round(found, -4) == expected
    else:
        assert found == expected
    if not changes:
        assert len(resshift_shapes.shapes(model)) == 540


# ---------------------------------------------------------------- diffusion


def test_schedules_equal_the_official_ones_exactly():
    arrays = fixtures.load("dwtdiff_3")
    plan, deterministic = diffusion.schedule(15), diffusion.update(diffusion.schedule(15), 0.0)
    named = dict(
        sqrt_etas=plan.sqrt_eta,
        etas=plan.eta,
        etas_prev=plan.eta_before,
        alpha=plan.alpha,
        posterior_variance=plan.variance,
        posterior_variance_clipped=plan.variance_clipped,
        posterior_log_variance_clipped=np.log(plan.variance_clipped),
        posterior_mean_coef1=plan.eta_before / plan.eta,
        posterior_mean_coef2=plan.alpha / plan.eta,
        weight_loss_mse=diffusion.loss_weight(plan, "xstart", weighted=True),
        ddim_k=deterministic.k,
        ddim_m=deterministic.m,
        ddim_j=deterministic.j,
    )
    for name, values in named.items():
        expected = arrays[f"out/f64_T15_{name}"]
        np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-12, err_msg=name)
    five = diffusion.respace(plan, 5, "official")
    np.testing.assert_array_equal(five.steps, arrays["out/T15r5_timestep_map"])
    np.testing.assert_allclose(five.sqrt_eta, arrays["out/f64_T15r5_sqrt_etas"], rtol=1e-12)


def test_single_steps_equal_the_official_ones():
    arrays = fixtures.load("dwtdiff_3")
    plan, t = diffusion.schedule(15), jnp.asarray(arrays["in/t"])
    x0, y, noise = (jnp.asarray(last(arrays[f"in/{n}"])) for n in ("x0", "z_y", "noise"))
    xt = diffusion.noised(plan, x0, y, t, noise)
    mean, variance = diffusion.posterior(plan, xt, x0, t)
    scaled = xt / diffusion.at(diffusion.input_scale(plan), t)
    prior = diffusion.prior(plan, y, noise)
    found = dict(x_t=xt, posterior_mean=mean, scale_input_latent=scaled, prior_sample=prior)
    for name, value in found.items():
        np.testing.assert_allclose(first(value), arrays[f"out/{name}"], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(variance.ravel(), arrays["out/posterior_var_per_t"], atol=1e-6)
    divisor = diffusion.input_scale(plan, "pixel")[arrays["in/t"]]
    np.testing.assert_allclose(divisor, arrays["out/scale_input_pixel_divisor"], rtol=1e-6)


@pytest.mark.parametrize("kind", diffusion.PREDICTIONS)
def test_losses_equal_the_official_ones(kind):
    arrays = fixtures.load("dwtdiff_3")
    plan, t = diffusion.schedule(15), jnp.asarray(arrays["in/t"])
    x0, y, noise = (jnp.asarray(last(arrays[f"in/{n}"])) for n in ("x0", "z_y", "noise"))
    xt = diffusion.noised(plan, x0, y, t, noise)
    out = answer()
    error = jnp.square(diffusion.target(plan, kind, x0, y, t, noise) - out).mean((1, 2, 3))
    for name, weighted in (("mse", False), ("weighted", True)):
        weight = diffusion.loss_weight(plan, kind, weighted)[arrays["in/t"]]
        expected = arrays[f"out/loss_{kind}_{name}"]
        np.testing.assert_allclose(weight * error, expected, rtol=2e-4, err_msg=name)
    if kind.startswith("epsilon"):
        found = first(diffusion.estimate(plan, kind, out, xt, y, t))[1]
        expected = arrays[f"out/pred_z0_{kind}_first"]
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@functools.cache
def answer():
    """What the small network of the diffusion fixtures says to its four examples."""
    net, variables, arrays = case(3)
    plan, t = diffusion.schedule(15), jnp.asarray(arrays["in/t"])
    x0, y, noise = (jnp.asarray(last(arrays[f"in/{n}"])) for n in ("x0", "z_y", "noise"))
    scaled = diffusion.noised(plan, x0, y, t, noise) / diffusion.at(diffusion.input_scale(plan), t)
    return jax.jit(net.apply)(variables, scaled, t, y)


@functools.cache
def chain(randomness: float, count: int, spacing: str, clip: bool = False):
    net, variables, arrays = case(3)
    plan = diffusion.schedule(15)
    if count < 15:
        plan = diffusion.respace(plan, count, spacing)
    y = jnp.asarray(last(arrays["out/lr_up_bicubic"]))
    drawn = jnp.concatenate([arrays["in/noise_steps"][:count], arrays["in/noise_T"][None]])
    drawn = jnp.moveaxis(drawn, 2, -1)

    @jax.jit
    def run(variables):
        network = lambda x, t: net.apply(variables, x, t, y)
        return diffusion.sample(
            plan, network, y, lambda i: drawn[i], randomness=randomness, clip=clip
        )

    final, states = run(variables)
    return first(final), np.moveaxis(np.asarray(states[:, 0]), -1, 1)


CHAINS = {
    "ancestral15_final": (1.0, 15, "official"),
    "ancestral15_clip_final": (1.0, 15, "official", True),
    "ddim15_final": (0.0, 15, "official"),
    "one_step_final": (0.0, 1, "endpoints"),
    "ancestral_respaced5_final": (1.0, 5, "official"),
    "ddim_respaced5_final": (0.0, 5, "official"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_sampling_chains_equal_the_official_ones(name):
    arrays = fixtures.load("dwtdiff_3")
    final, states = chain(*CHAINS[name])
    np.testing.assert_allclose(final, arrays[f"out/{name}"], atol=2e-4)
    kept = {"ancestral15_final": [0, 4, 9, 13], "ddim15_final": [0, 7]}.get(name)
    if kept:
        expected = arrays[f"out/{name.replace('final', 'after_step')}"]
        np.testing.assert_allclose(states[kept], expected, atol=2e-4)


def test_upsampling_equals_the_official_one():
    arrays = fixtures.load("dwtdiff_3")
    found = resize.bicubic(jnp.asarray(last(arrays["in/lr"])), (32, 32), like="torch")
    np.testing.assert_allclose(first(found), arrays["out/lr_up_bicubic"], atol=1e-5)


# ---------------------------------------------------------------- wavelets and codecs


def same_case(name, mode, levels, size, arrays):
    """Compares one transform of the wavelet fixture, and its inverse."""
    h, w = size
    x = arrays[f"in/img_{h}x{w}"][..., None]
    settings = (name, levels, mode)
    bands = jax.jit(wavelet.forward, static_argnums=(1, 2, 3))(x, *settings)
    key = f"out/{name}_{mode}_L{levels}_{h}x{w}/"
    named = {f"cA{levels}": bands.low}
    for level, details in zip(range(levels, 0, -1), bands.details, strict=True):
        for letter, band in zip("HVD", details, strict=True):
            named[f"c{letter}{level}"] = band
    for part, found in named.items():
        np.testing.assert_allclose(found[..., 0], arrays[key + part], atol=1e-5, err_msg=key)
    again = jax.jit(wavelet.inverse, static_argnums=(1, 2, 3))(bands, (h, w), name, mode)
    np.testing.assert_allclose(again, x, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("kept", range(4))
def test_wavelets_equal_the_reference(kept):
    arrays = fixtures.load("dwt_1")
    cases = json.loads(str(arrays["config"]))["cases"]
    assert len(cases) == 52
    for name, mode, levels, size in cases[kept::4]:
        same_case(name, mode, levels, size, arrays)


def test_codecs_equal_the_source_documents():
    arrays = fixtures.load("dwt_2")
    x, y = (jnp.asarray(last(arrays[f"in/{name}"])) for name in ("x", "y_up"))
    weights = fixtures.state(arrays)
    learned = {
        "down": {"kernel": weights["down.weight"].transpose(2, 3, 1, 0)},
        "up": {"kernel": weights["up.weight"][:, :, ::-1, ::-1].transpose(2, 3, 0, 1)},
    }
    for name in learned:
        learned[name]["bias"] = weights[f"{name}.bias"]
    named = {
        "ll": ("LL_only", "decode_with_bands_of_y"),
        "fullband": ("FullBand", "decode_with_level1_of_y"),
        "allbands": ("AllBands", "decode"),
        "allbands_learnable": ("Learnable", "decode"),
        "packed": ("Packed48", None),
    }
    for kind, (official, decoded) in named.items():
        codec = codecs.Codec(kind)
        params = learned if kind == "allbands_learnable" else {}
        encoded = codecs.encode(codec, params, x)
        expected = arrays[f"out/{official}/z"]
        np.testing.assert_allclose(first(encoded.z), expected, atol=1e-5, err_msg=kind)
        if decoded:
            side = codecs.encode(codec, params, y).side
            found = first(codecs.decode(codec, params, encoded.z, side, x.shape[1:3]))
            expected = arrays[f"out/{official}/{decoded}"]
            np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=kind)
