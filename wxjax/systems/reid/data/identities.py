"""Shots of identities for training: P identities times K shots a batch, endless and resumable.

A source of shots has `__getitem__ -> {id, image uint8 [m h w 3], present [m] bool, pid,
camera, scene, attributes, index}`, `pids [n]`, `cameras [n]`, `roles() [n]` ('query',
'gallery' or 'both') and `items()`.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import grain
import numpy as np

from wxjax import errors
from wxjax.data import skipping

_ENDLESS = 2**60
ARRAYS = ("image", "present", "label", "camera", "index")  # what a batch holds


class IdentityStream:
    """An endless view of a source in which every run of P * K shots holds P identities.

    Identities come in permutations, one an epoch; an identity's K shots are spread over its
    cameras, and repeat only where it has fewer than K.

    Raises:
      InputError: for an identity with one shot, or fewer than P identities.
    """

    def __init__(self, source: Any, *, identities: int, instances: int, seed: int):
        self.source, self.seed = source, seed
        self.tolerant = skipping.Tolerant(source)
        self.identities, self.instances = identities, instances
        pids = np.asarray(source.pids)
        self.names = np.unique(pids)  # sorted: labels do not depend on the order of files
        self._places = [np.flatnonzero(pids == name) for name in self.names]
        alone = [str(n) for n, p in zip(self.names, self._places, strict=True) if len(p) < 2]
        if alone:
            raise errors.InputError(
                f"{len(alone)} identities have one image, first {', '.join(alone[:3])}: a triplet "
                "needs two of each. Cure: add images of them, or take them out of training."
            )
        if not 2 <= identities <= len(self.names):
            raise errors.bad(
                "config.data.batch.identities",
                identities,
                f"expected 2 to the number of identities, {len(self.names)}",
            )
        if instances < 2:
            raise errors.bad("config.data.batch.instances", instances, "expected at least 2")
        self._batch = functools.lru_cache(maxsize=4)(self._drawn)
        self._order = functools.lru_cache(maxsize=2)(
            lambda epoch: np.random.default_rng([seed, epoch, 1]).permutation(len(self.names))
        )

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, position: int) -> dict[str, Any]:
        label, place = self.at(position)
        rng = np.random.default_rng([self.seed, position, 5])
        others = map(int, rng.permutation(self._places[label]))  # shots of the same identity
        found = self.tolerant.first(itertools.chain([place], others))
        return {**found, "label": np.int32(label)}

    def at(self, position: int) -> tuple[int, int]:
        """(label, place in the source) at a position of the stream."""
        number, slot = divmod(position, self.identities * self.instances)
        return self._batch(number)[slot]

    def _drawn(self, number: int) -> list[tuple[int, int]]:
        epoch, part = divmod(number, len(self.names) // self.identities)
        labels = self._order(epoch)[part * self.identities :][: self.identities]
        rng = np.random.default_rng([self.seed, number, 2])
        return [(int(label), int(p)) for label in labels for p in self._shots(int(label), rng)]

    def _shots(self, label: int, rng: np.random.Generator) -> np.ndarray:
        places = rng.permutation(self._places[label])
        cameras = np.asarray(self.source.cameras)[places]
        turn = np.zeros(len(places), int)  # the first of every camera, then every second, ...
        for camera in np.unique(cameras):
            mine = cameras == camera
            turn[mine] = np.arange(mine.sum())
        places = places[np.argsort(turn, kind="stable")]
        return np.resize(places, self.instances)

    def __repr__(self) -> str:
        return f"identities({self.source!r}, {self.identities}x{self.instances}, {self.seed})"


class Shot(grain.transforms.MapWithIndex):
    """Flip, shift, brightness and erasing, drawn from the seed and the position alone.

    Geometry is the same for all modalities of a shot, so that they stay aligned; light is
    each one's own.

    Args:
      shift: pixels of reflected border that a crop may move over.
      brightness: lowest and highest factor.
      erase: probability of a rectangle of noise (Zhong et al., 2020: 2 % to 33 % of the
        area, aspect 0.3 to 3.3).
    """

    def __init__(self, *, seed: int, flip: float, shift: int, brightness: tuple, erase: float):
        self.seed, self.flip, self.shift = seed, flip, shift
        self.brightness, self.erase = tuple(brightness), erase

    def map_with_index(self, index: int, element: Mapping[str, Any]) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, index, 3])
        image = element["image"]
        if rng.random() < self.flip:
            image = image[:, :, ::-1]
        if self.shift:
            image = self._moved(image, rng)
        image = image.astype(np.float32) / np.float32(255)
        low, high = self.brightness
        image = image * rng.uniform(low, high, (len(image), 1, 1, 1)).astype(np.float32)
        image = np.clip(image, 0, 1)
        if rng.random() < self.erase:
            image = erased(image, rng)
        return {
            **{name: element[name] for name in ARRAYS[1:]},
            "image": np.ascontiguousarray(image, np.float32),
        }

    def _moved(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _, h, w, _ = image.shape
        s = self.shift
        y, x = rng.integers(0, 2 * s + 1, 2)
        around = ((0, 0), (s, s), (s, s), (0, 0))
        return np.pad(image, around, mode="edge")[:, y : y + h, x : x + w]


def erased(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A rectangle of noise in the same place of every modality `[m h w 3]`."""
    _, h, w, _ = image.shape
    for _ in range(10):
        area = rng.uniform(0.02, 0.33) * h * w
        aspect = np.exp(rng.uniform(np.log(0.3), np.log(3.3)))
        tall, wide = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < tall < h and 0 < wide < w:
            y, x = rng.integers(0, h - tall + 1), rng.integers(0, w - wide + 1)
            image = image.copy()
            noise = rng.random((len(image), tall, wide, 3), np.float32)
            image[:, y : y + tall, x : x + wide] = noise
            return image
    return image


def train_batches(
    source: Any,
    *,
    identities: int,
    instances: int,
    seed: int,
    flip: float = 0.5,
    shift: int = 4,
    brightness: Sequence[float] = (0.6, 1.4),
    erase: float = 0.4,
    threads: int = 2,
) -> grain.DatasetIterator:
    """Endless batches of `identities` times `instances` shots; the n-th by `seed` and n alone.

    Returns:
      An iterator with get_state / set_state over dicts of `image` float32 [b m h w 3] in
      [0, 1], `present` [b m], `label` int32 [b] (0 .. identities of the source, in sorted
      order), `camera` and `index` int32 [b].

    Raises:
      InputError: as `IdentityStream`.
    """
    stream = IdentityStream(source, identities=identities, instances=instances, seed=seed)
    change = Shot(seed=seed, flip=flip, shift=shift, brightness=tuple(brightness), erase=erase)
    size = identities * instances
    batches = iter(
        grain.MapDataset.source(stream)
        .map_with_index(change)
        .batch(size, drop_remainder=True)
        .to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * size * bool(threads))
        )
    )
    batches.source = source
    return batches


def eval_batches(source: Any, size: int):
    """Every shot once, in order, `size` at a time; the last is padded and `mask` says where."""
    for start in range(0, len(source), size):
        found = [source[i] for i in range(start, min(start + size, len(source)))]
        mask = np.arange(size) < len(found)
        found += [found[-1]] * (size - len(found))
        yield {
            "image": np.stack([e["image"] for e in found]).astype(np.float32) / np.float32(255),
            "present": np.stack([e["present"] for e in found]),
            "camera": np.array([e["camera"] for e in found], np.int32),
            "mask": mask,
        }


def resized(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A picture at (height, width): area where it shrinks, cubic where it grows."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] * image.shape[1] > height * width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=how)
