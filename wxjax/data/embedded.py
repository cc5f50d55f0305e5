"""The default data: photographs that installed packages bring, degraded by synthesis.

Split by photograph, once and for all; nothing is downloaded, and the packages
themselves are not imported.
"""

import dataclasses
import functools
import importlib.util
import pathlib
import zlib
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from wxjax import errors
from wxjax.data import images, records, scene, synthesis

CHANGE = "4"  # of anything that alters the examples: old inventories then no longer match


@dataclasses.dataclass(frozen=True)
class Photograph:
    """Where a picture lies in its package; `share` is its weight in training."""

    package: str
    file: str
    licence: str
    share: float = 1.0
    disparity: str | None = None


PHOTOGRAPHS = {
    "astronaut": Photograph("skimage", "data/astronaut.png", "public domain"),
    "motorcycle": Photograph(
        "skimage",
        "data/motorcycle_left.png",
        "Middlebury 2014 stereo benchmark",
        disparity="data/motorcycle_disp.npz",
    ),
    "flower": Photograph("sklearn", "datasets/images/flower.jpg", "CC BY 2.0"),
    "brick": Photograph("skimage", "data/brick.png", "CC0", 0.2),
    "grass": Photograph("skimage", "data/grass.png", "CC0", 0.25),
    "gravel": Photograph("skimage", "data/gravel.png", "CC0", 0.2),
    "chelsea": Photograph("skimage", "data/chelsea.png", "CC0"),
    "camera": Photograph("skimage", "data/camera.png", "CC0"),
    "hopper": Photograph("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "public domain"),
    "coins": Photograph("skimage", "data/coins.png", "no known restrictions"),
    "china": Photograph("sklearn", "datasets/images/china.jpg", "CC BY 2.0"),
    "coffee": Photograph("skimage", "data/coffee.png", "CC0"),
    "rocket": Photograph("skimage", "data/rocket.jpg", "public domain"),
}
OPEN = 0.5  # share of the router's scenes under a wide sky, which hides haze and shows streaks
TRAINING = ("astronaut", "motorcycle", "flower", "brick", "grass", "gravel")
SPLITS = {
    "train": TRAINING,
    "router": TRAINING,  # other compositions under other weather: two photographs are too few
    "val_router": ("chelsea", "camera"),
    "val_calib": ("hopper", "coins"),
    "test": ("china", "coffee", "rocket"),
    "mixed": ("china", "coffee", "rocket"),
}
COUNTS = {"train": 480, "router": 480, "val_router": 36, "val_calib": 36, "test": 45, "mixed": 24}


def describe() -> str:
    """The line that a run on this data prints first."""
    shown = ("train", "val_router", "val_calib", "test")
    names = "; ".join(f"{split} {', '.join(SPLITS[split])}" for split in shown)
    licences = ", ".join(sorted({photo.licence for photo in PHOTOGRAPHS.values()}))
    return (
        f"embedded data: {len(PHOTOGRAPHS)} photographs of scikit-image, scikit-learn and "
        f"matplotlib ({names}), synthetic haze, rain and snow; licences: {licences}"
    )


@functools.cache
def photograph(name: str) -> UInt8[np.ndarray, "h w 3"]:
    """A photograph at full size, grey ones as RGB; read-only.

    Raises:
      InputError: where the package is not installed or lacks the file.
    """
    rgb = images.to_rgb(images.read(_locate(name, PHOTOGRAPHS[name].file)))
    pixels = np.rint(rgb * 255).astype(np.uint8)
    pixels.flags.writeable = False
    return pixels


@functools.cache
def distance(name: str) -> Float[np.ndarray, "h w"] | None:
    """Relative distance where the package brings a disparity: Z = f B / (d + doffs)."""
    file = PHOTOGRAPHS[name].disparity
    if file is None:
        return None
    with np.load(_locate(name, file)) as archive:
        disparity = np.asarray(archive["arr_0"], np.float32)
    known = np.isfinite(disparity) & (disparity > 0)
    # Occluded pixels lie behind what hides them: they get the least disparity around.
    filled = np.where(known, disparity, np.float32(disparity[known].max()))
    around = cv2.erode(filled, np.ones((31, 31), np.uint8))
    return (1 / (np.where(known, disparity, around) + np.float32(31.08))).astype(np.float32)


def _locate(name: str, file: str) -> pathlib.Path:
    package = PHOTOGRAPHS[name].package
    spec = importlib.util.find_spec(package)
    path = spec and spec.origin and pathlib.Path(spec.origin).parent / file
    if not path or not path.is_file():
        raise errors.InputError(
            f"embedded photograph {name!r}: {package}/{file} is not installed. "
            "Cure: pip install scikit-image scikit-learn matplotlib, or give data.root."
        )
    return path


class Embedded:
    """Examples made on first use from the split, the seed and their number alone, then kept.

    In training (train, router): square crops of `crop` pixels, random place, scale and photograph.
    Otherwise: of every photograph and kind first the whole picture (3:2 as
    [crop, 1.5 crop], else square), then random windows of [crop, crop]; two sizes in all,
    and a smaller `count` is the beginning of a larger one. Only training depends on `seed`.

    Raises:
      InputError: for an unknown split, a count or a crop out of range.
    """

    def __init__(self, split: str, *, seed: int = 0, crop: int = 192, count: int | None = None):
        self.split = "val_router" if split == "val" else split
        if self.split not in SPLITS:
            raise errors.unknown("split", split, [*SPLITS, "val"])
        self.count = COUNTS[self.split] if count is None else count
        if self.count < 1:
            raise errors.bad("data.count", count, "expected at least 1")
        if not 16 <= crop <= 256:
            raise errors.bad("data.crop", crop, "expected 16 to 256: the photographs are small")
        self.seed, self.crop = seed, crop
        self.composed = SPLITS[self.split] is TRAINING
        self.open = OPEN if self.split == "router" else 0.0
        self._plans = [self._plan(i) for i in range(self.count)]
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(self.count)[index]
        if index not in self._kept:
            self._kept[index] = self._make(self._plans[index])[:2]
        image, target = self._kept[index]
        plan = self._plans[index]
        known = plan["kind"] in records.DEGRADATIONS
        return {
            "id": plan["id"],
            "image": image,
            "target": target,
            "kind": plan["kind"],
            "degradation": np.int32(records.DEGRADATIONS.index(plan["kind"]) if known else -1),
            "severity": np.float32(plan["strength"]),
            "index": np.int32(index),
            "scene": plan["photo"],
            "dataset": "embedded",
        }

    def record(self, index: int) -> dict[str, Any]:
        """Every parameter of the synthesis of one example, with its window."""
        plan = self._plans[index]
        return {**plan, **self._make(plan)[2]}

    def kinds(self) -> list[str]:
        return [plan["kind"] for plan in self._plans]

    def severities(self) -> np.ndarray:
        return np.array([plan["strength"] for plan in self._plans], np.float32)

    def items(self) -> dict[str, str]:
        return {p["id"]: f"{CHANGE} {p['key']} {p['window']} {p['size']}" for p in self._plans}

    def __repr__(self) -> str:
        total = zlib.crc32(repr(sorted(self.items().items())).encode())
        return f"embedded({self.split}, {self.count}, {total:08x})"

    def _plan(self, index: int) -> dict[str, Any]:
        """What is drawn before any picture is touched."""
        names = SPLITS[self.split]
        kinds = ("mixed",) if self.split == "mixed" else records.DEGRADATIONS
        kind = kinds[index % len(kinds)]
        if self.composed:
            key = [self.seed, index] + [3] * (self.split == "router")
            rng = np.random.default_rng(key)
            shares = np.array([PHOTOGRAPHS[name].share for name in names])
            photo = names[rng.choice(len(names), p=shares / shares.sum())]
            name, strength, whole = f"{photo}-{kind}-{index:04d}", float(rng.uniform()), False
        else:
            turn = index // len(kinds)
            photo, variant = names[turn % len(names)], turn // len(names)
            name = f"{photo}-{kind}-{variant + 1}"
            key = [zlib.crc32(name.encode())]
            rng = np.random.default_rng(key)
            strength = (0.5 + 0.618034 * variant) % 1  # spreads evenly for any number
            whole = variant == 0
        window, size = self._window(photograph(photo).shape, rng, whole)
        return {
            "id": name,
            "photo": photo,
            "kind": kind,
            "strength": strength,
            "key": key,
            "window": window,
            "size": size,
        }

    def _window(self, shape: tuple[int, ...], rng: np.random.Generator, whole: bool):
        """(top, left, height, width) in the photograph, and the size it is shrunk to."""
        h, w = shape[:2]
        if whole:
            size = (self.crop, self.crop * 3 // 2 if w / h > 1.3 else self.crop)
            ratio = size[1] / size[0]
            tall, wide = min(h, int(w / ratio)), min(w, int(h * ratio))
            return ((h - tall) // 2, (w - wide) // 2, tall, wide), size
        least = self.crop // 2 if self.composed else self.crop
        side = int(rng.uniform(min(least, h, w), min(h, w, 2 * self.crop) + 1))
        top, left = rng.integers(0, h - side + 1), rng.integers(0, w - side + 1)
        return (int(top), int(left), side, side), (self.crop, self.crop)

    def _patch(self, rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
        """Any window of any of the split's photographs, as large as an example."""
        names = SPLITS[self.split]
        shares = np.array([PHOTOGRAPHS[name].share for name in names])
        pixels = photograph(names[rng.choice(len(names), p=shares / shares.sum())])
        (top, left, h, w), size = self._window(pixels.shape, rng, False)
        return _resize(pixels[top : top + h, left : left + w], size)

    def _make(self, plan: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, dict]:
        top, left, h, w = plan["window"]
        cut = np.s_[top : top + h, left : left + w]
        target = _resize(photograph(plan["photo"])[cut], plan["size"])
        if self.composed:
            rng = np.random.default_rng([*plan["key"], 2])
            target = scene.compose(target, self._patch, rng, self.open)
        depth = distance(plan["photo"])
        if depth is not None:
            depth = _resize(depth[cut], plan["size"])
        rng = np.random.default_rng([*plan["key"], 1])
        image, record = synthesis.degrade(target, plan["kind"], rng, plan["strength"], depth)
        return image, target, record


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels)
    shrinks = pixels.shape[0] >= size[0]
    return cv2.resize(
        pixels, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
