"""One view at several hours: folders of photographs, light maps, and the drawn valley.

Host side, NumPy only. Hours are in [0, period); with a period of 365 they are days of the year.
"""

import csv
import dataclasses
import datetime
import pathlib
import re
from typing import Any

import numpy as np

from wxjax import errors, files
from wxjax.data import images, names, passed
from wxjax.data.formats.kinds import SUFFIXES, note
from wxjax.systems.tod.data import valley

PROTOCOLS = ("R", "odd", "half", "loo", "list")
NAMES = ("embedded", "folder", "lightmap")
_HELD = ("half", "test")  # sub-folders with the truth at hours that are not given
_PARTS = ("mask", "sky_mask")
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?!\d)")
_CLOCK = (
    re.compile(r"(?<!\d)([01]?\d|2[0-3])[h:]([0-5]\d)(?!\d)"),  # 7h30, 07:30
    re.compile(r"(?<![\d.])([01]\d|2[0-3])([0-5]\d)(?:[0-5]\d)?(?![\d.])"),  # 0730, 073015
)
_HOUR = re.compile(r"(?<![\d.])(\d{1,2}(?:\.\d+)?)(?!\d)")  # 07, 5.9


@dataclasses.dataclass(frozen=True, eq=False)
class Day:
    """Frames of one view.

    Attributes:
      name: for reports. hours: `[t]`, rising. frames: `[t h w 3]`, uint8 sRGB, or float32
        linear light of a light map.
      test_hours, test_frames: the truth at hours that are not given; may be empty.
      mask: `[h w]`, true where pixels count; None: everywhere.
      sky: `[h w]`, true in the sky; None: unknown.
      geo: `latitude, declination, lights` where a `geo.json` says them.
    """

    name: str
    hours: np.ndarray
    frames: np.ndarray
    test_hours: np.ndarray
    test_frames: np.ndarray
    mask: np.ndarray | None = None
    sky: np.ndarray | None = None
    geo: dict = dataclasses.field(default_factory=dict)

    def items(self) -> dict[str, str]:
        """A digest an hour."""
        every = [*zip(self.hours, self.frames, strict=True)]
        every += zip(self.test_hours, self.test_frames, strict=True)
        return {f"{hour:g}": files.digest({"frame": frame})[:16] for hour, frame in every}

    def __repr__(self) -> str:
        digest = files.digest({"frames": self.frames, "hours": self.hours})
        return f"day({self.name}, {self.frames.shape}, {digest[:16]})"


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Hours to train on, and hidden ones to be measured at, with their frames."""

    hours: np.ndarray
    frames: np.ndarray
    test_hours: np.ndarray
    test_frames: np.ndarray


def open(config: Any) -> Day:
    """The day that `config.data` names.

    Raises:
      InputError: for an unknown name, or what the reader refuses.
    """
    if config.name not in NAMES:
        raise errors.unknown("config.data.name", config.name, NAMES)
    if config.name == "embedded":
        return embedded(config)
    if config.name == "lightmap" and not config.root:
        hours = np.array(sorted([*range(24), *valley.LIGHTS[0]]), np.float64)
        size = (config.height, config.width)
        light, mask = valley.lightmap(tuple(hours.tolist()), *size, config.seed)
        return Day("valley from above", hours, light, hours[:0], light[:0], mask)
    if not config.root:
        raise errors.bad("config.data.root", config.root, "expected a folder of photographs")
    if config.name == "lightmap":
        return lightmap(config.root, config.period)
    return folder(config.root, config.period)


def embedded(config: Any) -> Day:
    """The valley at every whole hour and at both switches; half hours are the truth."""
    given = np.array(sorted([*range(24), *valley.LIGHTS[0]]), np.float64)
    size = (config.height, config.width, config.seed)
    every = np.concatenate([given, np.arange(24) + 0.5])
    weather = (float(config.latitude), float(config.declination), float(config.clouds))
    frames = valley.photographs(tuple(every.tolist()), *size, *weather)
    count = len(given)
    return Day("valley", given, frames[:count], every[count:], frames[count:])


def parse_hour(name: str, period: float = 24.0) -> float:
    """The hour, or the day of the year from 0, that a file's name says.

    `tod_07`, `tod_05.9`, `cam_0730`, `cam_073015`, `7h30`, `07:30`; where the period is not 24,
    a date: `2015_01_15`, `2015-01-15`, `20150115`. The last number that fits is taken.

    Raises:
      InputError: for a name without an hour, or an hour out of range.
    """
    stem = re.sub(r"\.(png|jpe?g|tiff?|webp|exr|npz)$", "", name, flags=re.IGNORECASE)
    dates = list(_DATE.finditer(stem))
    if period != 24:
        if not dates:
            raise errors.bad("file", name, "expected a date such as 2015_01_15 in its name")
        year, month, day = (int(x) for x in dates[-1].groups())
        try:
            return float((datetime.date(year, month, day) - datetime.date(year, 1, 1)).days)
        except ValueError:
            raise errors.bad("file", name, "its name holds no date that exists") from None
    stem = _DATE.sub(" ", stem)
    for pattern in _CLOCK:
        found = list(pattern.finditer(stem))
        if found:
            hour, minute = found[-1].groups()[:2]
            return int(hour) + int(minute) / 60
    found = [float(x) for x in _HOUR.findall(stem)]
    if not found or found[-1] >= 24:
        rule = "expected an hour in its name (_07, _05.9, _0730, 7h30), or an hours.csv beside it"
        raise errors.bad("file", name, rule)
    return found[-1]


def list_hours(root: pathlib.Path, period: float) -> dict[pathlib.Path, float]:
    """Pictures of a folder with their hours, in the order of the hours.

    Raises:
      InputError: for no picture, a name without an hour, two pictures of one hour, a table that
        names files which are not there.
    """
    table = root / "hours.csv"
    if table.is_file():
        rows = [row for row in csv.reader(table.read_text("utf-8").splitlines()) if row]
        found = {}
        for number, row in enumerate(rows, 1):
            try:
                found[names.on_disk(root / row[0].strip())] = float(row[1])
            except (ValueError, IndexError):
                if number > 1:  # the first line may be a heading
                    rule = "expected a file and an hour"
                    raise errors.bad(f"{table}:{number}", ",".join(row), rule) from None
        missing = [path.name for path in found if not path.is_file()]
        if missing:
            raise errors.bad(str(table), missing[0], "is named, but not there")
    else:
        pictures = [
            path for path in sorted(root.iterdir())
            if path.suffix.lower() in SUFFIXES and path.stem not in _PARTS
        ]  # fmt: skip
        found = {path: parse_hour(path.name, period) for path in pictures}
    if not found:
        raise errors.bad("folder", str(root), f"holds no picture ({note()})")
    passed.say(root, passed.count(root))
    ordered = dict(sorted(found.items(), key=lambda entry: entry[1]))
    paths, hours = list(ordered), list(ordered.values())
    for one, other, early, late in zip(paths, paths[1:], hours, hours[1:], strict=False):
        if late - early < 1e-3:
            cure = "Give an hours.csv"
            cure += ", or --config.data.period=365 where names hold dates." * (period == 24)
            raise errors.bad(
                "hour", round(late, 4), f"{one.name} and {other.name} have the same", cure
            )
    if hours[0] < 0 or hours[-1] >= period:
        raise errors.bad("hour", hours[-1], f"expected 0 to below the period, {period:g}")
    return ordered


def read_frames(found: dict[pathlib.Path, float]) -> np.ndarray:
    """uint8 `[t h w 3]`, all of one size.

    Raises:
      InputError: naming the picture whose size differs from the first one's.
    """
    frames, first = [], None
    for path in found:
        picture = np.rint(images.to_rgb(images.single(images.read(path))) * 255).astype(np.uint8)
        if first is not None and picture.shape != frames[0].shape:
            sizes = ["x".join(map(str, f.shape[1::-1])) for f in (picture, frames[0])]
            rule = f"expected the size of {first.name}, {sizes[1]}: one view that does not move"
            raise errors.bad(str(path), sizes[0], rule)
        first = first or path
        frames.append(picture)
    return np.stack(frames)


def folder(root: str, period: float = 24.0) -> Day:
    """Photographs of one view; `half/` or `test/` in it hold the truth at other hours."""
    place = pathlib.Path(root)
    if not place.is_dir():
        raise errors.bad("config.data.root", root, "expected a folder of photographs")
    found = list_hours(place, period)
    frames = read_frames(found)
    held = next((place / name for name in _HELD if (place / name).is_dir()), None)
    others = list_hours(held, period) if held else {}
    truth = read_frames(others) if others else frames[:0]
    if len(truth) and truth.shape[1:] != frames.shape[1:]:
        raise errors.bad(str(held), truth.shape[1:3], f"expected {frames.shape[1:3]}")
    parts = {name: read_mask(place / f"{name}.png", frames.shape[1:3]) for name in _PARTS}
    geo = files.read_json(place / "geo.json") if (place / "geo.json").is_file() else {}
    hours = (np.array(list(x.values()), np.float64) for x in (found, others))
    return Day(place.resolve().name, next(hours), frames, next(hours), truth,
               parts["mask"], parts["sky_mask"], read_geo(geo))  # fmt: skip


def read_mask(path: pathlib.Path, size: tuple[int, int]) -> np.ndarray | None:
    """True where a grey picture is bright; None where there is none."""
    if not path.is_file():
        return None
    mask = images.to_rgb(images.read(path))[..., 0] > 0.5
    if mask.shape != size:
        raise errors.bad(str(path), mask.shape, f"expected the frames' size, {size}")
    return mask


def read_geo(geo: dict) -> dict:
    """`latitude, declination, lights` of a geo.json {lat, lon, date, heading, lights}."""
    found = {}
    if "lat" in geo:
        found["latitude"] = float(geo["lat"])
    if "date" in geo:
        day = datetime.date.fromisoformat(str(geo["date"])).timetuple().tm_yday
        found["declination"] = float(-23.44 * np.cos(2 * np.pi * (day + 10) / 365.25))
    if "lights" in geo:
        found["lights"] = tuple(float(x) for x in np.ravel(geo["lights"]))
    return found


def lightmap(root: str, period: float = 24.0) -> Day:
    """Baked irradiance: an npz with `irradiance [t h w 3]`, `hours [t]` and `mask [h w]`."""
    path = pathlib.Path(root)
    try:
        with np.load(path, allow_pickle=False) as stored:
            light = np.asarray(stored["irradiance"], np.float32)
            hours = np.asarray(stored["hours"], np.float64)
            mask = np.asarray(stored["mask"], bool) if "mask" in stored else None
    except (OSError, ValueError, KeyError) as error:
        rule = f"expected an npz with irradiance [t h w 3], hours [t], mask [h w] ({error})"
        raise errors.bad("config.data.root", root, rule) from None
    order = np.argsort(hours)
    light = np.maximum(light[order], 0)
    return Day(path.stem, hours[order], light, hours[:0], light[:0], mask)


def split(day: Day, protocol: str, val_hours: Any = (), val_in_train: bool = False) -> Split:
    """Which hours are trained on and which are hidden, under a protocol.

    R: all are given. odd: every second frame is hidden, of the whole hours where most are
    whole; frames in between (at a switch) are left out of both. half: the data's own other
    hours. list: `val_hours`, hidden unless `val_in_train`. (loo is many splits: `hide`.)

    Raises:
      InputError: for an unknown protocol, or hours that the day does not have.
    """
    if protocol not in PROTOCOLS:
        raise errors.unknown("config.protocol", protocol, PROTOCOLS)
    count = len(day.hours)
    if protocol in ("R", "loo"):
        return Split(day.hours, day.frames, day.hours[:0], day.frames[:0])
    if protocol == "half":
        if not len(day.test_hours):
            rule = f"{day.name} has no truth at other hours (a folder half/ or test/)"
            raise errors.bad("config.protocol", protocol, rule, "Try odd or loo.")
        return Split(day.hours, day.frames, day.test_hours, day.test_frames)
    if protocol == "odd":
        regular = whole_hours(day)
        train, test = regular[::2], regular[1::2]
    else:
        test = np.array([index_of(day, float(hour)) for hour in val_hours], int)
        if not len(test):
            raise errors.bad("config.val_hours", tuple(val_hours), "expected hours to hide")
        train = np.arange(count) if val_in_train else np.setdiff1d(np.arange(count), test)
    return Split(day.hours[train], day.frames[train], day.hours[test], day.frames[test])


def whole_hours(day: Day) -> np.ndarray:
    """Indices of the whole hours where most are whole, else of all."""
    whole = np.flatnonzero(np.abs(day.hours - np.round(day.hours)) < 1e-3)
    return whole if 2 * len(whole) > len(day.hours) else np.arange(len(day.hours))


def index_of(day: Day, hour: float) -> int:
    apart = np.abs(day.hours - hour)
    if apart.min() > 0.02:
        rule = f"{day.name} has no frame there; the nearest is {day.hours[apart.argmin()]:g}"
        raise errors.bad("config.val_hours", hour, rule)
    return int(apart.argmin())


def hide(day: Day, index: int) -> Split:
    """All frames but one, which is to be found."""
    rest = np.delete(np.arange(len(day.hours)), index)
    one = slice(index, index + 1)
    return Split(day.hours[rest], day.frames[rest], day.hours[one], day.frames[one])
