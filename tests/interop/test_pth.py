"""PyTorch's archives without PyTorch: what is read, and what is refused."""

import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from tests.interop import checkpoints
from tests.interop.checkpoints import Call, Name, Storage
from wxjax import errors
from wxjax.interop import pth, state_files


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.int64])
def test_a_state_dict_comes_back(tmp_path, dtype):
    state = {
        "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4).astype(dtype),
        "a.bias": np.array(2.0, dtype),
        "none": np.zeros((0, 3), dtype),
    }
    found = pth.read(checkpoints.save(tmp_path / "a.pth", state))
    assert list(found) == list(state)
    for name, array in state.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_views_of_one_storage_come_back(tmp_path):
    data = np.arange(12, dtype=np.float32)
    shared = Storage(0, data)
    content = {
        "transposed": checkpoints.tensor(shared, 0, (4, 3), (1, 4)),
        "row": checkpoints.tensor(shared, 4, (4,), (1,)),
    }
    found = pth.read(checkpoints.write(tmp_path / "a.pth", content, {0: data}))
    np.testing.assert_array_equal(found["transposed"], data.reshape(3, 4).T)
    np.testing.assert_array_equal(found["row"], data[4:8])


def test_a_training_checkpoint_gives_the_state_in_it(tmp_path):
    state = {"w": np.ones((2, 2), np.float32)}
    path = checkpoints.save(
        tmp_path / "a.pt", state, wrap=lambda entries: {"epoch": 3, "state_dict": entries}
    )
    np.testing.assert_array_equal(pth.read(path)["w"], state["w"])


@pytest.mark.parametrize(
    "module, name",
    [("os", "system"), ("builtins", "eval"), ("models.net", "DehazeXL"), ("torch._utils", "x")],
)
def test_any_other_name_is_refused_and_nothing_runs(tmp_path, module, name):
    mark = tmp_path / "ran"
    content = Call(Name(module, name), f"touch {mark}")
    path = checkpoints.write(tmp_path / "a.pth", content, {})
    with pytest.raises(errors.InputError, match=f"asks for {module}.{name}.*refused") as caught:
        pth.read(path)
    assert not mark.exists() and "\n" not in str(caught.value)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    data = np.zeros(4, np.float32)
    for shape, strides, offset in (((5,), (1,), 0), ((4,), (1,), 1), ((10**9,), (0,), 0)):
        entry = checkpoints.tensor(Storage(0, data), offset, shape, strides)
        path = checkpoints.write(tmp_path / "a.pth", {"w": entry}, {0: data})
        with pytest.raises(errors.InputError, match="larger than its storage"):
            pth.read(path)


def test_a_file_cut_anywhere_is_refused_in_one_line(tmp_path):
    state = {"w": np.arange(1000, dtype=np.float32)}
    whole = checkpoints.save(tmp_path / "a.pth", state).read_bytes()
    for size in (0, 1, 40, 200, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pth").write_bytes(whole[:size])
        with pytest.raises(errors.InputError, match="truncated") as caught:
            pth.read(tmp_path / "cut.pth")
        assert "cut.pth" in str(caught.value) and "\n" not in str(caught.value)


def test_a_changed_byte_is_noticed(tmp_path):
    path = checkpoints.save(tmp_path / "a.pth", {"w": np.ones(1000, np.float32)})
    data = bytearray(path.read_bytes())
    at = data.index(np.ones(4, np.float32).tobytes()) + 100
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(errors.InputError, match="damaged"):
        pth.read(path)


def test_the_format_from_before_1_6_is_named(tmp_path):
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    (tmp_path / "old.pth").write_bytes(magic + pickle.dumps(1001, protocol=2))
    with pytest.raises(errors.InputError, match="before 1.6.*weights_only=True"):
        pth.read(tmp_path / "old.pth")


def test_a_torchscript_program_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"")
        archive.writestr("a/code/model.py", "print('ran')")
    with pytest.raises(errors.InputError, match="TorchScript"):
        pth.read(tmp_path / "a.pt")


def test_other_formats_give_the_same_arrays(tmp_path):
    import safetensors.numpy

    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}
    safetensors.numpy.save_file(state, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **state)
    checkpoints.save(tmp_path / "a.pth", state)
    for name in ("a.safetensors", "a.npz", "a.pth"):
        found = state_files.read(tmp_path / name)
        assert all(np.array_equal(found[key], state[key]) for key in state) and len(found) == 2


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.pth"])
def test_text_in_place_of_a_checkpoint_is_one_line(tmp_path, name):
    (tmp_path / name).write_text("not a checkpoint at all, only words")
    with pytest.raises(errors.InputError, match=name) as caught:
        state_files.read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_another_ending_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(errors.InputError, match=r"expected a checkpoint by its ending: \.pth"):
        state_files.read(tmp_path / "weights.h5")
    with pytest.raises(errors.InputError, match="no such file"):
        state_files.read(tmp_path / "weights.pth")
