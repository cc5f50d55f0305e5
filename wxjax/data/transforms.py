"""From an example at a position of the stream to arrays of one size."""

from typing import Any

import cv2
import grain
import numpy as np

from wxjax import errors

ARRAYS = ("image", "target", "degradation", "severity", "index")  # what a batch holds
AUGMENTS = ("none", "flip", "dihedral", "rotate")


class Window(grain.transforms.MapWithIndex):
    """Crop, flip, quarter-turn and float32, drawn from the seed and the position alone.

    The crop follows a curriculum: equal parts of `num_steps`, the last size after them,
    one size a batch. A picture smaller than the crop is continued by reflection on all sides, so
    that no example is left out and none is resized.

    Args:
      crops: sizes in pixels, in the order of use.
      num_steps, batch_size: of the planned run.
      augment: 'none', 'flip' (left-right), 'dihedral' (also up-down, quarter-turns) or
        'rotate' (quarter-turns alone, as DehazeXL trains).
      emphasis: from `late` of the run on, share of windows that are the richer in edges
        of two candidates.
    """

    def __init__(
        self,
        crops: tuple[int, ...],
        *,
        num_steps: int,
        batch_size: int,
        seed: int,
        augment: str = "dihedral",
        emphasis: float | int = 0.0,
        late: float | int = 2 / 3,
    ):
        if augment not in AUGMENTS:
            raise errors.unknown("config.data.augment", augment, AUGMENTS)
        if not crops or min(crops) < 1:
            raise errors.bad("config.data.crops", crops, "expected sizes of at least 1 pixel")
        self.crops, self.seed = tuple(crops), seed
        self.num_steps, self.batch_size = num_steps, batch_size
        self.augment, self.emphasis, self.late = augment, emphasis, late

    def map_with_index(self, index: int, element: dict[str, Any]) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, index, 1])
        if "target" not in element:
            raise errors.InputError(
                f"{element['id']}: no target: training needs pairs. Cure: a folder gt/ or path_gt."
            )
        crop = self.crop_at(index)
        pair = np.concatenate([element["image"], element["target"]], axis=-1)
        pair = continued(pair, crop)
        late = index // self.batch_size >= self.late * self.num_steps
        weighted = late and rng.random() < self.emphasis
        windows = [_window(pair, crop, rng) for _ in range(2 if weighted else 1)]
        pair = max(windows, key=edge_energy) if weighted else windows[0]
        pair = turned(pair, self.augment, rng).astype(np.float32) / np.float32(255)
        half = pair.shape[-1] // 2
        images = {"image": pair[..., :half], "target": pair[..., half:]}
        arrays = {name: np.ascontiguousarray(value) for name, value in images.items()}
        return {**arrays, **{name: element[name] for name in ARRAYS[2:]}}

    def crop_at(self, position: int) -> int:
        """The crop size at a position of the stream."""
        step = position // self.batch_size
        part = step * len(self.crops) // max(1, self.num_steps)
        return self.crops[min(part, len(self.crops) - 1)]


class ClipWindow(Window):
    """The same window and turn for every frame of a clip `[t h w 3]`, and for its target."""

    def map_with_index(self, index: int, element: dict[str, Any]) -> dict[str, Any]:
        folded = {name: fold(element[name]) for name in ARRAYS[:2] if name in element}
        out = super().map_with_index(index, {**element, **folded})
        return {**out, **{name: unfold(out[name]) for name in ARRAYS[:2]}}


def fold(clip: np.ndarray) -> np.ndarray:
    """Frames `[t h w 3]` as channels `[h w 3t]`."""
    t, h, w, c = clip.shape
    return clip.transpose(1, 2, 0, 3).reshape(h, w, t * c)


def unfold(channels: np.ndarray) -> np.ndarray:
    """Channels `[h w 3t]` as frames `[t h w 3]`."""
    h, w, c = channels.shape
    return np.ascontiguousarray(channels.reshape(h, w, c // 3, 3).transpose(2, 0, 1, 3))


def continued(pixels: np.ndarray, size: int) -> np.ndarray:
    """Both sides at least `size`, by reflection around the borders."""
    missing = [max(0, size - side) for side in pixels.shape[:2]]
    if not any(missing):
        return pixels
    around = [(gap // 2, gap - gap // 2) for gap in missing]
    return np.pad(pixels, (*around, (0, 0)), mode="reflect")


def edge_energy(pair: np.ndarray) -> float:
    """Mean absolute Laplacian of the target half of a pair of 6 channels."""
    return float(np.abs(cv2.Laplacian(pair[..., 4].astype(np.float32), cv2.CV_32F)).mean())


def _window(pair: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    y, x = (rng.integers(0, side - size + 1) for side in pair.shape[:2])
    return pair[y : y + size, x : x + size]


def turned(pair: np.ndarray, augment: str, rng: np.random.Generator) -> np.ndarray:
    """`[h w c]` mirrored and turned as `augment` allows, by what `rng` draws."""
    draws = rng.integers(0, 2, 3)
    if augment == "none":
        return pair
    if augment == "rotate":
        return np.rot90(pair, 2 * draws[0] + draws[1])
    if draws[0]:
        pair = pair[:, ::-1]
    if augment == "dihedral":
        pair = pair[::-1] if draws[1] else pair
        pair = pair.swapaxes(0, 1) if draws[2] else pair
    return pair
