"""A `state_dict` from a file: .pth, .safetensors or .npz."""

import os
import pathlib
import zipfile

import numpy as np
import safetensors
import safetensors.numpy

from wxjax import errors, files
from wxjax.interop import pth

TORCH = (".pth", ".pt", ".ckpt", ".bin")
SUFFIXES = (*TORCH, ".safetensors", ".npz")


def read(path: os.PathLike | str) -> dict[str, np.ndarray]:
    """Arrays by PyTorch's names; no code in a file is ever run.

    Raises:
      InputError: for another kind of file, and for one that is missing or damaged.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise errors.InputError(
            f"{str(path)!r}: expected a checkpoint by its ending: {', '.join(SUFFIXES)}."
        )
    if not path.is_file():
        raise errors.InputError(f"{str(path)!r}: there is no such file.")
    if suffix in TORCH:
        return pth.read(path)
    try:
        if suffix == ".safetensors":
            return dict(safetensors.numpy.load_file(path))
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise files.explain(error, path, "read") from error
    except (safetensors.SafetensorError, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise errors.InputError(
            f"{str(path)!r}: not a {suffix} file, or damaged ({' '.join(str(error).split())})."
        ) from error
