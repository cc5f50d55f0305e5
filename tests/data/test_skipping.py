"""Bad pictures in training: skipped, counted and listed, and too many of them stop the run."""

import numpy as np
import pytest

from wxjax import errors
from wxjax.data import pipeline, skipping
from wxjax.systems.reid.data import identities


class Source:
    """Grey pictures, some of which cannot be read."""

    def __init__(self, count: int, bad: set[int]):
        self.count, self.bad = count, bad
        self.pids, self.cameras = np.arange(count) // 4, np.arange(count) % 2

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        if i in self.bad:
            raise errors.InputError(f"cannot read 'p{i}.png': damaged (cut).")
        grey = np.full((16, 16, 3), i, np.uint8)
        return {"image": grey, "target": grey, "degradation": np.int32(0), "id": str(i),
                "severity": np.float32(0.5), "index": np.int32(i), "present": np.ones(1, bool),
                "camera": np.int32(0), "scene": np.int32(0), "pid": int(self.pids[i])}  # fmt: skip

    def items(self):
        return {str(i): "0" for i in range(self.count)}


def batches(source, **options):
    options = dict(crops=[16], batch_size=4, seed=0, num_steps=40, augment="none") | options
    return pipeline.train_batches(source, **options)


def test_a_bad_picture_is_skipped_and_said_once(capsys):
    source = Source(40, {7, 19})
    found = batches(source)
    seen = np.concatenate([next(found)["index"] for _ in range(40)])
    assert not {7, 19} & set(seen.tolist()) and len(set(seen.tolist())) == 38
    said = capsys.readouterr().err
    assert said.count("'p7.png'") == 1 and said.count("'p19.png'") == 1
    assert "(2 of 40; the run stops above 5%)" in said


def test_the_stand_in_depends_on_seed_and_position_alone():
    one, two = batches(Source(40, {7}), threads=0), batches(Source(40, {7}), threads=2)
    for _ in range(15):
        np.testing.assert_array_equal(next(one)["index"], next(two)["index"])


def test_more_than_the_share_stops_with_the_list():
    with pytest.raises(errors.InputError, match=r"3 of 40 examples cannot be read, over 5%") as e:
        found = batches(Source(40, {1, 2, 3, 4}))
        for _ in range(30):
            next(found)
    assert str(e.value).count("damaged") == 3 and "Cure" in str(e.value)


def test_a_shot_is_replaced_by_one_of_the_same_identity():
    source = Source(80, {5, 41})
    found = identities.IdentityStream(source, identities=4, instances=3, seed=0)
    for position in range(240):
        shot = found[position]
        assert shot["pid"] == found.names[shot["label"]] and shot["index"] not in source.bad
    assert set(found.tolerant.bad) == {5, 41}


def test_where_nothing_is_good_it_says_so():
    with pytest.raises(errors.InputError, match="no example can be read|over 100%"):
        skipping.Tolerant(Source(3, {0, 1, 2}), share=1.0).first([0, 1, 2])
