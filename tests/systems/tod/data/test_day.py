"""Hours from names, folders of photographs, splits that leak nothing, the drawn valley."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from configs import tod
from wxjax import errors, files
from wxjax.systems.tod.data import day as daytime
from wxjax.systems.tod.data import valley


@pytest.mark.parametrize(
    "name, hour",
    [
        ("tod_07.png", 7), ("tod_18.1.png", 18.1), ("tod_05.9.JPG", 5.9), ("cam_0730.jpg", 7.5),
        ("cam_073015.jpg", 7.5), ("view-7h45.png", 7.75), ("view 23:15.png", 23.25), ("9.png", 9),
        ("site_2015_01_15_1830.jpg", 18.5), ("cam2_img_06.png", 6),
    ],
)  # fmt: skip
def test_an_hour_is_read_from_a_name(name, hour):
    assert daytime.parse_hour(name) == pytest.approx(hour)


@pytest.mark.parametrize(
    "name, day",
    [("dukehw_2015_01_01_120109.jpg", 0), ("x-2015-12-31.png", 364), ("x20160301.png", 60)],
)
def test_a_day_is_read_from_a_name(name, day):
    assert daytime.parse_hour(name, 365.0) == day


@pytest.mark.parametrize("name", ["noon.png", "tod_31.png", "img_2015_01_15.png"])
def test_a_name_without_an_hour_is_refused(name):
    with pytest.raises(errors.InputError, match="expected an hour in its name"):
        daytime.parse_hour(name)


def write(folder, hours, size=(24, 16), colour=None):
    folder.mkdir(parents=True, exist_ok=True)
    for hour in hours:
        level = int(10 * hour) % 256 if colour is None else colour
        Image.new("RGB", size, (level, level, level)).save(folder / f"tod_{hour:g}.png")


def test_a_folder_is_ordered_by_the_hour_and_not_by_the_name(tmp_path):
    write(tmp_path / "view", [2, 10, 1, 18.1])
    write(tmp_path / "view" / "half", [1.5])
    Image.new("L", (24, 16), 255).save(tmp_path / "view" / "mask.png")
    files.write_json(
        tmp_path / "view" / "geo.json", {"lat": 51, "date": "2026-06-21", "lights": [22, 4]}
    )
    day = daytime.folder(str(tmp_path / "view"))
    assert day.hours.tolist() == [1, 2, 10, 18.1] and day.test_hours.tolist() == [1.5]
    assert day.frames[:, 0, 0, 0].tolist() == [10, 20, 100, 181]
    assert day.mask.all() and day.sky is None
    assert day.geo["declination"] == pytest.approx(23.4, abs=0.1)
    assert day.geo["lights"] == (22, 4)


def test_a_table_says_the_hours(tmp_path):
    write(tmp_path, [1, 2])
    files.write_text(tmp_path / "hours.csv", "file,hour\ntod_1.png,20\ntod_2.png,3.25\n")
    assert daytime.folder(str(tmp_path)).hours.tolist() == [3.25, 20]
    files.write_text(tmp_path / "hours.csv", "tod_1.png,20\ntod_9.png,3\n")
    with pytest.raises(errors.InputError, match="tod_9.png.*not there"):
        daytime.folder(str(tmp_path))


def test_what_is_wrong_with_a_folder_is_named(tmp_path):
    with pytest.raises(errors.InputError, match="expected a folder"):
        daytime.folder(str(tmp_path / "none"))
    write(tmp_path / "sizes", [1, 2])
    write(tmp_path / "sizes", [3], size=(20, 16))
    with pytest.raises(errors.InputError, match="'20x16': expected the size of tod_1.png, 24x16"):
        daytime.folder(str(tmp_path / "sizes"))
    write(tmp_path / "twice", [1, 2])
    Image.new("RGB", (24, 16)).save(tmp_path / "twice" / "x_01.png")
    with pytest.raises(errors.InputError, match="have the same.*hours.csv"):
        daytime.folder(str(tmp_path / "twice"))


def test_dates_need_their_period(tmp_path):
    for month in ("01", "02", "03"):
        Image.new("RGB", (24, 16)).save(tmp_path / f"x_2015_{month}_15_120109.jpg")
    with pytest.raises(errors.InputError, match="config.data.period=365"):
        daytime.folder(str(tmp_path))
    assert daytime.folder(str(tmp_path), 365.0).hours.tolist() == [14, 45, 73]


def day(**changes) -> daytime.Day:
    data = tod.get_config("tiny").data
    data.update(changes)
    return daytime.open(ConfigDict(data.to_dict()))


def test_the_valley_is_the_same_for_the_same_seed_and_changes_with_the_hour():
    first = day()
    assert first.frames.shape == (26, 32, 48, 3) and len(first.test_hours) == 24
    assert 5.9 in first.hours and 18.1 in first.hours
    valley.photographs.cache_clear()
    valley.world.cache_clear()
    again = valley.photographs((12.0,), 32, 48, 3)
    index = int(np.flatnonzero(first.hours == 12)[0])
    np.testing.assert_array_equal(first.frames[index], again[0])
    level = first.frames.mean((1, 2, 3))
    assert level[index] > 3 * level[0]  # noon against midnight
    on, off = (first.frames[first.hours == hour][0].astype(int) for hour in (5.9, 6.0))
    assert (on - off).max() > 60  # the lamps
    clouded = valley.photographs((12.0,), 32, 48, 3, 40.0, 0.0, 0.5)
    assert clouded.mean() < again.mean() - 3
    with pytest.raises(errors.InputError, match="data.clouds=1.5"):
        valley.photographs((12.0,), 32, 48, 3, 40.0, 0.0, 1.5)


@pytest.mark.parametrize("protocol", ["odd", "half", "list"])
def test_no_hidden_hour_leaks_into_training(protocol):
    whole = day()
    split = daytime.split(whole, protocol, (7, 13))
    assert not set(split.hours) & set(split.test_hours)
    given = {files.digest({"f": frame}) for frame in split.frames[4:20]}
    daylight = (split.test_hours >= 6) & (split.test_hours <= 18)
    hidden = {files.digest({"f": frame}) for frame in split.test_frames[daylight]}
    assert hidden and not given & hidden
    if protocol == "odd":
        assert split.hours.tolist() == list(range(0, 24, 2))
        assert split.test_hours.tolist() == list(range(1, 24, 2))


def test_protocols_say_what_they_need():
    whole = day()
    assert len(daytime.split(whole, "R").hours) == 26
    one = daytime.hide(whole, 3)
    assert len(one.hours) == 25 and one.test_hours.tolist() == [3]
    assert len(daytime.split(whole, "list", (7,), True).hours) == 26
    with pytest.raises(errors.InputError, match="no frame there; the nearest is 7"):
        daytime.split(whole, "list", (7.3,))
    with pytest.raises(errors.InputError, match="config.protocol='od'.*Did you mean 'odd'"):
        daytime.split(whole, "od")
