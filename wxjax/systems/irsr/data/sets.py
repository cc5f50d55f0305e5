"""Frames for super-resolution: folders, pairs of folders, and the embedded default.

An example is a dict: `id`, `scene`, `dataset`, `kind` (text), `target` [H W c] of 8 or 16
bits, one channel where all are equal, and `image` [h w c] where a small frame comes with it;
`index` int32. What comes without a small frame gets one by `downscale.degrade`, window by
window in training (`windows.ScaledWindow`), whole in evaluation (`Degraded`).
"""

import functools
import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from wxjax import errors
from wxjax.data import embedded, scene
from wxjax.systems.irsr.data import downscale, frames, thermal, windows

CHANGE = "1"  # of anything that alters the embedded examples
PHOTOGRAPHS = {  # of photographs of everyday things: other pictures in every split
    "train": embedded.TRAINING,
    "val": ("chelsea", "camera", "hopper", "coins"),
    "test": ("china", "coffee", "rocket"),
}
COUNTS = {"train": 800, "val": 24, "test": 24}
NAMES = ("embedded", "path")


def open(config: Any, split: str):
    """The source that a run's `config.data` names, for one split: train, val or test.

    Reads `name` ('embedded' or 'path'), `root`, `degradation`, `scale`, and of the embedded
    set `seed`, `crop`, `count`, `eval_crop`, `eval_count`, `thermal`.

    Raises:
      InputError: for an unknown name, split or degradation.
    """
    downscale.check(config.degradation)
    if config.name not in NAMES:
        raise errors.unknown("config.data.name", config.name, NAMES)
    if split not in COUNTS:
        raise errors.unknown("split", split, COUNTS)
    if config.name == "path":
        if not config.root:
            raise errors.bad("config.data.root", config.root, "expected a folder of frames")
        source: Any = frames.within(frames.folder(config.root, config.scale), split)
    else:
        train = split == "train"
        source = Embedded(
            split,
            seed=config.seed,
            crop=config.crop if train else config.eval_crop,
            count=config.count if train else config.eval_count,
            share=config.thermal,
        )
    source = Degraded(source, config.degradation, config.scale)
    return Windows(source) if split == "train" else source


def describe() -> str:
    """The line that a run on the embedded frames prints first."""
    names = "; ".join(f"{split} {', '.join(names)}" for split, names in PHOTOGRAPHS.items())
    return f"embedded frames: luminance of photographs ({names}) and thermal scenes, as by a camera"


class Embedded:
    """Frames made on first use from split, seed and number alone, then kept.

    `share` of them thermal scenes, the others the luminance of photographs that installed
    packages bring (in training recomposed, `scene.py`); all through `thermal.camera`.
    """

    def __init__(
        self, split: str, *, seed: int = 0, crop: int = 160, count: int, share: float | int
    ):
        if count < 1:
            raise errors.bad("data.count", count, "expected at least 1")
        if not 32 <= crop <= 512:
            raise errors.bad("data.crop", crop, "expected 32 to 512 pixels")
        if not 0 <= share <= 1:
            raise errors.bad("data.thermal", share, "expected a share from 0 to 1")
        self.split, self.seed, self.crop, self.count = split, seed, crop, count
        self.share = share
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(self.count)[index]
        if index not in self._kept:
            self._kept[index] = self._make(index)
        kind = self._kind(index)
        return {
            "id": f"{self.split}-{kind}-{index:04d}",
            "scene": f"{self.split}-{index}",
            "dataset": "embedded",
            "kind": kind,
            "target": self._kept[index],
            "index": np.int32(index),
        }

    def _kind(self, index: int) -> str:
        """Spread evenly, whatever the share."""
        before, after = (int(np.floor(i * self.share + 1e-9)) for i in (index, index + 1))
        return "thermal" if after > before else "photo"

    def _make(self, index: int) -> np.ndarray:
        # Only training depends on the seed; a split's number keeps its scenes its own.
        key = [self.seed if self.split == "train" else 0, zlib.crc32(self.split.encode()), index]
        rng = np.random.default_rng(key)
        size = (self.crop, self.crop)
        if self._kind(index) == "thermal":
            radiance = thermal.scene(size, rng)
        else:
            radiance = self._photograph(index, rng)
        return thermal.camera(radiance, rng)[..., None]

    def _photograph(self, index: int, rng: np.random.Generator) -> np.ndarray:
        names = PHOTOGRAPHS[self.split]
        cut = functools.partial(_window, names, self.crop)
        if self.split == "train":
            pixels = scene.compose(cut(rng), cut, rng)
        else:
            pixels = _cut(embedded.photograph(names[index % len(names)]), self.crop, rng)
        grey = (pixels.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])) / 255
        return 1 - grey if rng.random() < 0.3 else grey

    def items(self) -> dict[str, str]:
        return {
            f"{self.split}-{i:04d}": f"{CHANGE} {self.seed} {self.crop} {self._kind(i)}"
            for i in range(self.count)
        }

    def __repr__(self) -> str:
        total = zlib.crc32(repr(sorted(self.items().items())).encode())
        return f"embedded-infrared({self.split}, {self.count}, {total:08x})"


def _window(names: Sequence[str], crop: int, rng: np.random.Generator) -> np.ndarray:
    shares = np.array([embedded.PHOTOGRAPHS[name].share for name in names])
    return _cut(
        embedded.photograph(names[rng.choice(len(names), p=shares / shares.sum())]), crop, rng
    )


def _cut(pixels: np.ndarray, crop: int, rng: np.random.Generator) -> np.ndarray:
    """A square of the picture, at its own size or shrunk."""
    side = int(rng.uniform(min(crop, *pixels.shape[:2]), min(*pixels.shape[:2], 2.5 * crop)))
    top, left = (int(rng.integers(0, n - side + 1)) for n in pixels.shape[:2])
    square = pixels[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side >= crop else cv2.INTER_CUBIC
    return cv2.resize(square, (crop, crop), interpolation=how)


class Degraded:
    """Another source's examples with the small frame of each; drawn by its name alone.

    What it made says so: `shrunk_by`. A small frame that was there is left as it is.
    """

    def __init__(self, source: Any, degradation: str, scale: int):
        downscale.check(degradation)
        self.source, self.degradation, self.scale = source, degradation, scale

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.source[index]
        if "image" in example or "target" not in example:
            return example
        h, w = (n - n % self.scale for n in example["target"].shape[:2])
        target = example["target"][:h, :w]
        rng = np.random.default_rng([zlib.crc32(example["id"].encode())])
        small = downscale.degrade(self.degradation, target, self.scale, rng)
        return {**example, "target": target, "image": small, "shrunk_by": self.degradation}

    def items(self) -> dict[str, str]:
        about = f"{self.degradation} {self.scale}"
        return {name: f"{about} {token}" for name, token in self.source.items().items()}

    def __repr__(self) -> str:
        return f"{self.degradation} x{self.scale} of {self.source!r}"


class Windows:
    """A source for `pipeline.train_batches`: its windows are degraded as they are cut."""

    def __init__(self, source: Degraded):
        self.source = source
        self.window = functools.partial(
            windows.ScaledWindow, scale=source.scale, degradation=source.degradation
        )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source.source[index]

    def items(self) -> dict[str, str]:
        return self.source.items()

    def __repr__(self) -> str:
        return f"windows of {self.source!r}"
