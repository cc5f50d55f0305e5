"""A canvas is the blending of whole images, and keeps a few rows of it."""

import tracemalloc

import numpy as np
import pytest

from wxjax.ops import canvas, tile

SIZES = [(64, 64), (65, 63), (40, 200), (20, 30), (1, 1), (97, 1)]


@pytest.mark.parametrize("overlap", [0, 8, 16])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_cover_cuts_the_tiles_of_the_whole_image(size, overlap):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    whole = tile.cut(image, tile=32, overlap=overlap, pad_to_bucket=False)
    cover = canvas.Cover(*size, 32, overlap)
    assert cover.count == whole["count"] and cover.extent == tuple(whole["grid"])
    for i in range(cover.count):
        np.testing.assert_array_equal(cover.take(image, [i], 2)[0], whole["tiles"][i])
        assert cover.corner(i) == tuple(whole["corner"][i])


@pytest.mark.parametrize("blend", tile.WINDOWS)
@pytest.mark.parametrize("overlap", [0, 8, 16])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_canvas_blends_like_the_whole_image(size, overlap, blend):
    cover = canvas.Cover(*size, 32, overlap)
    outputs = np.random.default_rng(0).random((cover.count, 32, 32, 3), np.float32)
    corner = np.array([cover.corner(i) for i in range(cover.count)])
    expected = tile.assemble(outputs, corner, size=size, overlap=overlap, blend=blend)
    drawn = canvas.Canvas(cover, np.empty((*size, 3), np.float32), blend)
    for output in outputs:
        drawn.add(output)
    np.testing.assert_allclose(drawn.close(), expected, atol=1e-6)


def test_rows_are_finished_as_soon_as_no_tile_can_touch_them():
    cover, seen = canvas.Cover(64, 32, 32, 16), []
    drawn = canvas.Canvas(
        cover,
        np.empty((64, 32, 1), np.uint8),
        finish=lambda x: (seen.append(len(x)), np.rint(x * 50))[1],
    )
    for i in range(cover.count):
        drawn.add(np.full((32, 32, 1), i + 1, np.float32))
    assert seen == [16, 16]
    # row 40 is half a pixel past the middle of the overlap of the tiles 2 and 3
    assert drawn.close()[[0, 40, 63], 0, 0].tolist() == [50, 127, 150]


def test_a_tall_image_costs_no_more_than_its_own_bytes():
    cover = canvas.Cover(8192, 64, 64, 16)
    out = np.empty((8192, 64, 3), np.uint8)
    output = np.ones((64, 64, 3), np.float32)
    tracemalloc.start()
    drawn = canvas.Canvas(cover, out, finish=lambda x: np.rint(x * 255))
    for _ in range(cover.count):
        drawn.add(output)
    drawn.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.3 * out.nbytes and (out == 255).all()
