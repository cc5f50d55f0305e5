"""The task: a floor at bicubic, answers that no batch or tile changes, losses that teach."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import irsr
from wxjax import errors, systems
from wxjax.systems.irsr import model as models
from wxjax.systems.irsr import resize

KEY = jax.random.key(0)


def config(**changes):
    """The tiny size with one level and one Swin block, which compiles in seconds."""
    found = irsr.get_config("tiny")
    found.model.unet.update(side=8, multiples=(1,), blocks=(1,), attention=(), swin_depth=1)
    for name, value in changes.items():
        *folders, leaf = name.split("__")
        place = functools.reduce(lambda c, n: c[n], folders, found)
        place[leaf] = value
    return found


def scene(b=2, side=16, channels=1):
    """Small images and the large ones they come from: discs and waves."""
    y, x = np.mgrid[: 4 * side, : 4 * side] / (4 * side)
    rng = np.random.default_rng(0)
    large = []
    for _ in range(b):
        cy, cx, r, f = rng.uniform([0.3, 0.3, 0.1, 3], [0.7, 0.7, 0.3, 12])
        disc = (np.hypot(y - cy, x - cx) < r) * 0.5
        large.append(disc + 0.2 + 0.1 * np.sin(f * (x + 2 * y)))
    large = np.stack(large)[..., None].astype(np.float32)
    large = jnp.asarray(np.broadcast_to(large, (*large.shape[:-1], channels)))
    return resize.bicubic(large, (side, side), like="pillow"), large


def fresh(task):
    """Variables drawn by NumPy, output layers zero: XLA compiles 255 draws in 17 seconds."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if "statistics" in name:
            return leaf
        if any(part in name for part in ("head/", "conv5/", "conv_out/")):
            return jnp.zeros(leaf.shape)
        size = np.sqrt(np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 3
        centre = 1.0 if name.endswith("scale") else 0.0
        return jnp.asarray(rng.normal(centre, 1 / size, leaf.shape).astype(np.float32))

    shapes = jax.eval_shape(task.init, KEY, {})
    shapes["statistics"] = jax.jit(lambda: task.init(KEY, {})["statistics"])()
    return jax.tree_util.tree_map_with_path(draw, shapes)


def psnr(a, b):
    return -10 * np.log10(np.mean(np.square(np.asarray(a) - np.asarray(b))))


KINDS = ["diffusion", "cascade", "plan_b", "plan_c", "regression"]


@pytest.mark.parametrize("kind", KINDS)
def test_untrained_it_is_the_bicubic_picture(kind):
    task = systems.make(config(model__kind=kind))
    small, _ = scene(1, side=20)
    variables = fresh(task)
    ends = {"unet0": "head", "unet1": "head", "light": "conv5", "decoder": "conv_out"}
    begun = jax.jit(
        lambda: {n: p[ends[n]] for n, p in task.init(KEY, {})["params"].items() if n in ends}
    )()
    assert begun and not any(np.any(leaf) for leaf in jax.tree.leaves(begun))
    out = jax.jit(task.predict)(variables, {"image": small[:, :, :18]})["image"]
    expected = resize.bicubic(small[:, :, :18], (80, 72), like="torch")
    np.testing.assert_allclose(out, expected, atol=2e-6)


def test_untrained_it_scores_what_bicubic_scores_on_real_frames(real_data):
    task = systems.make(config(model__kind="regression"))
    variables, scores = fresh(task), []
    predict = jax.jit(task.predict)
    for path in sorted((real_data / "ir_test" / "HR").glob("*.png")):
        small = real_data / "ir_test" / "LR" / path.name.replace(".png", "x4.png")
        large, small = (np.asarray(Image.open(p).convert("L"), np.float32) for p in (path, small))
        found = predict(variables, {"image": small[None, ..., None] / 255})["image"]
        found = np.clip(np.rint(255 * np.asarray(found)[0, ..., 0]), 0, 255)
        scores.append(psnr(found / 255, large / 255))
    assert len(scores) == 10
    assert np.mean(scores) == pytest.approx(36.362, abs=2e-3)


@functools.cache
def trained(kind="diffusion"):
    """A network whose head is not zero any more: 2 steps of the loop's own kind."""
    task = systems.make(config(model__kind=kind))
    small, large = scene()
    variables = fresh(task)
    grads, logs = jax.jit(jax.grad(task.loss, has_aux=True))(
        variables, {"image": small, "target": large}, KEY, 0
    )
    params = jax.tree.map(lambda p, g: p - 3.0 * g, variables["params"], grads["params"])
    return task, {**variables, "params": params}, grads, logs


@pytest.mark.parametrize("kind", KINDS)
def test_every_network_learns_and_every_term_is_logged(kind):
    _, _, grads, (logs, kept) = trained(kind)
    for name in grads["params"]:
        if name != "codec":
            sizes = [float(jnp.abs(g).max()) for g in jax.tree.leaves(grads["params"][name])]
            assert all(np.isfinite(sizes)) and max(sizes) > 0, name
    assert "statistics" in kept and {"l1", "psnr", "of_nothing"} <= set(logs)
    assert float(logs["of_nothing"]) == pytest.approx(1, abs=1e-4)  # an answer of 0 does nothing
    assert ("latent1" in logs) == (kind == "cascade")
    assert ("regression" in logs) == (kind in ("plan_b", "regression"))


def test_an_image_loss_reaches_the_first_convolution_through_the_decoder():
    task = systems.make(config(losses__image=dict(edge=1.0), losses__bands="pixel"))
    _, variables, _, _ = trained()
    small, large = scene()

    def image_part(params):
        batch = {"image": small, "target": large}
        _, (logs, _) = task.loss({**variables, "params": params}, batch, KEY, 0)
        return logs["edge"]

    grads = jax.jit(jax.grad(image_part))(variables["params"])
    assert float(jnp.abs(grads["unet0"]["input0"]["kernel"]).max()) > 1e-6


def test_a_picture_is_the_same_alone_in_a_batch_and_by_its_index():
    task, variables, _, _ = trained()
    small, _ = scene(3)
    predict = jax.jit(task.predict)
    together = predict(variables, {"image": small, "index": jnp.array([4, 8, 2])})["image"]
    alone = predict(variables, {"image": small[1:2], "index": jnp.array([8])})["image"]
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)
    other = predict(variables, {"image": small[1:2], "index": jnp.array([9])})["image"]
    assert float(jnp.abs(other - alone).max()) > 1e-4


def test_a_tile_is_an_image_of_its_own_with_the_noise_of_its_place():
    task, variables, _, _ = trained()
    small, _ = scene(2)
    tiles = {"tiles": small, "corner": np.array([[0, 0], [16, 0]], np.int32), "count": 2,
             "grid": np.array([32, 16], np.int32)}  # fmt: skip
    found = jax.jit(task.predict)(variables, tiles)["tiles"]
    assert found.shape == (2, 64, 64, 1)
    first = jax.jit(task.predict)(variables, {"image": small[:1], "index": jnp.array([0])})
    np.testing.assert_allclose(found[0], first["image"][0], atol=1e-5)


def test_grey_stays_grey():
    task, variables, _, _ = trained()
    small, _ = scene(1, channels=3)
    out = jax.jit(task.predict)(variables, {"image": small})["image"]
    assert out.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(out[..., 0], out[..., 2])


def test_back_projection_brings_the_degraded_picture_nearer_to_the_input():
    small, large = scene(1)
    up = resize.bicubic(small, (64, 64), like="torch")
    apart = lambda x: float(jnp.abs(resize.bicubic(x, (16, 16), like="pillow") - small).mean())
    assert apart(models.back_project(up, small, 2)) < 0.3 * apart(up)
    np.testing.assert_array_equal(models.back_project(up, small, 0), up)
    assert psnr(models.back_project(up, small, 2), large) > psnr(up, large)


def test_measured_statistics_are_those_of_the_pairs():
    model = models.make(config().to_dict())
    small, large = scene(4)
    stats = models.measure_statistics(model, [(small[:2], large[:2]), (small[2:], large[2:])])
    apart = resize.bicubic(small, (64, 64), like="torch") - large
    energy = np.mean(stats["residual"] ** 2)
    np.testing.assert_allclose(energy, np.mean(np.square(2 * apart)), rtol=1e-4)


@pytest.mark.parametrize("kind", ["ll", "fullband", "allbands", "allbands_learnable"])
def test_the_sources_codecs_train_in_raw_coordinates(kind):
    task = systems.make(config(codec__kind=kind, model__coordinates="raw", model__channels=3))
    small, large = scene(1, channels=3)
    variables = fresh(task)
    (value, (logs, _)), grads = jax.jit(jax.value_and_grad(task.loss, has_aux=True))(
        variables, {"image": small, "target": large}, KEY, 0
    )
    assert np.isfinite(float(value)) and float(logs["latent0"]) > 0
    assert float(jnp.abs(grads["params"]["unet0"]["head"]["kernel"]).max()) > 0


@pytest.mark.slow
def test_it_learns_one_pair_and_samples_it_beyond_bicubic():
    """Single steps and the sampled picture alike: what training saw is what the chain does."""
    import optax

    small, large = scene(1)
    batch = {"image": small, "target": large}
    settings = config()
    model = models.make(settings.to_dict())
    task = systems.make(settings)
    variables = fresh(task)
    variables["statistics"] = models.measure_statistics(model, [(small, large)])
    optimizer = optax.adam(2e-3)

    @jax.jit
    def step(params, state, i):
        key = jax.random.fold_in(KEY, i)
        of = lambda params: task.loss({**variables, "params": params}, batch, key, i)
        grads, (logs, _) = jax.grad(of, has_aux=True)(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, logs

    params, state = variables["params"], jax.jit(optimizer.init)(variables["params"])
    for i in range(200):
        params, state, logs = step(params, state, i)
    out = jax.jit(task.predict)({**variables, "params": params}, batch)["image"]
    floor = psnr(resize.bicubic(small, (64, 64), like="torch"), large)
    assert float(logs["of_nothing"]) < 0.1
    assert psnr(out, large) > floor + 3


def test_slips_are_named():
    cases = {
        "model.kind='diffuse'": dict(model__kind="diffuse"),
        "model.coordinates='residuals'": dict(model__coordinates="residuals"),
        "codec='packed, 3 levels'": dict(model__kind="cascade", codec__levels=3),
        "plan_b needs bands": dict(model__kind="plan_b", codec__kind="ll"),
        "losses.image='edges'.*'edge'": dict(losses__image=dict(edges=1.0)),
        "losses.bands='rms'": dict(losses__bands="rms"),
        "diffusion.steps=1": dict(diffusion__steps=1),
        "sampling steps=16": dict(sampling__steps=16),
        "codec.kind='vq'": dict(codec__kind="vq"),
    }
    for message, changes in cases.items():
        with pytest.raises(errors.InputError, match=message):
            systems.make(config(**changes))
    task = systems.make(config())
    variables = jax.eval_shape(lambda: task.init(KEY, {}))
    with pytest.raises(errors.InputError, match="channels=4: expected 1"):
        jax.eval_shape(task.predict, variables, {"image": jnp.zeros((1, 16, 16, 4))})


def test_weights_from_elsewhere_refuse_frames():
    from wxjax.systems.irsr import resshift_shapes

    with pytest.raises(errors.InputError, match="autoencoder.*torch_weights.load"):
        systems.make(irsr.imported(resshift_shapes.sizes({})))
