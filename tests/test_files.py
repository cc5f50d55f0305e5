"""A file exists under its name only when it is complete."""

import errno
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from wxjax import errors, files


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path):
    target = tmp_path / "deep" / "down" / "a.bin"
    with files.atomic(target) as file:
        file.write(b"half")
        assert not target.exists()
        file.write(b" whole")
    assert target.read_bytes() == b"half whole" and names(target.parent) == ["a.bin"]


@pytest.mark.parametrize("slip", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_an_error_of_any_kind_leaves_the_old_file_and_nothing_beside_it(slip, tmp_path):
    target = tmp_path / "a.bin"
    files.write_bytes(target, b"old")
    with pytest.raises(type(slip)), files.atomic(target) as file:
        file.write(b"new")
        raise slip
    assert target.read_bytes() == b"old" and names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only")],
)
def test_a_disk_that_refuses_is_one_line_and_no_stump(number, words, tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(number, os.strerror(number))

    target = tmp_path / "a.bin"
    files.write_bytes(target, b"old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(errors.InputError, match=words) as caught:
        files.write_bytes(target, b"new" * 1000)
    assert str(target) in str(caught.value) and "\n" not in str(caught.value)
    assert target.read_bytes() == b"old" and names(tmp_path) == ["a.bin"]


def test_a_file_size_limit_leaves_no_part_of_a_file(tmp_path):
    program = (
        "import resource, sys; from wxjax import errors, files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "files.write_bytes(sys.argv[1] + '/small', bytes(40_000))\n"
        "try: files.write_bytes(sys.argv[1] + '/large', bytes(60_000))\n"
        "except errors.InputError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "file-size limit is reached" in done.stdout and "large" in done.stdout
    assert names(tmp_path) == ["small"] and (tmp_path / "small").stat().st_size == 40_000


@pytest.mark.parametrize("place", ["file/below.txt", "/proc/none/below.txt"])
def test_a_place_that_cannot_be_written_is_named(place, tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(errors.InputError, match="cannot write .*below.txt"):
        files.write_text(tmp_path / place, "text")


def test_a_new_file_has_the_rights_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_json_takes_numpy_numbers_and_refuses_nan(tmp_path):
    path = tmp_path / "a.json"
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": pathlib.PurePath("x/y")}
    files.write_json(path, value)
    assert files.read_json(path) == {"a": 0.5, "b": [0, 1, 2], "c": "x/y"}
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"a": float("nan")})
    assert files.read_json(path)["a"] == 0.5


def test_a_bad_line_of_jsonl_is_named_by_its_number(tmp_path):
    path = tmp_path / "a.jsonl"
    files.write_jsonl(path, [{"a": 1}, {"b": "é\n"}])
    assert files.read_jsonl(path) == [{"a": 1}, {"b": "é\n"}]
    path.write_text(json.dumps({"a": 1}) + "\n\n{broken\n")
    with pytest.raises(errors.InputError, match=r"a.jsonl:3: not valid JSON"):
        files.read_jsonl(path)


def test_a_digest_sees_names_types_shapes_and_values():
    base = {"a": np.zeros((2, 3), np.float32), "b": np.ones(2)}
    others = [
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"].astype(np.float64), "b": base["b"]},
        {"a": base["a"].reshape(3, 2), "b": base["b"]},
        {"a": base["a"] + np.float32(1e-7), "b": base["b"]},
    ]
    assert files.digest(dict(reversed(base.items()))) == files.digest(base)
    assert len({files.digest(one) for one in [base, *others]}) == 5
