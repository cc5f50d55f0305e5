"""Tiles put back together are the image they were cut from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.ops import tile

SIZES = [(64, 64), (65, 63), (40, 200), (20, 30), (1, 1), (1, 97)]


@pytest.mark.parametrize("blend", tile.WINDOWS)
@pytest.mark.parametrize("overlap", [0, 8, 16])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_identity_is_kept(size, overlap, blend):
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    same, said = tile.through(
        lambda batch: {"tiles": batch["tiles"], "said": 1},
        image,
        tile=32,
        overlap=overlap,
        blend=blend,
    )
    np.testing.assert_allclose(same, image, atol=1e-6)
    assert said == {"said": 1}


@pytest.mark.parametrize("overlap", [1, 7, 16])
def test_neighbouring_windows_sum_to_one(overlap):
    window = tile.window("hann", 32, overlap)
    np.testing.assert_allclose(window[-overlap:] + window[:overlap], 1, atol=1e-6)
    assert window.min() > 0


def test_buckets_grow_by_at_most_half():
    sizes = [tile.bucket(n) for n in range(1, 2000)]
    assert all(size >= n for n, size in enumerate(sizes, 1))
    assert all(size <= max(n + 1, 1.51 * n) for n, size in enumerate(sizes, 1))
    assert [tile.bucket(n) for n in (1, 2, 3, 4, 5, 6, 7, 9)] == [1, 2, 3, 4, 6, 6, 8, 12]
    assert len({tile.bucket(n) for n in range(1, 129)}) == 14


def test_host_and_device_blend_alike():
    rng = np.random.default_rng(1)
    batch = tile.cut(np.zeros((70, 90, 3), np.float32), tile=32, overlap=8, pad_to_bucket=False)
    tiles = rng.random(batch["tiles"].shape, np.float32)
    host = tile.assemble(tiles, batch["corner"], size=tuple(batch["grid"].tolist()), overlap=8)
    device = tile.assemble_on_device(jnp.asarray(tiles), batch["corner"], overlap=8)
    np.testing.assert_allclose(device, host, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 9])
def test_mapping_in_batches_skips_padding_and_nothing_else(batch_size):
    x = jnp.arange(7.0)[:, None] + 1
    y = jax.jit(lambda x, n: tile.map_tiles(lambda t: 2 * t, x, n, batch_size=batch_size))(x, 5)
    np.testing.assert_array_equal(y[:5], 2 * x[:5])
    first_skipped = -(-5 // batch_size) * batch_size
    np.testing.assert_array_equal(y[first_skipped:], 0 * x[first_skipped:])


def test_an_unknown_window_is_named_with_its_neighbour():
    with pytest.raises(errors.InputError, match="'han': expected one of .*hann.* Did you"):
        tile.window("han", 32, 8)


def test_an_overlap_over_half_a_tile_is_refused():
    with pytest.raises(errors.InputError, match="overlap=17: expected 0 to half of tiles.tile=32"):
        tile.window("hann", 32, 17)
