"""Weather drawn on the device: nothing drawn is nothing changed, more is worse, no NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.data.synthesis import pools
from wxjax.ops import color
from wxjax.systems.weather import degrade

KEY = jax.random.key(3)
SIDE = 32


@pytest.fixture(scope="module")
def layers():
    return pools.make(0, streaks=6, flakes=6, drops=4, side=64)


@pytest.fixture(scope="module")
def program(layers):
    def run(key, clean, depth, shares, strength):
        return degrade.degrade(key, clean, depth, layers, shares, strength=strength)

    return jax.jit(run)


def scenes(count):
    rng = np.random.default_rng(1)
    coarse = rng.integers(30, 200, (count, 4, 4, 3), np.uint8)
    clean = coarse.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
    depth = np.broadcast_to(np.linspace(255, 0, SIDE, dtype=np.uint8)[:, None], (SIDE, SIDE))
    return clean, np.broadcast_to(depth, (count, SIDE, SIDE))


def shares(kinds):
    return np.eye(len(degrade.KINDS), dtype=np.float32)[kinds]


def test_every_kind_is_drawn_as_asked_in_range_and_on_eight_bits(program):
    kinds = np.arange(len(degrade.KINDS)).repeat(3)
    sample = program(KEY, *scenes(len(kinds)), shares(kinds), 1.0)
    np.testing.assert_array_equal(sample.kind, kinds)
    image, target = np.asarray(sample.image), np.asarray(sample.target)
    assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1
    assert np.isfinite(target).all() and target.min() >= 0 and target.max() <= 1
    np.testing.assert_allclose(image * 255, np.round(image * 255), atol=1e-3)
    error = ((image - target) ** 2).mean((1, 2, 3))
    assert (error[kinds == 0] == 0).all()  # clean: whatever its noise, the target has it too
    for name in ("haze", "rain", "snow", "veiled_rain", "two"):
        assert (error[kinds == degrade.KINDS.index(name)] > 1e-4).all(), name


def test_nothing_drawn_is_the_picture_on_eight_bits(program):
    kinds = np.arange(len(degrade.KINDS))
    sample = program(KEY, *scenes(len(kinds)), shares(kinds), 0.0)
    np.testing.assert_allclose(sample.image, color.round_to_8bit(sample.target), atol=1e-6)


def test_one_key_draws_one_batch_and_another_key_another(program):
    kinds = np.array([1, 2, 4])
    args = *scenes(3), shares(kinds), 1.0
    first, again = (program(KEY, *args).image for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = program(jax.random.key(4), *args).image
    assert (np.abs(np.asarray(other) - np.asarray(first)).max((1, 2, 3)) > 0.02).all()


@pytest.mark.parametrize("kind", ["haze", "rain", "snow"])
def test_more_strength_is_further_from_the_picture(layers, kind):
    kinds = np.full(8, degrade.KINDS.index(kind))
    draws = degrade.Draws(darken=0.0, noise=0.0, jpeg=0.0, blur=0.0)  # the weather alone

    @jax.jit
    def severity(clean, depth, shares, strength):
        options = dict(draws=draws, strength=strength)
        return degrade.degrade(KEY, clean, depth, layers, shares, **options).severity

    args = *scenes(8), shares(kinds)
    errors = [np.asarray(severity(*args, s)) for s in (0.25, 0.5, 1.0)]
    assert (errors[0] <= errors[1] + 0.02).all() and (errors[1] <= errors[2] + 0.02).all()
    assert np.mean(errors[2]) > np.mean(errors[0]) + 0.05


def test_all_at_once_is_as_in_turn(layers):
    kinds = np.arange(len(degrade.KINDS))
    args = KEY, *scenes(len(kinds)), layers, jnp.asarray(shares(kinds))
    key, clean, depth, *rest = args

    def run(clean, depth, in_turn):
        return degrade.degrade(key, clean, depth, *rest, in_turn=in_turn)

    program = jax.jit(run, static_argnums=2)
    turn, once = program(clean, depth, True), program(clean, depth, False)
    near = np.abs(np.asarray(turn.image) - np.asarray(once.image)) <= 1 / 255 + 1e-6
    assert near.mean() > 0.99  # a rounding here and there falls the other way


def test_haze_follows_the_scattering_law():
    x = jnp.full((SIDE, SIDE, 3), 0.2)
    depth = jnp.zeros((SIDE, SIDE), jnp.uint8)
    draws = degrade.Draws(typical=1.0)
    far = degrade.haze_over(KEY, x, depth + 255, draws, False, 50.0)
    near = degrade.haze_over(KEY, x, depth, draws, False, 0.0)
    np.testing.assert_allclose(near, x, atol=1e-6)
    assert np.ptp(np.asarray(far), (0, 1)).max() < 1e-3 and far.min() > 0.6  # the airlight alone


def test_jpeg_of_a_plain_picture_is_the_picture():
    x = jnp.full((16, 16, 3), 128 / 255)
    np.testing.assert_allclose(degrade.jpeg(KEY, x), x, atol=1e-4)


def test_a_reflected_index_stays_inside():
    found = degrade.reflect(jnp.arange(-20, 20), 5)
    np.testing.assert_array_equal(found[20:30], [0, 1, 2, 3, 4, 3, 2, 1, 0, 1])
    assert found.min() == 0 and found.max() == 4
