"""MoFME on whole images, in pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.mofme import get_config
from wxjax import errors, systems
from wxjax.evaluate.stream import Streamer
from wxjax.train import once

RNG = np.random.default_rng(0)


def made(**router):
    config = get_config("tiny")
    config.tiles.update(mode="global", tile=64, overlap=32)
    config.model.router.update(router)
    task = systems.make(config)
    noise = lambda path, x: x + 0.02 * jax.random.normal(jax.random.key(x.size), x.shape)

    def noisy():
        return jax.tree_util.tree_map_with_path(noise, task.init(jax.random.key(0), {}))

    return config, task, once.jit(noisy)()


def test_an_image_in_pieces_is_the_image_in_one():
    """Away from the pieces' borders the tail is blended, so far from exact; tokens are."""
    config, task, variables = made()
    image = RNG.random((96, 128, 3), np.float32)  # whole tiles at a stride of 32
    streamed, said = Streamer(task, variables, config.tiles)(image)
    whole = jax.jit(task.predict)(variables, {"image": jnp.asarray(image[None])})
    # Stem and tail see 16 pixels of a tile's border less: blended, the rest is equal.
    np.testing.assert_allclose(streamed, whole["image"][0], atol=3e-3)
    assert np.abs(streamed - np.asarray(whole["image"][0])).mean() < 3e-4
    np.testing.assert_allclose(said["gate_usage"], whole["gate_usage"], atol=2e-3)
    assert said["gate_count"].shape == (1, 2)


def test_one_tile_in_pieces_is_exact_and_padding_has_no_say():
    config, task, variables = made()
    image = RNG.random((64, 64, 3), np.float32)
    streamed, said = Streamer(task, variables, config.tiles)(image)
    whole = jax.jit(task.predict)(variables, {"image": jnp.asarray(image[None])})
    np.testing.assert_allclose(streamed, whole["image"][0], atol=1e-5)
    for name in ("gate_usage", "gate_count", "gate_histogram", "gate_entropy"):
        np.testing.assert_allclose(said[name], whole[name], atol=1e-5)


def test_experts_chosen_for_the_frame_are_refused():
    with pytest.raises(errors.InputError, match="router.level='frame'.*tiles.mode='local'"):
        made(level="frame")
