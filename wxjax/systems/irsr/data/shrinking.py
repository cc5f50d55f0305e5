"""A folder of large frames as a folder of pairs, file by file."""

import os
import pathlib
import zlib

import numpy as np
from rich import progress as bars

from wxjax import errors, files
from wxjax.data import images
from wxjax.data.formats import png
from wxjax.systems.irsr.data import downscale, frames


def shrink(root: os.PathLike | str, out: os.PathLike | str, name: str, scale: int = 4) -> int:
    """Writes `HR/` and `LR/` as PNG. Returns the pairs' number.

    Raises:
      InputError: for an unknown degradation, no frames, or an `out` inside `root`.
    """
    downscale.check(name)
    root, out = pathlib.Path(root), pathlib.Path(out)
    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise errors.bad("--out", str(out), "expected a folder outside the frames'")
    if not root.is_dir():
        raise errors.bad("shrink", str(root), "expected a folder of frames")
    found = frames.plain(root)
    if not found:
        raise errors.InputError(f"{root}: no frames found.")
    for frame in bars.track(found, description="shrink", transient=True):
        target = frames.pixels(images.read(frame.path))
        h, w = (n - n % scale for n in target.shape[:2])
        rng = np.random.default_rng([zlib.crc32(frame.id.encode())])
        small = downscale.degrade(name, target[:h, :w], scale, rng)
        for kind, x in (("HR", target[:h, :w]), ("LR", small)):
            layout = "grey" if x.shape[-1] == 1 else "rgb"
            files.write_bytes(out / kind / f"{frame.id}.png", png.encode(b"", x, layout))
    return len(found)
