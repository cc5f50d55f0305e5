"""A folder of pictures as a film: the job of `job.py`, its frames read and written one by one."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wxjax import errors, files
from wxjax.data import clips, images
from wxjax.restore import records
from wxjax.restore.job import Job


class Frames(Job):
    """A folder whose pictures are the frames of one film, in natural order."""

    def __init__(self, source: pathlib.Path, target: pathlib.Path, key: str, overwrite: bool):
        self.paths = clips.frames_of(source)
        if not self.paths:
            raise errors.InputError(f"no picture in folder {str(source)!r}.")
        super().__init__(source, target, key, overwrite)

    def clear(self) -> None:
        target, record = self.target, records.read(self.target)
        ours = record or self.overwrite or (self.parts / "job.json").is_file()  # or under way
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
        for path in self.paths[1:]:
            self._alike(path, *images.size(path))
        self.target.mkdir(parents=True, exist_ok=True)

    def frames(self):
        for number, path in enumerate(self.paths):
            self.picture = images.single(images.read(path))
            pixels = images.to_bytes(self.picture)
            if pixels is None:
                pixels = np.rint(images.to_rgb(self.picture) * 65535).astype(np.uint16)
            self._alike(path, *pixels.shape[1::-1])
            yield number, number, pixels

    def _alike(self, path: pathlib.Path, width: int, height: int) -> None:
        if (width, height) != (self.width, self.height):
            expected = f"expected {self.width}x{self.height}, as the first frame"
            raise errors.bad(str(path), f"{width}x{height}", expected)

    def seconds(self, pts: int) -> float:
        return float(pts)

    def begin(self, number: int) -> Any:
        return self

    def write(self, writer: Any, pixels: np.ndarray, pts: int, same: bool) -> None:
        deep = pixels.dtype != np.uint8
        made = (
            images.with_rgb(self.picture, pixels.astype(np.float32) / 65535)
            if deep
            else images.with_bytes(self.picture, pixels)
        )
        images.write(self.target / self.paths[pts].name, made)

    def close(self, writer: Any) -> int:
        return 0

    def publish(self, finished: Sequence[Mapping], settings: Mapping, spent: float) -> list[str]:
        about = {"width": self.width, "height": self.height}
        self.note(finished, settings, spent, about, self.output())
        return []
