"""PyTorch's .pth files without PyTorch, and without running anything that they ask for.

A file is a zip archive: `<name>/data.pkl` describes tensors, `<name>/data/<key>` holds
their bytes. The description is a pickle, a small program; only the few calls that rebuild
tensors are answered, by inert records of our own, and any other name is refused.
"""

import collections
import io
import os
import pathlib
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from wxjax import errors, files

_TYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_LEGACY = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # the magic number that files before 1.6 begin with
_CURE = "Save the weights alone: torch.save(model.state_dict(), FILE)."


class Storage:
    """The type and place of a tensor's bytes."""

    __slots__ = ("dtype", "key", "numel")


class Tensor:
    """A view of a storage: `offset`, `shape` and `strides` in elements."""

    __slots__ = ("storage", "offset", "shape", "strides")


def read(path: os.PathLike | str) -> dict[str, np.ndarray]:
    """The tensors of a `state_dict`, or of the one that a training checkpoint holds.

    Raises:
      InputError: for a file that cannot be read, is damaged, in the format from before
        PyTorch 1.6, or holds anything but plain containers and tensors.
    """
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(64)
        if not head.startswith(b"PK"):
            raise errors.InputError(f"{str(path)!r}: {not_an_archive(head)}")
        with zipfile.ZipFile(path) as archive:
            return tensors(archive)
    except errors.InputError as error:
        text = str(error)
        raise errors.InputError(text if str(path) in text else f"{str(path)!r}: {text}") from None
    except OSError as error:
        raise files.explain(error, path, "read") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise errors.InputError(
            f"{str(path)!r}: truncated or damaged ({error}). Copy or download it again."
        ) from error
    except Exception as error:  # a pickle can go wrong in any way
        raise errors.InputError(
            f"{str(path)!r}: not a PyTorch checkpoint ({type(error).__name__}: {error})."
        ) from error


def not_an_archive(head: bytes) -> str:
    """What a file that is no zip archive is, by its first bytes."""
    if _LEGACY in head:
        return (
            "in PyTorch's format from before 1.6, which is not read here. Convert it once: "
            "torch.save(torch.load(FILE, weights_only=True), NEW)."
        )
    return "not a PyTorch checkpoint (no zip archive). Is it truncated, or of another format?"


def tensors(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Arrays by name out of an open archive; storages are read one by one."""
    names = [name for name in archive.namelist() if name.split("/", 1)[-1] == "data.pkl"]
    if any("/code/" in name for name in archive.namelist()):
        raise errors.InputError(f"a TorchScript program, which holds code. {_CURE}")
    if len(names) != 1:
        raise errors.InputError("not a PyTorch checkpoint (a zip archive without data.pkl).")
    folder = names[0].removesuffix("data.pkl")
    order = folder + "byteorder"
    if order in archive.namelist() and archive.read(order).strip() == b"big":
        raise errors.InputError("saved on a big-endian machine, which is not read here.")
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise errors.InputError("not as torch.save writes (packed entries).")
    state = pick(Inert(io.BytesIO(archive.read(names[0]))).load())
    return {key: array(archive, folder, value) for key, value in state.items()}


def pick(loaded: Any) -> dict[str, Tensor]:
    """The one mapping of tensors: the whole, or what stands under a usual name."""
    if isinstance(loaded, Mapping):
        usual = ("state_dict", "model_state_dict", "model", "params_ema", "params", "net")
        for value in (loaded, *(loaded.get(name) for name in usual)):
            if isinstance(value, Mapping):
                found = {k: v for k, v in value.items() if isinstance(v, Tensor)}
                if found:
                    return found
    raise errors.InputError(f"holds no state_dict (a mapping of tensors). {_CURE}")


def array(archive: zipfile.ZipFile, folder: str, tensor: Tensor) -> np.ndarray:
    """The tensor's own copy of its bytes, after a check that it lies within its storage."""
    storage = tensor.storage
    data = np.frombuffer(archive.read(f"{folder}data/{storage.key}"), storage.dtype)
    size = int(np.prod(tensor.shape, dtype=np.int64))
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((n - 1) * step for n, step in steps)
    negative = min((tensor.offset, *tensor.shape, *tensor.strides)) < 0
    if negative or size > len(data) or (size and last >= len(data)):
        raise errors.InputError("truncated or damaged (a tensor is larger than its storage).")
    if not size:
        return np.zeros(tensor.shape, data.dtype)
    strides = [step * data.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(data[tensor.offset :], tensor.shape, strides)
    return np.array(view)


class Inert(pickle.Unpickler):
    """Answers the names that a `state_dict` needs with records; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name in _REBUILD:
            return _REBUILD[name]
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise errors.InputError(
            f"asks for {module}.{name}: a pickled module or program, which would run code when "
            f"loaded and is refused. {_CURE}"
        )

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, numel = pid
        if kind != "storage" or dtype not in _TYPES.values():
            raise errors.InputError(f"holds something that is no tensor ({kind!r}).")
        storage = Storage()
        storage.dtype, storage.key, storage.numel = np.dtype(dtype), str(key), int(numel)
        return storage


def _tensor(storage, offset, shape, strides, *_) -> Tensor:
    if not isinstance(storage, Storage):
        raise errors.InputError("truncated or damaged (a tensor without storage).")
    tensor = Tensor()
    tensor.storage, tensor.offset = storage, int(offset)
    tensor.shape = tuple(int(n) for n in shape)
    tensor.strides = tuple(int(n) for n in strides)
    return tensor


def _parameter(data, *_) -> Tensor:
    return data


_REBUILD = {"_rebuild_tensor_v2": _tensor, "_rebuild_parameter": _parameter}
