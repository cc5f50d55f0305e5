"""Clean photographs for training on synthetic weather: decoded once, cropped endlessly.

A folder of pictures becomes one file of bytes beside an index (`build`), so that a run
starts at once and several processes share the memory. Each picture has three pseudo
depths whose borders are those of its own regions.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from wxjax import errors, files
from wxjax.data import images
from wxjax.data.synthesis import depth as depths

LONGEST = 1024  # pixels; larger photographs are stored smaller
DEPTHS = 3
SHRUNK = 4  # a depth is stored at a quarter of the picture's size


def build(paths: Sequence[os.PathLike | str], folder: os.PathLike | str, seed: int = 0) -> None:
    """Writes `pictures.bin`, `depths.bin` and `index.json` for the pictures at `paths`."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    at = under = 0
    with open(folder / "pictures.bin", "wb") as out, open(folder / "depths.bin", "wb") as deep:
        for number, path in enumerate(paths):
            rgb = np.rint(images.to_rgb(images.read(path)) * 255).astype(np.uint8)
            rgb = at_most(rgb, LONGEST)
            layers = layered_depths(rgb, np.random.default_rng([seed, number]))
            h, w = rgb.shape[:2]
            rows.append({"name": pathlib.Path(path).name, "h": h, "w": w, "at": at, "deep": under})
            out.write(rgb.tobytes())
            deep.write(layers.tobytes())
            at += rgb.size
            under += layers.size
    files.write_json(folder / "index.json", {"seed": seed, "pictures": rows})


def at_most(rgb: UInt8[np.ndarray, "h w 3"], longest: int) -> UInt8[np.ndarray, "y x 3"]:
    h, w = rgb.shape[:2]
    scale = longest / max(h, w)
    if scale >= 1:
        return rgb
    return cv2.resize(rgb, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_AREA)


def layered_depths(
    rgb: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "d y x"]:
    """Three pseudo depths at a quarter of the size: planes and fields, a value a region.

    Regions stand on the ground: each is as far as the plane at its lowest place, give or take.
    """
    from skimage import segmentation

    h, w = max(8, rgb.shape[0] // SHRUNK), max(8, rgb.shape[1] // SHRUNK)
    small = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA)
    out = []
    for i in range(DEPTHS):
        plain, _ = depths.pseudo(small, rng)
        if i < 2:
            labels = segmentation.felzenszwalb(
                small, scale=rng.uniform(80, 400), sigma=0.8, min_size=max(20, h * w // 200)
            )
            plain = stand(plain, labels, rng)
        out.append(np.rint(255 * plain).astype(np.uint8))
    return np.stack(out)


def stand(
    plain: Float[np.ndarray, "h w"], labels: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """The depth with a value a region, mixed with the depth as it was."""
    count = int(labels.max()) + 1
    rows = np.broadcast_to(np.arange(len(plain))[:, None], plain.shape)
    lowest = np.zeros(count)
    np.maximum.at(lowest, labels.ravel(), rows.ravel())
    ground = np.linspace(1, 0.05, len(plain))[lowest.astype(int)]
    total = np.bincount(labels.ravel(), minlength=count)
    mean = np.bincount(labels.ravel(), plain.ravel(), count) / np.maximum(total, 1)
    share = rng.uniform(0.2, 0.8)
    value = share * ground + (1 - share) * mean + rng.normal(0, 0.12, count)
    upright = value[labels]
    return depths.normalize((0.75 * upright + 0.25 * plain).astype(np.float32))


class Photographs:
    """The pictures that `build` stored.

    Raises:
      InputError: where the folder holds none.
    """

    def __init__(self, folder: os.PathLike | str, names: Sequence[str] | None = None):
        self.folder = pathlib.Path(folder)
        if not (self.folder / "index.json").exists():
            cure = "Make them with python -m experiments.weather_model.prepare."
            raise errors.bad("data.root", str(folder), "expected stored photographs", cure)
        rows = files.read_json(self.folder / "index.json")["pictures"]
        self.rows = [row for row in rows if names is None or row["name"] in set(names)]
        if not self.rows:
            raise errors.bad("data.names", names, f"no photograph of {folder} has such a name")
        self._pictures = np.memmap(self.folder / "pictures.bin", np.uint8, "r")
        self._depths = np.memmap(self.folder / "depths.bin", np.uint8, "r")

    def __len__(self) -> int:
        return len(self.rows)

    def items(self) -> dict[str, str]:
        """name -> size, by which one store is told from another."""
        return {row["name"]: f"{row['h']}x{row['w']} at {row['at']}" for row in self.rows}

    def picture(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        row = self.rows[i]
        size = row["h"] * row["w"] * 3
        return self._pictures[row["at"] : row["at"] + size].reshape(row["h"], row["w"], 3)

    def depth(self, i: int, which: int) -> UInt8[np.ndarray, "y x"]:
        row = self.rows[i]
        h, w = max(8, row["h"] // SHRUNK), max(8, row["w"] // SHRUNK)
        start = row["deep"] + which * h * w
        return self._depths[start : start + h * w].reshape(h, w)

    def crop(
        self,
        rng: np.random.Generator,
        size: int,
        widest: float | int = 4.0,
        narrowest: float | int = 1.0,
    ) -> tuple[UInt8[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s"]]:
        """A square of `narrowest` to `widest` times `size` pixels, resized to it; its depth."""
        i = int(rng.integers(len(self.rows)))
        picture, depth = self.picture(i), self.depth(i, int(rng.integers(DEPTHS)))
        h, w = picture.shape[:2]
        least, most = narrowest * size, min(h, w)
        side = most if most <= least else int(rng.uniform(least, min(widest * size, most) + 1))
        y, x = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
        part = picture[y : y + side, x : x + side]
        fy, fx = depth.shape[0] / h, depth.shape[1] / w
        y0, x0 = int(y * fy), int(x * fx)
        deep = depth[y0 : max(y0 + 2, int((y + side) * fy)), x0 : max(x0 + 2, int((x + side) * fx))]
        if side != size:
            form = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
            part = cv2.resize(part, (size, size), interpolation=form)
        deep = cv2.resize(deep, (size, size), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.5:
            part, deep = part[:, ::-1], deep[:, ::-1]
        return np.ascontiguousarray(part), np.ascontiguousarray(deep)


class Crops:
    """Endless batches of crops as a random-access source; the n-th depends on seed and n alone."""

    def __init__(
        self,
        source: Photographs,
        *,
        batch: int,
        slots: int,
        size: int,
        seed: int,
        widest: float | int = 4,
    ):
        self.photographs, self.batch, self.slots, self.size = source, batch, slots, size
        self.seed, self.widest = seed, widest

    def __len__(self) -> int:
        return 2**60

    def __getitem__(self, position: int) -> dict[str, Any]:
        """`clean [b slots s s 3]`, `depth [b slots s s]`, `number` of the batch and `row [b]`."""
        b, n, s = self.batch, self.slots, self.size
        rng = np.random.default_rng([self.seed, position])
        clean, depth = np.empty((b, n, s, s, 3), np.uint8), np.empty((b, n, s, s), np.uint8)
        for i in range(b):
            for j in range(n):
                clean[i, j], depth[i, j] = self.photographs.crop(rng, s, self.widest)
        number = np.full(b, position % 2**31, np.int32)
        return {
            "clean": clean,
            "depth": depth,
            "number": number,
            "row": np.arange(b, dtype=np.int32),
        }

    def __repr__(self) -> str:
        count = len(self.photographs)
        return f"crops({count} photographs, {self.batch}x{self.slots}x{self.size}, {self.seed})"
