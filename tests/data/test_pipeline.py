"""Batches: a function of seed and step, whatever is stopped, resumed or read ahead."""

import numpy as np
import pytest

from wxjax import errors
from wxjax.data import pipeline, sources, transforms


class Ramps:
    """Pictures in which a pixel's value is its place; the target is the image plus 100."""

    def __init__(self, count=7, size=(40, 30), target=True):
        self.count, self.size, self.target = count, size, target

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        h, w = self.size
        y, x = np.mgrid[:h, :w]
        image = np.stack([y, x, np.full_like(x, i)], -1).astype(np.uint8)
        example = {
            **sources.labels("rain", i / self.count, i),
            "id": str(i),
            "scene": str(i),
            "dataset": "ramps",
            "image": image,
        }
        return {**example, "target": image + 100} if self.target else example

    def severities(self):
        return np.arange(self.count, dtype=np.float32) / self.count

    def __repr__(self):
        return f"ramps({self.count}, {self.size})"


def batches(source=None, **changes):
    options = dict(crops=(8, 16), batch_size=3, seed=5, num_steps=10, threads=0)
    return pipeline.train_batches(source or Ramps(), **{**options, **changes})


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_batch_holds_float_pictures_and_no_text():
    batch = next(batches())
    assert set(batch) == set(transforms.ARRAYS)
    assert batch["image"].dtype == batch["target"].dtype == np.float32
    assert batch["image"].shape == (3, 8, 8, 3) and 0 <= batch["image"].min() <= 1
    for name, dtype in (("degradation", "int32"), ("index", "int32"), ("severity", "float32")):
        assert batch[name].shape == (3,) and batch[name].dtype == dtype


def test_image_and_target_show_the_same_window():
    for _, batch in zip(range(12), batches(), strict=False):
        difference = batch["target"] - batch["image"]
        np.testing.assert_allclose(difference, 100 / 255, atol=1e-6)


def test_the_crop_grows_in_equal_parts_and_stays():
    it = batches(crops=(8, 12, 16), num_steps=6)
    sizes = [next(it)["image"].shape[1] for _ in range(9)]
    assert sizes == [8, 8, 12, 12, 16, 16, 16, 16, 16]


def test_an_epoch_holds_every_example_once():
    it = batches(batch_size=7, num_steps=3)
    epochs = [next(it)["index"].tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs) and epochs[0] != epochs[1]


@pytest.mark.parametrize("emphasis", [0.0, 1.0])
def test_threads_that_read_ahead_change_nothing(emphasis):
    alone, ahead = batches(emphasis=emphasis), batches(emphasis=emphasis, threads=3)
    for _ in range(12):
        same(next(alone), next(ahead))


def test_a_restored_iterator_goes_on_with_the_same_batches():
    first = batches(emphasis=0.5, threads=2)
    for _ in range(4):
        next(first)
    state = first.get_state()
    rest = [next(first) for _ in range(8)]
    second = batches(emphasis=0.5, threads=0)
    second.set_state(state)
    for batch in rest:
        same(batch, next(second))


def test_seeds_differ_and_a_seed_repeats():
    same(next(batches()), next(batches()))
    a, b = next(batches(seed=1)), next(batches(seed=2))
    assert (a["image"] != b["image"]).any()


def test_emphasis_prefers_severe_examples_late_and_only_then():
    stream = pipeline.Stream(Ramps(), seed=0, num_positions=7000, emphasis=1.0, late=0.5)
    early = [stream.example_at(i) for i in range(3500)]
    late = [stream.example_at(i) for i in range(3500, 7000)]
    assert np.bincount(early).tolist() == [500] * 7
    weights = 1 + np.arange(7) / 7
    np.testing.assert_allclose(np.bincount(late) / 3500, weights / weights.sum(), atol=0.025)


def test_emphasis_prefers_windows_with_edges():
    target = np.zeros((64, 64, 3), np.uint8)
    target[:, 32:] = np.random.default_rng(0).integers(0, 256, (64, 32, 3))
    example = {**sources.labels("rain", 0.5, 0), "image": target, "target": target, "id": "x"}

    def busy(emphasis):
        window = transforms.Window(
            (16,), num_steps=1, batch_size=1, seed=0, augment="none", emphasis=emphasis, late=0
        )
        return np.mean([window.map_with_index(i, example)["target"].std() for i in range(200)])

    assert busy(1.0) > 1.2 * busy(0.0)


@pytest.mark.parametrize(
    ("augment", "views"), [("none", 1), ("flip", 2), ("rotate", 4), ("dihedral", 8)]
)
def test_augmentations_are_the_ones_named(augment, views):
    source = Ramps(count=1, size=(6, 6))
    it = batches(source, crops=(6,), batch_size=1, augment=augment)
    seen = {next(it)["image"].tobytes() for _ in range(120)}
    assert len(seen) == views


def test_a_picture_smaller_than_the_crop_is_continued_by_reflection():
    batch = next(batches(Ramps(size=(5, 30)), crops=(16,), augment="none"))
    rows = np.rint(batch["image"][0, :, 0, 0] * 255).astype(int)
    assert rows.tolist() == [3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2][: len(rows)] or (
        set(np.abs(np.diff(rows))) == {1} and set(rows) == set(range(5))
    )
    one = transforms.continued(np.full((1, 1, 6), 7, np.uint8), 4)
    assert one.shape == (4, 4, 6) and np.all(one == 7)


def test_wrong_options_are_named():
    with pytest.raises(errors.InputError, match="Did you mean 'flip'"):
        batches(augment="flipp")
    with pytest.raises(errors.InputError, match="config.data.crops"):
        batches(crops=())
    with pytest.raises(errors.InputError, match="config.data.batch_size=0"):
        batches(batch_size=0)
    with pytest.raises(errors.InputError, match="config.data.emphasis=2"):
        batches(emphasis=2)
    with pytest.raises(errors.InputError, match="training needs pairs"):
        next(batches(Ramps(target=False)))
