"""What each structural loss sees, and what it is blind to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.losses import structure

SIZE = 48
SEED = jax.random.uniform(jax.random.key(0), (1, 6, 6, 3))
CLEAN = jax.image.resize(SEED, (1, SIZE, SIZE, 3), "cubic")
NOISE = 0.1 * jax.random.normal(jax.random.key(1), CLEAN.shape)

# Compiled, as in training: uncompiled, every tap of every filter is a program of its own.
edge, direction = jax.jit(structure.edge), jax.jit(structure.direction)
flake_mask = jax.jit(structure.flake_mask, static_argnames="kind")
flakes = jax.jit(structure.flakes)


def streaks(degrees, strength=0.3):
    """Lines that run at `degrees` against the row axis, anticlockwise on the screen."""
    y, x = np.mgrid[:SIZE, :SIZE]
    a = np.deg2rad(degrees)
    wave = np.sin(2 * np.pi * (x * np.sin(a) + y * np.cos(a)) / 7)
    return jnp.asarray(strength * np.maximum(wave, 0), jnp.float32)[None, :, :, None] * jnp.ones(3)


def flake(radius, level=0.4, at=(20, 24)):
    y, x = np.mgrid[:SIZE, :SIZE]
    disc = (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2
    return jnp.asarray(level * disc, jnp.float32)[None, :, :, None] * jnp.ones(3)


def test_an_edge_that_moved_costs_and_a_change_of_brightness_does_not():
    step = jnp.zeros((1, 16, 16, 3)).at[:, :, 8:].set(1.0)
    np.testing.assert_allclose(edge(step + 0.2, step), 0, atol=1e-6)
    # Sobel of a step of 1 is 1/2 in two columns of sixteen; moved by two it counts twice.
    moved = jnp.roll(step, 2, axis=2).at[:, :, :2].set(0)
    assert float(edge(moved, step)[0]) == pytest.approx(4 * 0.5 / 16 / 2, rel=1e-5)


@pytest.mark.parametrize("degrees", [0, 60, 90, 135])
def test_leftover_rain_costs_more_the_more_is_left(degrees):
    rainy = CLEAN + streaks(degrees)
    left = [CLEAN + streaks(degrees, s) for s in (0.0, 0.1, 0.3)]
    values = [float(direction(v, CLEAN, rainy)[0]) for v in left]
    assert values[0] == 0 and 0 < values[1] < values[2]
    assert values[2] == pytest.approx(3 * values[1], rel=0.1)  # an amplitude, not an energy


def test_lines_across_the_rain_are_not_its_business():
    rainy = CLEAN + streaks(60)
    assert direction(CLEAN + streaks(150), CLEAN, rainy)[0] == 0
    assert direction(CLEAN + streaks(60), CLEAN, rainy)[0] > 0.01


def test_a_residual_without_direction_costs_next_to_nothing():
    rainy = CLEAN + streaks(60)
    noisy = direction(CLEAN + NOISE, CLEAN, rainy)[0]
    same_energy = direction(CLEAN + streaks(60, 0.25), CLEAN, rainy)[0]
    assert noisy < 0.15 * same_energy
    y, x = np.mgrid[:SIZE, :SIZE]
    rings = jnp.asarray(np.sin(np.hypot(y - 23.5, x - 23.5)), jnp.float32)[None, :, :, None]
    assert direction(CLEAN + 0.2 * rings, CLEAN, rainy)[0] < 1e-3


def test_without_rain_in_the_input_there_is_no_direction_to_punish():
    assert direction(CLEAN + streaks(60), CLEAN, CLEAN)[0] == 0


@pytest.mark.parametrize("kind", ["log", "dog"])
def test_the_mask_finds_a_flake_and_leaves_the_rest(kind):
    mask = flake_mask(jnp.full((1, SIZE, SIZE, 3), 0.4) + flake(3), kind=kind)
    assert mask[0, 20, 24, 0] > 0.9
    assert mask[0, 40:, 40:].max() < 1e-3
    assert mask.min() >= 0 and mask.max() <= 1
    dark = flake_mask(jnp.full((1, SIZE, SIZE, 3), 0.6) - flake(3), kind=kind)
    assert dark[0, 20, 24, 0] == 0


def test_an_error_under_a_flake_counts_and_one_beside_it_does_not():
    snowy = jnp.full((1, SIZE, SIZE, 3), 0.4) + flake(3)
    clean = jnp.full((1, SIZE, SIZE, 3), 0.4)
    under = flakes(clean + flake(3, 0.2), clean, snowy)[0]
    beside = flakes(clean + flake(3, 0.2, at=(40, 8)), clean, snowy)[0]
    assert under > 5 * beside


def test_an_unknown_mask_is_named():
    with pytest.raises(errors.InputError, match="kind='lob': .* Did you mean 'log'"):
        structure.flake_mask(CLEAN, kind="lob")


def test_dissimilarity_is_zero_at_equality():
    np.testing.assert_allclose(structure.dissimilarity(CLEAN, CLEAN), 0, atol=1e-6)
    assert structure.dissimilarity(CLEAN + NOISE, CLEAN)[0] > 0.1
