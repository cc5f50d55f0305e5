"""A folder of pictures as a film: the job of `film.py`, its frames read and written one by one."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wxjax import errors, files
from wxjax.data import clips, images
from wxjax.restore import records
from wxjax.restore.film import Film


class Frames(Film):
    """A folder whose pictures are the frames of one film, in natural order."""

    def __init__(self, source: pathlib.Path, target: pathlib.Path, key: str, overwrite: bool):
        self.paths = clips.frames_of(source)
        if not self.paths:
            raise errors.InputError(f"no picture in folder {str(source)!r}.")
        super().__init__(source, target, key, overwrite)
        record = records.read(target)
        ours = record or overwrite or (self.parts / "job.json").is_file()  # or of a job under way
        if target.is_dir() and any(target.iterdir()) and not ours:
            raise errors.InputError(f"{str(target)!r} is in the way: not made here. Move it.")
        self.before = self.output() if target.is_dir() and record else None

    def fingerprint(self) -> str:
        return records.sha256("".join(files.sha256(path) for path in self.paths).encode())

    def output(self) -> str:
        found = [path for path in clips.frames_of(self.target) if path.is_file()]
        return records.sha256("".join(files.sha256(path) for path in found).encode())

    def open(self) -> None:
        self.count = len(self.paths)
        self.width, self.height = images.size(self.paths[0])
        self.target.mkdir(parents=True, exist_ok=True)

    def frames(self):
        for number, path in enumerate(self.paths):
            self.picture = images.single(images.read(path))
            pixels = images.to_bytes(self.picture)
            if pixels is None:
                pixels = np.rint(images.to_rgb(self.picture) * 65535).astype(np.uint16)
            if pixels.shape[:2] != (self.height, self.width):
                h, w = pixels.shape[:2]
                expected = f"expected {self.width}x{self.height}, as the first frame"
                raise errors.bad(str(path), f"{w}x{h}", expected)
            yield number, number, pixels

    def seconds(self, pts: int) -> float:
        return float(pts)

    def begin(self, number: int) -> Any:
        return self

    def write(self, writer: Any, pixels: np.ndarray, pts: int) -> None:
        deep = pixels.dtype != np.uint8
        made = (
            images.with_rgb(self.picture, pixels.astype(np.float32) / 65535)
            if deep
            else images.with_bytes(self.picture, pixels)
        )
        images.write(self.target / self.paths[pts].name, made)

    def close(self, writer: Any) -> int:
        return 0

    def publish(self, finished: Sequence[Mapping], settings: Mapping, spent: float) -> None:
        self.note(finished, settings, spent, {"width": self.width, "height": self.height})
