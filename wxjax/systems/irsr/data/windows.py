"""Windows of a small frame and of the large one at the same place, for training."""

from typing import Any

import numpy as np

from wxjax.data.transforms import Window, continued, turned
from wxjax.systems.irsr.data import downscale

MARGIN = 4  # small pixels around a window that its degradation sees


class ScaledWindow(Window):
    """A small window and the large one of the same place, turned alike, one channel each.

    Where an example brings no small frame, it is made of the window with a margin around it,
    so that the window is what the whole frame would have had there.

    Args:
      scale: large over small; crops are in pixels of the small frame.
      degradation: of `downscale.NAMES`.
    """

    def __init__(self, crops: tuple[int, ...], *, scale: int, degradation: str, **kwargs: Any):
        super().__init__(crops, **kwargs)
        self.scale, self.degradation = scale, degradation

    def map_with_index(self, index: int, element: dict[str, Any]) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, index, 1])
        crop, scale = self.crop_at(index), self.scale
        large = continued(element["target"], scale * crop)
        if "image" in element and large is element["target"]:
            small, large = _pair_window(element["image"], large, crop, scale, rng)
        else:
            small, large = self._degraded(large, crop, rng)
        out = {}
        draws = int(rng.integers(2**32))
        for name, pixels in (("image", small), ("target", large)):
            if pixels.shape[-1] == 3:
                pixels = pixels @ np.float64([0.299, 0.587, 0.114])[:, None]
            pixels = turned(pixels, self.augment, np.random.default_rng(draws))
            top = np.iinfo(element["target"].dtype).max
            out[name] = np.ascontiguousarray(pixels.astype(np.float32) / np.float32(top))
        return {**out, "index": element["index"]}

    def _degraded(self, large: np.ndarray, crop: int, rng: np.random.Generator):
        scale = self.scale
        begin, end, before = [], [], []
        for side in large.shape[:2]:
            start = int(rng.integers(0, side - scale * crop + 1))
            margin = min(MARGIN, start // scale)
            after = min(MARGIN, (side - start - scale * crop) // scale)
            begin.append(start - margin * scale)
            end.append(start + (crop + after) * scale)
            before.append(margin)
        place = large[begin[0] : end[0], begin[1] : end[1]]
        small = downscale.degrade(self.degradation, place, scale, rng)
        y, x = before
        inside = np.s_[scale * y : scale * (y + crop), scale * x : scale * (x + crop)]
        return small[y : y + crop, x : x + crop], place[inside]


def _pair_window(small, large, crop: int, scale: int, rng: np.random.Generator):
    y, x = (int(rng.integers(0, side - crop + 1)) for side in small.shape[:2])
    place = np.s_[scale * y : scale * (y + crop), scale * x : scale * (x + crop)]
    return small[y : y + crop, x : x + crop], large[place]
