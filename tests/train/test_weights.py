"""Weights to ship: what goes in comes out, and nothing else is taken for them."""

import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors, files
from wxjax.train import checkpoint, weights

TREE = {
    "params": {
        "head": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "gate": np.float32(2)},
        "half": jnp.array([1.5, -2.0], jnp.bfloat16),
    },
    "batch_stats": {"mean": np.zeros(3, np.float32)},
}


def test_weights_and_their_card_come_back_whole(tmp_path):
    checkpoint.save_variables(tmp_path, TREE, {"config": "tiny", "step": 3})
    loaded, metadata = weights.load(tmp_path)
    assert metadata == {"config": "tiny", "step": 3}
    assert loaded["params"]["half"].dtype == jnp.bfloat16
    jax.tree.map(np.testing.assert_array_equal, loaded, TREE)
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load_variables(tmp_path), TREE)
    weights.check(loaded, TREE, tmp_path)


def test_equal_weights_are_equal_files(tmp_path):
    for name in "ab":
        checkpoint.save_variables(tmp_path / name, TREE, {})
    assert files.sha256(tmp_path / "a/weights.npz") == files.sha256(tmp_path / "b/weights.npz")


def test_a_changed_byte_is_refused(tmp_path):
    checkpoint.save_variables(tmp_path, TREE, {})
    data = bytearray((tmp_path / "weights.npz").read_bytes())
    data[200] ^= 1
    (tmp_path / "weights.npz").write_bytes(data)
    with pytest.raises(errors.InputError, match="weights.npz.*was changed"):
        checkpoint.load_variables(tmp_path)


def forge(folder, arrays, card, packed=False):
    """A folder whose card fits its file, as an attacker would write it."""
    (np.savez_compressed if packed else np.savez)(folder / "weights.npz", **arrays)
    sha256 = files.sha256(folder / "weights.npz")
    files.write_json(folder / "weights.json", {"metadata": {}, "arrays": card, "sha256": sha256})


class Bomb:
    def __reduce__(self):
        return (exec, ("open('marker', 'w')",))


@pytest.mark.parametrize(
    ("arrays", "card"),
    [
        ({"a": np.array([Bomb()], object)}, {"a": "float32[1]"}),
        ({"a": np.zeros(2, np.float32)}, {"a": f"float32[{2**60}]"}),
        ({"a": np.zeros(2, np.float32)}, {"a": "float32[3]"}),
        ({"a": np.zeros(2, np.float32)}, {"b": "float32[2]"}),
        ({"a": np.zeros(2, np.float32)}, {"a": "nonsense"}),
        ({"a": np.zeros(2, np.float32)}, ["a"]),
    ],
)
def test_a_forged_file_is_refused_and_runs_nothing(tmp_path, monkeypatch, arrays, card):
    monkeypatch.chdir(tmp_path)
    forge(tmp_path, arrays, card)
    with pytest.raises(errors.InputError, match="weights"):
        weights.load(tmp_path)
    assert not (tmp_path / "marker").exists()


def test_a_packed_file_is_refused_before_it_is_opened(tmp_path):
    forge(tmp_path, {"a": np.zeros(10**6, np.float32)}, {"a": "float32[1000000]"}, packed=True)
    with pytest.raises(errors.InputError, match="packed entries"):
        weights.load(tmp_path)


def test_text_named_npz_is_refused(tmp_path):
    checkpoint.save_variables(tmp_path, TREE, {})
    (tmp_path / "weights.npz").write_text("not a zip")
    card = json.loads((tmp_path / "weights.json").read_text())
    files.write_json(
        tmp_path / "weights.json", {**card, "sha256": files.sha256(tmp_path / "weights.npz")}
    )
    assert not zipfile.is_zipfile(tmp_path / "weights.npz")
    with pytest.raises(errors.InputError, match="not a weights file of wxjax"):
        weights.load(tmp_path)


def test_weights_of_another_model_list_both_sides():
    other = {
        "params": {
            "head": {"kernel": np.zeros((2, 4), np.float32)},
            "half": jnp.zeros(2, jnp.bfloat16),
            "stem": np.zeros(1, np.float32),
        },
        "batch_stats": {"mean": np.zeros(3, np.float32)},
    }
    with pytest.raises(errors.InputError) as info:
        weights.check(TREE, other, "my/weights")
    assert str(info.value).splitlines() == [
        "'my/weights': these weights belong to another model:",
        " - params/stem float32[1]",
        " + params/head/gate float32[]",
        " ~ params/head/kernel float32[2,3], expected float32[2,4]",
    ]
