"""Fields: sizes, starts, grids against slow references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs import tod
from wxjax.systems.tod import codes, fields, grids


def model(**changes):
    config = tod.get_config().model
    config.update(changes)
    return FrozenConfigDict(config.to_dict())


def count(tree) -> int:
    return sum(np.size(x) for x in jax.tree.leaves(tree))


SOURCE = dict(time_code="harmonic", time_harmonics=4, xy_code="origin", xy_harmonics=4, layers=6)


@pytest.mark.parametrize("activation, expected", [("siren", 26_883), ("relu", 22_723)])
def test_the_source_networks_have_their_sizes(activation, expected):
    field = fields.Field(model(field="mlp", film=False, activation=activation, **SOURCE), 96, 160)
    shapes = jax.eval_shape(field.init, jax.random.key(0), jnp.zeros((1, 2, 2)), jnp.zeros((1, 8)))
    assert count(jax.tree.map(lambda x: np.zeros(x.shape), shapes)) == expected


@pytest.mark.parametrize("downsample, size", [(1, (24, 32)), (2, (12, 16)), (4, (6, 8))])
def test_the_baseline_encoder_has_its_size(downsample, size):
    encoder = fields.Encoder(32, downsample)
    image = jnp.zeros((24, 32, 3))
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), image)
    assert sum(np.prod(x.shape) for x in jax.tree.leaves(shapes)) == 7_408
    assert jax.eval_shape(encoder.apply, shapes, image).shape == (*size, 32)


def test_siren_starts_within_its_bounds():
    head = fields.Head(64, 6, activation="siren", film=False)
    params = head.init(jax.random.key(0), jnp.zeros((1, 2, 18)), jnp.zeros((1, 8)))["params"]
    first, second = (np.abs(params[f"layer_{i}"]["kernel"]).max() for i in (0, 1))
    assert 0.9 / 26 < first <= 1 / 26
    assert 0.9 * np.sqrt(6 / 64) / 30 < second <= np.sqrt(6 / 64) / 30


def test_film_starts_as_the_identity():
    head = fields.Head(16, 2, film=True)
    x, code = jnp.ones((2, 3, 5)), jnp.array([[0.0] * 4, [3.0] * 4])
    params = head.init(jax.random.key(0), x, code)
    first, second = head.apply(params, x, code)
    np.testing.assert_allclose(first, second, atol=0.05)
    moved = jax.tree.map(jnp.copy, params)
    moved["params"]["film_out"]["kernel"] += 0.1
    first, second = head.apply(moved, x, code)
    assert np.abs(first - second).max() > 0.05


def test_the_sampler_is_the_picture_at_centres_and_bilinear_between():
    picture = jnp.asarray(np.random.default_rng(0).uniform(size=(5, 7, 2)), jnp.float32)
    y, x = np.mgrid[:5, :7].reshape(2, -1)
    np.testing.assert_allclose(
        grids.bilinear(picture, codes.centres(y, x, 5, 7)), picture.reshape(-1, 2), atol=1e-5
    )
    places = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, size=(40, 2)), jnp.float32)
    for place, found in zip(places, grids.bilinear(picture, places), strict=True):
        row = np.clip((place[1] + 1) / 2 * 5 - 0.5, 0, 4)
        column = np.clip((place[0] + 1) / 2 * 7 - 0.5, 0, 6)
        i, j = int(min(row, 3)), int(min(column, 5))
        a, b = row - i, column - j
        expected = (1 - a) * ((1 - b) * picture[i, j] + b * picture[i, j + 1])
        expected += a * ((1 - b) * picture[i + 1, j] + b * picture[i + 1, j + 1])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_whole_picture_of_a_grid_is_its_samples():
    grid = grids.Dense(12, 20, levels=3, channels=2)
    y, x = np.mgrid[:12, :20].reshape(2, -1)
    places = codes.centres(y, x, 12, 20)
    params = grid.init(jax.random.key(0), places)
    whole = grid.apply(params, 12, 20, method="whole")
    np.testing.assert_allclose(whole.reshape(240, -1), grid.apply(params, places), atol=1e-6)
    assert [v.shape for v in params["params"].values()] == [(3, 5, 2), (6, 10, 2), (12, 20, 2)]


def test_hash_rows_are_those_of_the_paper():
    corners = jnp.array([[3, 5], [100, 7]])
    assert grids.hash_index(corners, (17, 17), 15)[0] == 3 + 5 * 17  # a level that fits
    big = (1025, 1025)
    expected = [(3 ^ (5 * 2654435761 % 2**32)) % 2**15, (100 ^ (7 * 2654435761 % 2**32)) % 2**15]
    assert grids.hash_index(corners, big, 15).tolist() == expected
    third = (3 ^ (5 * 2654435761 % 2**32) ^ (2 * 805459861 % 2**32)) % 2**10
    assert grids.hash_index(jnp.array([[3, 5, 2]]), (1025, 1025, 12), 10)[0] == third


def test_a_hash_grid_in_time_goes_round():
    grid = grids.Hash(32, levels=3, log2_size=8, times=4)
    places = jnp.array([[0.1, -0.4], [0.1, -0.4]])
    params = grid.init(jax.random.key(0), places, jnp.array([0.0, 0.5]))
    first, last = grid.apply(params, places, jnp.array([0.0, 0.999999]))
    np.testing.assert_allclose(first, last, atol=1e-5)
