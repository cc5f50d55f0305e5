"""Checkpoints as torch.save writes them, made without PyTorch."""

import io
import pickle
import zipfile

import numpy as np

from wxjax.interop import dehazexl_shapes

STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
}


class Name:
    """A global that a pickle asks for by name."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("only its name is ever written")


class Storage:
    def __init__(self, key: int, array: np.ndarray):
        self.key, self.array = str(key), array


class Call:
    """A call in the pickle: `name(*arguments)`."""

    def __init__(self, name: Name, *arguments):
        self.name, self.arguments = name, arguments


class Pickler(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)

    def save_name(self, name):
        self.write(f"c{name.module}\n{name.name}\n".encode())

    def save_call(self, call):
        self.save_reduce(call.name, call.arguments)

    def persistent_id(self, item):
        if isinstance(item, Storage):
            kind = Name("torch", STORAGES[str(item.array.dtype)])
            return ("storage", kind, item.key, "cpu", item.array.size)
        return None

    dispatch[Name] = save_name
    dispatch[Call] = save_call


def tensor(storage, offset, shape, strides, *, rebuild="_rebuild_tensor_v2"):
    hooks = Call(Name("collections", "OrderedDict"))
    return Call(Name("torch._utils", rebuild), storage, offset, shape, strides, False, hooks)


def contiguous(key, array):
    strides = tuple(step // array.itemsize for step in np.array(array, order="C").strides)
    return tensor(Storage(key, array), 0, array.shape, strides)


def write(path, content, storages):
    """The archive; `content` is what data.pkl holds, `storages` arrays by key."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        packed = io.BytesIO()
        Pickler(packed, protocol=2).dump(content)
        archive.writestr("best/data.pkl", packed.getvalue())
        archive.writestr("best/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"best/data/{key}", array.tobytes())
        archive.writestr("best/version", "3\n")
    return path


def save(path, state, wrap=lambda entries: entries):
    """A `state_dict` of arrays as .pth."""
    entries = {name: contiguous(key, x) for key, (name, x) in enumerate(state.items())}
    return write(path, wrap(entries), dict(enumerate(state.values())))


def small(*, up="conv", dims=(8, 16, 32, 64), depths=(1, 1, 2, 1), seed=0):
    """The state of a DehazeXL with a twelfth of the widths, and its sizes."""
    model = {**dehazexl_shapes.OFFICIAL, "dims": dims, "depths": depths}
    model |= {"head_dim": 8, "mlp_ratio": 2}
    model["bottleneck"] = {**model["bottleneck"], "depth": 1}
    model["decoder"] = {**model["decoder"], "depth": 1, "head_dim": 16, "up": up}
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in dehazexl_shapes.shapes(model).items():
        spread = np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1
        state[name] = (spread * rng.standard_normal(shape)).astype(np.float32)
    return model, state
