"""The network of convolutions: the identity at first, no seams, one answer for any tiling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import weather
from tests import drawn
from wxjax import errors
from wxjax.evaluate.stream import Streamer
from wxjax.nn import experts
from wxjax.systems.moei import candidates, convnet, joint, task

KEY = jax.random.key(0)


@functools.cache
def system(**tiles):
    config = weather.get_config("tiny")
    config.tiles.update(dict(tile=512, overlap=64, margin=32), **tiles)
    made = task.make(config)
    variables = drawn.variables(lambda: made.init(KEY, {}), noise=0.3)
    return config, made, variables


def picture(h, w, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.random((-(-h // 8), -(-w // 8), 3), np.float32)
    smooth = np.kron(coarse, np.ones((8, 8, 1), np.float32))[:h, :w]
    return np.clip(smooth + 0.05 * rng.standard_normal((h, w, 3)), 0, 1).astype(np.float32)


def test_an_untrained_network_is_the_identity_to_the_bit():
    config = weather.get_config("tiny")
    engine = task.make_engine(config)
    x = jnp.asarray(picture(32, 48)[None])
    params = engine.bare.init(KEY, x)["params"]
    np.testing.assert_array_equal(engine.bare.apply({"params": params}, x), x)


@pytest.mark.parametrize("route", [0, 2])
def test_tiles_are_the_whole_within_a_grey_level(route):
    config, made, variables = system()
    image = picture(200, 330)
    whole, _ = Streamer(made, variables, config.tiles)(image, route)
    config.tiles.tile = 160
    streamer = Streamer(made, variables, config.tiles)
    tiled, _ = streamer(image, route)
    count = streamer.cover(200, 330).count
    config.tiles.tile = 512
    assert count > 6
    assert np.abs(whole - image).max() > 0.05  # it does something
    assert np.abs(tiled - whole).max() < 1 / 255


def test_predict_is_what_streaming_gives():
    config, made, variables = system()
    image = picture(70, 45)
    streamed, said = Streamer(made, variables, config.tiles)(image, 1)
    whole = jax.jit(made.predict)(variables, {"image": image[None], "force": 1})
    np.testing.assert_allclose(whole["image"][0], streamed, atol=2e-5)
    np.testing.assert_allclose(whole["weights"], said["weights"], atol=1e-4)


def test_a_picture_that_is_left_comes_back_bit_for_bit():
    config, made, variables = system()
    image = (255 * picture(50, 60)).astype(np.uint8)
    kept, said = Streamer(made, variables, config.tiles)(image, 4)
    np.testing.assert_array_equal(kept, image)
    assert int(said["route"][0]) == 4
    whole = made.predict(variables, {"image": image[None] / np.float32(255), "force": 4})
    np.testing.assert_array_equal(whole["image"][0], image / np.float32(255))


def test_nothing_in_a_constant_picture_depends_on_the_place():
    """But for the place within a token, which random weights tell apart."""
    config, made, variables = system()
    image = np.full((120, 148, 3), 0.4, np.float32)
    restored, _ = Streamer(made, variables, config.tiles)(image, 1)
    step = made.parts.step
    cells = restored.reshape(120 // step, step, 148 // step, step, 3)
    assert np.ptp(cells, (0, 2)).max() < 1e-4


def test_heads_of_the_joint_stage_are_the_experts_of_the_system():
    config, made, variables = system()
    engine = task.make_engine(config)
    x = jnp.asarray(np.stack([picture(32, 32, seed) for seed in range(4)]))[None]
    together = joint.outputs(engine.bare, variables["params"], x, (1, 1, 1, 1))
    shared = experts.flatten(variables["params"]["backbone"])
    for k in range(4):
        own = {n: leaf[k] for n, leaf in experts.flatten(variables["params"]["experts"]).items()}
        params = experts.unflatten({**shared, **own})
        alone = engine.bare.apply({"params": params}, x[0, k : k + 1])
        np.testing.assert_allclose(together[0, k], alone[0], atol=1e-5)


def test_candidates_are_the_errors_of_every_route():
    config, made, variables = system()
    engine = task.make_engine(config)
    image = np.round(picture(32, 32)[None] * 255) / np.float32(255)
    found = candidates.candidates(engine, variables, jnp.asarray(image), jnp.asarray(image))
    assert found["mse"].shape == (1, 5) and found["mse"][0, 4] == 0
    assert (found["mse"][0, :4] > 0).all()


def test_pooled_tokens_are_means_of_their_cells():
    tokens = jnp.arange(24, dtype=jnp.float32).reshape(1, 24, 1)
    position = np.stack(np.mgrid[:4, :6], -1).reshape(-1, 2)
    means, count = convnet.pool(tokens, position, jnp.ones((1, 24)), 2)
    np.testing.assert_array_equal(count[0], [6, 6, 6, 6])
    np.testing.assert_allclose(means[0, :, 0], [4, 7, 16, 19])  # by hand
    same, _ = convnet.pool(tokens, position, jnp.ones((1, 24)), 5)
    np.testing.assert_array_equal(same, tokens)


def test_slots_must_belong_to_heads():
    with pytest.raises(errors.InputError, match="how many slots"):
        joint.spans((1, 2))


def test_an_unknown_block_is_named_with_its_neighbours():
    config = weather.get_config("tiny")
    config.model.block = "convs"
    with pytest.raises(errors.InputError, match="model.block.*conv"):
        task.make(config).init(KEY, {})
