"""Photographs stored as bytes: the same crop for the same draw, and its own depth."""

import numpy as np
import pytest

from wxjax import errors
from wxjax.data import embedded, foreign, images, photographs
from wxjax.data.synthesis import pools


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    names = []
    for name in ("coffee", "rocket"):
        place = embedded._locate(name, embedded.PHOTOGRAPHS[name].file)
        names.append(place)
    photographs.build(names, folder)
    return photographs.Photographs(folder)


def test_pictures_come_back_as_they_were(stored):
    path = embedded._locate("coffee", embedded.PHOTOGRAPHS["coffee"].file)
    plain = np.rint(images.to_rgb(images.read(path)) * 255).astype(np.uint8)
    np.testing.assert_array_equal(stored.picture(0), plain)
    assert len(stored) == 2 and list(stored.items()) == ["coffee.png", "rocket.jpg"]


def test_depths_lie_in_a_byte_and_differ(stored):
    first, second = stored.depth(0, 0), stored.depth(0, 1)
    assert first.shape == (100, 150) and first.min() >= 12 and first.max() == 255
    assert np.abs(first.astype(int) - second).mean() > 5


def test_a_batch_depends_on_seed_and_number_alone(stored):
    crops = photographs.Crops(stored, batch=2, slots=3, size=32, seed=5)
    again = photographs.Crops(stored, batch=2, slots=3, size=32, seed=5)
    batch, other = crops[7], crops[8]
    np.testing.assert_array_equal(batch["clean"], again[7]["clean"])
    np.testing.assert_array_equal(batch["depth"], again[7]["depth"])
    assert batch["clean"].shape == (2, 3, 32, 32, 3) and batch["depth"].shape == (2, 3, 32, 32)
    assert (batch["clean"] != other["clean"]).any()


def test_a_selection_by_name_holds_no_other(stored):
    one = photographs.Photographs(stored.folder, ["rocket.jpg"])
    assert [row["name"] for row in one.rows] == ["rocket.jpg"]
    np.testing.assert_array_equal(one.picture(0), stored.picture(1))


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="expected stored photographs"):
        photographs.Photographs(tmp_path)


@pytest.mark.parametrize("kind", foreign.KINDS)
def test_what_is_no_photograph_is_drawn_by_seed(kind):
    one, same = (foreign.draw(kind, 48, np.random.default_rng(2)) for _ in range(2))
    other = foreign.draw(kind, 48, np.random.default_rng(3))
    np.testing.assert_array_equal(one, same)
    assert one.shape == (48, 48, 3) and one.dtype == np.uint8 and (one != other).any()


def test_layers_depend_on_seed_and_number_alone():
    few, more = (pools.make(1, streaks=n, flakes=n, drops=n, side=48) for n in (2, 3))
    for a, b in zip(few, more, strict=True):
        np.testing.assert_array_equal(a, b[:2])
    other = pools.make(2, streaks=2, flakes=2, drops=2, side=48)
    assert (other.streaks != few.streaks).any()


def test_streaks_lie_along_their_direction():
    """Of a streak that falls straight the rows are alike and the columns are not."""
    kernel = pools.tapered(40.0, 1.0, 0.0)
    column = kernel[:, kernel.shape[1] // 2]
    assert (column > 0.5).sum() >= 28 and (kernel.max(0) > 0.5).sum() <= 3
