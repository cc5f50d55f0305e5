"""Identity sampling, shots of synthetic people, and the layouts of the field."""

import collections
import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from wxjax import errors
from wxjax.systems.reid.data import gallery, identities, shots
from wxjax.systems.reid.data.pedestrians import Pedestrians

OPTIONS = dict(identities=3, instances=4, seed=5)


@pytest.fixture(scope="module")
def people():
    return Pedestrians("train", identities=7, takes=3)


def test_a_batch_holds_so_many_identities_and_shots(people):
    stream = identities.IdentityStream(people, **OPTIONS)
    for number in range(5):
        places = [stream.at(12 * number + slot) for slot in range(12)]
        counts = collections.Counter(label for label, _ in places)
        assert sorted(counts.values()) == [4, 4, 4]
        assert all(stream.names[label] == people.pids[place] for label, place in places)
        assert len({place for _, place in places}) == 12  # six shots or more each: none twice
        for label in counts:
            cameras = {int(people.cameras[p]) for name, p in places if name == label}
            assert len(cameras) == len(set(people.cameras[people.pids == stream.names[label]]))


def test_every_identity_comes_once_an_epoch(people):
    stream = identities.IdentityStream(people, **OPTIONS)
    epoch = [stream.at(position)[0] for position in range(24)]
    assert max(collections.Counter(epoch).values()) == 4


def test_batches_depend_on_the_position_alone(people):
    options = dict(identities=3, instances=2, seed=1)
    batches = identities.train_batches(people, **options)
    first = [next(batches) for _ in range(3)]
    again = identities.train_batches(people, **options, threads=0)
    next(again)
    state = again.get_state()
    second = next(again)
    again.set_state(state)
    third = next(again)
    for other in (second, third):
        np.testing.assert_array_equal(first[1]["image"], other["image"])
    assert first[0]["image"].shape == (6, 3, 128, 64, 3) and first[0]["image"].dtype == np.float32
    assert 0 <= first[0]["image"].min() and first[0]["image"].max() <= 1
    assert set(first[0]) == set(identities.ARRAYS)


def test_geometry_is_one_for_all_bands():
    # The same picture in three bands stays the same up to each band's own brightness and noise.
    change = identities.Shot(seed=0, flip=0.5, shift=4, brightness=(1.0, 1.0), erase=0.0)
    image = np.tile(
        np.random.default_rng(0).integers(0, 256, (1, 32, 16, 3), np.uint8), (3, 1, 1, 1)
    )
    element = {name: np.int32(0) for name in identities.ARRAYS} | {"image": image}
    moved = 0
    for index in range(8):
        out = change.map_with_index(index, element)["image"]
        np.testing.assert_array_equal(out[0], out[1])
        np.testing.assert_array_equal(out[0], out[2])
        moved += not np.array_equal(np.round(255 * out[0]), image[0])
    assert moved
    erased = identities.erased(np.zeros((3, 32, 16, 3), np.float32), np.random.default_rng(1))
    hit = (erased > 0).any(-1)
    assert 0.02 < hit.mean() < 0.4 and (hit[0] == hit[1]).mean() > 0.99


def test_people_are_reproducible_and_their_bands_differ(people):
    again = Pedestrians("train", identities=7, takes=3)
    np.testing.assert_array_equal(people[4]["image"], again[4]["image"])
    other = Pedestrians("train", identities=7, takes=3, seed=1)
    assert np.abs(people[4]["image"].astype(int) - other[4]["image"]).mean() > 1
    image = people[0]["image"]
    assert image.shape == (3, 128, 64, 3)
    grey = image[1:].astype(int)
    assert np.ptp(grey, -1).max() == 0 and np.abs(grey[0] - grey[1]).mean() > 5
    test = Pedestrians("test", identities=7, takes=3)
    assert not set(test.pids) & set(people.pids)
    nights = [p["image"][0].mean() for p in map(people.__getitem__, range(len(people)))
              if p["attributes"]["light"] == "night"]  # fmt: skip
    days = [p["image"][0].mean() for p in map(people.__getitem__, range(len(people)))
            if p["attributes"]["light"] == "day"]  # fmt: skip
    assert np.mean(nights) < 0.6 * np.mean(days)


def draw(path: pathlib.Path, size=(10, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    value = sum(map(ord, path.name)) % 256
    Image.new("RGB", size, (value, 100, 50)).save(path)


def rgbnt201(root):
    for folder, who in (("train_171", range(1, 7)), ("test", range(7, 9))):
        for pid in who:
            for camera in (1, 2):
                for take in range(2):
                    for band in ("RGB", "NI", "TI"):
                        draw(root / folder / band / f"{pid:06d}_cam{camera}_0_{take:02d}.jpg")


def rgbnt100(root):
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        for camera in (1, 2):
            draw(root / "rgbir" / folder / f"0003_c{camera}_0000{camera}.jpg", (30, 20))


def msvr310(root):
    for folder in ("bounding_box_train", "query3", "bounding_box_test"):
        for scene in (1, 2):
            for band in ("vis", "ni", "th"):
                draw(root / folder / "0005" / band / f"0005_s{scene:03d}_v3_002.jpg")


def market(root):
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        for pid in ("0002", "-1", "0000"):
            draw(root / folder / f"{pid}_c3s1_000451_03.jpg")


def native(root):
    for folder in ("train", "query", "gallery"):
        names = ["a", "b"]
        for name in names:
            draw(root / folder / "RGB" / f"{name}.png")
        draw(root / folder / "TI" / "a.png")
        lines = ["name,pid,camid,scene", "a.png,4,0,7", "b.png,4,1,8"]
        (root / folder / "meta.csv").write_text("\n".join(lines))


EXPECTED = {
    "rgbnt201": (rgbnt201, 24, 8, {"both"}, (7, 0, -1)),
    "rgbnt100": (rgbnt100, 2, 4, {"query", "gallery"}, (3, 0, -1)),
    "msvr310": (msvr310, 2, 4, {"query", "gallery"}, (5, 3, 1)),
    "market": (market, 1, 3, {"query", "gallery"}, (2, 2, -1)),
    "folder": (native, 2, 4, {"query", "gallery"}, (4, 0, 7)),
}


@pytest.mark.parametrize("layout", EXPECTED)
def test_layouts_are_read(tmp_path, layout):
    make, train, test, roles, first = EXPECTED[layout]
    make(tmp_path)
    bands = ("rgb",) if layout == "market" else ("rgb", "nir", "tir")
    options = dict(modalities=bands, size=(16, 8))
    found = gallery.read(tmp_path, layout, "train", **options)
    tested = gallery.read(tmp_path, layout, "test", **options)
    assert len(found) == train and len(tested) == test
    assert set(tested.roles()) == roles
    shot = tested[0]
    assert (shot["pid"], int(shot["camera"]), int(shot["scene"])) == first
    assert shot["image"].shape == (len(bands), 16, 8, 3) and shot["image"].dtype == np.uint8
    if layout == "folder":
        assert tested[1]["present"].tolist() == [True, False, False]
        assert not tested[1]["image"][1:].any()
    if layout == "market":
        at = list(tested.pids[tested.roles() == "gallery"])
        assert sorted(at) == [0, 2]  # the distractor stays, junk does not
    if layout == "rgbnt100":
        assert shot["present"].all()
    assert len(tested.items()) == test


def test_an_npz_is_read(tmp_path):
    rng = np.random.default_rng(0)
    arrays = dict(
        images=rng.integers(0, 256, (6, 3, 12, 12), np.uint8),
        pid=np.array([3, 3, 4, 4, 9, 9]), camid=np.array([0, 1] * 3),
        is_test=np.array([0, 0, 0, 0, 1, 1], bool),
    )  # fmt: skip
    np.savez(tmp_path / "set.npz", **arrays)
    found = gallery.read(tmp_path, "npz", "test", modalities=("a", "b", "c"), size=(16, 8))
    assert len(found) == 2 and found[1]["image"].shape == (3, 16, 8, 3)
    np.testing.assert_array_equal(found[0]["image"][..., 0], found[0]["image"][..., 2])
    with pytest.raises(errors.InputError, match="has 3 bands"):
        gallery.read(tmp_path, "npz", "test", modalities=("a",), size=(16, 8))


def test_identities_for_validation_are_kept_from_training(tmp_path):
    rgbnt201(tmp_path)
    config = ConfigDict(dict(name="rgbnt201", root=str(tmp_path), modalities=("rgb", "nir", "tir"),
                             size=(16, 8), held_out=0.34, seed=0))  # fmt: skip
    train, val = (shots.open(config, split) for split in ("train", "val"))
    assert not set(train.pids) & set(val.pids) and len(set(val.pids)) == 2
    assert len(train) + len(val) == 24 and len(train.items()) == len(train)
    stream = identities.IdentityStream(train, identities=2, instances=2, seed=0)
    assert stream.names.tolist() == sorted(set(train.pids))


def test_a_query_finds_its_other_bands(tmp_path):
    rgbnt201(tmp_path)
    path = tmp_path / "test" / "NI" / "000007_cam1_0_00.jpg"
    found = gallery.one_shot(str(path), ("rgb", "nir", "tir"))
    assert [f.parent.name for f in found.files] == ["RGB", "NI", "TI"] and found.pid == 7
    assert len(gallery.loose(tmp_path / "test", ("rgb", "nir", "tir"))) == 8
    pair = gallery.one_shot(f"rgb={path},tir={path}", ("rgb", "nir", "tir"))
    assert pair.files[1] is None and pair.files[2] == path
    draw(tmp_path / "flat" / "x.png")
    (alone,) = gallery.loose(tmp_path / "flat", ("rgb", "nir", "tir"))
    assert alone.files[1:] == (None, None) and alone.pid == gallery.UNKNOWN


def lone(root):
    rgbnt201(root)
    draw(root / "train_171" / "RGB" / "000099_cam1_0_00.jpg")


def unnamed(root):
    rgbnt201(root)
    for band in ("RGB", "NI", "TI"):
        draw(root / "train_171" / band / "holiday.jpg")


@pytest.mark.parametrize(
    "make, layout, message",
    [
        (msvr310, "rgbnt201", "or train, which rgbnt201 has; there is bounding"),
        (rgbnt201, "market", "market has one band"),
        (lone, "rgbnt201", "000099_cam1_0_00 has no picture in nir; rgbnt201 has all bands"),
        (unnamed, "rgbnt201", "holiday.jpg': the name does not say who"),
        (lambda root: None, "npz", "holds 0 npz files"),
        (lambda root: native(root) or (root / "train" / "meta.csv").write_text("name,pid\na,1"),
         "folder", "no column camid"),
    ],
)  # fmt: skip
def test_a_wrong_layout_is_named(tmp_path, make, layout, message):
    make(tmp_path)
    with pytest.raises(errors.InputError, match=message) as caught:
        gallery.read(tmp_path, layout, "train", modalities=("rgb", "nir", "tir"), size=(16, 8))
    assert "\n" not in str(caught.value)


class Few:
    """Three identities, one of them with one shot."""

    pids, cameras = np.array([1, 1, 2, 2, 3]), np.array([0, 1, 0, 1, 0])


def test_an_identity_with_one_image_is_named():
    with pytest.raises(errors.InputError, match="1 identities have one image, first 3: a triplet"):
        identities.IdentityStream(Few(), identities=2, instances=2, seed=0)


def test_too_many_identities_a_batch_are_named(people):
    with pytest.raises(errors.InputError, match="2 to the number of identities, 7"):
        identities.IdentityStream(people, identities=9, instances=2, seed=0)
