"""Jobs that lose nothing: bad files, full disks, kills and second runs."""

import contextlib
import errno
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.data import samples
from wxjax import errors, files
from wxjax.data import images
from wxjax.restore import listing, photo, records

SETTINGS = {"model": "identity", "weights_sha256": "0" * 64}


def invert(rgb):
    return 1 - rgb, {"route": "dense", "pmax": np.float32(0.5), "p": [0.5, np.nan]}


def put(folder: pathlib.Path, *names: str) -> None:
    """One sample of the fitting format for each name."""
    kinds = {".png": "16-rgb.png", ".jpg": "444.jpg", ".tif": "16-rgb.tif"}
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(samples.ALL[kinds[path.suffix]][0])


def run(inputs, out, restorer=photo.identity, **options) -> photo.Report:
    options = {"settings": SETTINGS, "progress": False} | options
    return photo.restore(inputs, out, restorer, **options)


def tree(folder: pathlib.Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_a_folder_is_mirrored_and_identity_copies_every_file(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    for name, (data, _, _) in samples.ALL.items():
        path = source / name.split(".")[-1] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    report = run([source], out)
    assert len(report.done) == len(samples.ALL) and not report.failed
    inputs = tree(source)
    assert tree(out) == sorted([*inputs, *(name + ".json" for name in inputs)])
    for name in inputs:
        assert (out / name).read_bytes() == (source / name).read_bytes()


def test_the_record_says_what_was_done(tmp_path):
    put(tmp_path, "a.png")
    report = run([tmp_path / "a.png"], tmp_path / "out", invert)
    record = json.loads((tmp_path / "out" / "a.png.json").read_text())
    assert record["input"] == {
        "path": str(tmp_path / "a.png"),
        "sha256": files.sha256(tmp_path / "a.png"),
    }
    assert record["output"]["sha256"] == files.sha256(report.done[0])
    assert record["picture"]["format"] == "PNG" and record["picture"]["bits"] == 16
    assert (record["picture"]["width"], record["picture"]["height"]) == (34, 21)
    assert record["restoration"] == {"route": "dense", "pmax": 0.5, "p": [0.5, None]}
    assert record["settings"] == SETTINGS and record["seconds"] > 0
    before = images.read(tmp_path / "a.png").pixels
    np.testing.assert_array_equal(images.read(report.done[0]).pixels, 65535 - before)


def test_a_png_and_a_jpg_of_one_name_do_not_meet(tmp_path):
    put(tmp_path / "in", "a.png", "a.jpg")
    run([tmp_path / "in"], tmp_path / "out")
    assert tree(tmp_path / "out") == ["a.jpg", "a.jpg.json", "a.png", "a.png.json"]


def test_a_second_run_does_only_what_is_missing_or_changed(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    put(source, "a.png", "b.jpg", "c/d.tif")
    assert len(run([source], out).done) == 3
    again = run([source], out)
    assert not again.done and len(again.skipped) == 3
    (out / "b.jpg").unlink()
    assert run([source], out).done == [out / "b.jpg"]
    (source / "a.png").write_bytes(samples.ALL["8-rgb.png"][0])
    assert run([source], out).done == [out / "a.png"]
    other = run([source], out, invert, settings=SETTINGS | {"weights_sha256": "1" * 64})
    assert len(other.done) == 3


def test_a_strangers_file_in_the_way_is_kept_unless_overwriting_is_allowed(tmp_path):
    put(tmp_path / "in", "a.png", "b.png")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("mine")
    report = run([tmp_path / "in"], out)
    assert report.done == [out / "b.png"] and (out / "a.png").read_text() == "mine"
    assert "in the way" in report.failed[0].reason
    (out / "b.png").write_text("edited")
    assert len(run([tmp_path / "in"], out).failed) == 2
    (out / "b.png.json").write_text("notes of mine")
    (out / "b.png").unlink()
    assert len(run([tmp_path / "in"], out).failed) == 2
    assert len(run([tmp_path / "in"], out, overwrite=True).done) == 2
    assert len(run([tmp_path / "in"], out).skipped) == 2


def test_a_kill_between_record_and_picture_is_mended_by_the_next_run(tmp_path):
    put(tmp_path, "a.png")
    out = tmp_path / "out"
    run([tmp_path / "a.png"], out)
    first = (out / "a.png").read_bytes()
    changed = {"settings": SETTINGS | {"seed": 1}}
    run([tmp_path / "a.png"], out, invert, **changed)
    new = (out / "a.png").read_bytes()
    (out / "a.png").write_bytes(first)  # the record is new, the picture not yet
    assert run([tmp_path / "a.png"], out, invert, **changed).done == [out / "a.png"]
    assert (out / "a.png").read_bytes() == new


def test_bad_files_are_listed_and_the_others_done(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    put(source, *(f"{i}.png" for i in range(5)), "folder.png/x.png")
    (source / "cut.png").write_bytes(samples.ALL["16-rgb.png"][0][:500])
    (source / "empty.jpg").touch()
    (source / "text.png").write_text("text")
    (source / "dangling.tif").symlink_to("nowhere")
    os.mkfifo(source / "pipe.png")
    report = run([source, tmp_path / "missing"], out, progress=True)
    assert len(report.done) == 6 and len(report.failed) == 6
    assert len(tree(out)) == 12
    said = capsys.readouterr().err
    for name in ("cut.png", "empty.jpg", "text.png", "dangling.tif", "pipe.png", "missing"):
        assert sum(name in failure.reason for failure in report.failed) == 1
        assert f"{name}'" in said
    assert "6 restored, 0 were up to date, 6 failed" in said
    assert "/s, 0 s left" in said and "\x1b" not in said


def test_a_picture_that_becomes_nan_or_breaks_the_restorer_is_not_written(tmp_path):
    put(tmp_path / "in", "a.png", "b.png", "c.png")
    calls = iter([np.nan, 0.5, None])

    def restorer(rgb):
        value = next(calls)
        if value is None:
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nand more")
        return np.full_like(rgb, value), {}

    report = run([tmp_path / "in"], tmp_path / "out", restorer)
    assert tree(tmp_path / "out") == ["b.png", "b.png.json"]
    assert "NaN or infinite" in report.failed[0].reason
    last = "c.png': RuntimeError: RESOURCE_EXHAUSTED: out of memory"
    assert report.failed[1].reason.endswith(last)


def test_nothing_to_read_or_nowhere_to_write_is_an_error_before_any_work(tmp_path):
    def never(rgb):
        raise AssertionError("computed before checking")

    put(tmp_path / "in", "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(errors.InputError, match="'nowhere', 'none.png': no such file or folder"):
        run(["nowhere", "none.png"], tmp_path / "out", never)
    assert not (tmp_path / "out").exists()
    for out in (tmp_path / "file", tmp_path / "file" / "below", pathlib.Path("/proc/none")):
        with pytest.raises(errors.InputError, match="cannot write"):
            run([tmp_path / "in"], out, never)


def test_an_output_never_lands_on_an_input_or_on_another_output(tmp_path):
    put(tmp_path, "in/a.png", "in/sub/a.png", "two/a.png")
    before = tree(tmp_path)
    source = tmp_path / "in"
    cases = [
        ([source], source, "expected a folder other than the input's"),
        ([source], tmp_path / "two" / ".." / "in", "other than the input's"),
        ([source / "a.png"], source, "'a.png' would overwrite an input"),
        ([source, tmp_path / "two"], tmp_path / "out", "would both be written to"),
    ]
    for inputs, out, words in cases:
        with pytest.raises(errors.InputError, match=words) as caught:
            run(inputs, out)
        assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


def test_an_output_folder_inside_the_input_is_not_fed_back(tmp_path):
    put(tmp_path, "a.png", "sub/b.png", ".hidden/c.png")
    out = tmp_path / "restored"
    assert len(run([tmp_path], out).done) == 2
    assert len(run([tmp_path], out).skipped) == 2
    assert tree(out) == ["a.png", "a.png.json", "sub/b.png", "sub/b.png.json"]


def test_find_takes_each_file_once_and_says_what_it_cannot_take(tmp_path):
    put(tmp_path, "in/b.png", "in/a.JPG".lower(), "in/deep/c.tif")
    (tmp_path / "in" / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    inputs = [tmp_path / "in", tmp_path / "in" / "b.png", tmp_path / "in" / "notes.txt"]
    items, failed = listing.find([*inputs, tmp_path / "empty"])
    assert [str(item.relative) for item in items] == ["a.jpg", "b.png", "deep/c.tif"]
    assert [pathlib.Path(failure.path).name for failure in failed] == ["notes.txt", "empty"]
    assert "expected one of .jpg" in failed[0].reason and "no picture in" in failed[1].reason


@pytest.mark.parametrize(
    "name", ["[red]x[/].png", "new\nline.png", "-x.png", "n" * 251 + ".png",
             os.fsdecode(b"\xff.png"), "ä" * 125 + ".png", "😀 'q\".png"]
)  # fmt: skip
def test_any_name_gives_a_picture_and_a_record_and_is_known_again(name, tmp_path):
    put(tmp_path / "in", name)
    out = tmp_path / "out"
    report = run([tmp_path / "in"], out, progress=True)
    assert report.done == [out / name] and len(tree(out)) == 2
    assert records.place(out / name).is_file()
    assert run([tmp_path / "in"], out).skipped == [out / name]


def test_a_name_too_long_for_its_place_fails_alone(tmp_path, monkeypatch):
    put(tmp_path / "in", "a.png", "b.png")
    real = os.replace

    def choosy(old, new):
        if pathlib.Path(new).name == "a.png":
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        real(old, new)

    monkeypatch.setattr(os, "replace", choosy)
    report = run([tmp_path / "in"], tmp_path / "out")
    assert "name is too long" in report.failed[0].reason and len(report.done) == 1


def test_a_full_disk_stops_the_job_and_keeps_what_is_done(tmp_path, monkeypatch):
    put(tmp_path / "in", "a.png", "b.png", "c.png")
    out = tmp_path / "out"
    real, computed = os.fsync, []

    def restorer(rgb):
        computed.append(1)
        return rgb, {}

    def full(handle):
        if len(computed) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.InputError, match="b.png': the disk is full. Free some space, then"):
        run([tmp_path / "in"], out, restorer)
    assert len(computed) == 2 and tree(out) == ["a.png", "a.png.json"]
    monkeypatch.setattr(os, "fsync", real)
    report = run([tmp_path / "in"], out)
    assert (len(report.done), len(report.skipped)) == (2, 1)


PROGRAM = """
import pathlib, resource, sys, time
from wxjax import errors
from wxjax.restore import photo
mode, source, out = sys.argv[1:]
def slow(rgb):
    time.sleep(0.05)
    return 1 - rgb, {}
if mode == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
restorer = slow if mode == "slow" else photo.identity
print("ready", flush=True)
step = 0
while True:
    try:
        photo.restore([source], out, restorer, settings={"step": step}, progress=False)
    except errors.InputError as error:
        sys.exit(f"wxjax: {error}")
    step += 1
    if mode != "loop":
        break
"""


@contextlib.contextmanager
def program(mode: str, source: pathlib.Path, out: pathlib.Path):
    """The job in a process of its own, started and ready."""
    command = [sys.executable, "-c", PROGRAM, mode, str(source), str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_file_size_limit_fails_the_job_and_leaves_no_part_of_a_picture(tmp_path):
    put(tmp_path / "in", "a.png")
    noise = np.random.default_rng(0).integers(0, 65536, (300, 300, 3), dtype=np.uint16)
    (tmp_path / "in" / "b.png").write_bytes(samples.png(noise))
    with program("limit", tmp_path / "in", tmp_path / "out") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "b.png': the file-size limit is reached" in said
    assert "Traceback" not in said
    assert tree(tmp_path / "out") == ["a.png", "a.png.json"]


def test_kills_at_any_moment_leave_only_whole_files(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    put(source, *(f"{i}.png" for i in range(4)), "e.jpg", "f.tif")
    chance, finished = random.Random(0), 0
    for _ in range(10):
        with program("loop", source, out) as process:
            time.sleep(chance.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
        for name in tree(out):
            path = out / name
            if path.name.startswith((".wxjax-", ".wxjax.lock")):  # in the making; who was killed
                continue
            if path.suffix == ".json":
                assert files.read_json(path)["settings_sha256"]
            else:
                assert path.read_bytes() == (source / name).read_bytes()
                assert records.read(path)
                finished += 1
    assert finished > 10
    report = run([source], out)
    assert not report.failed and len(report.done) + len(report.skipped) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(number, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    put(source, *(f"{i:02}.png" for i in range(40)))
    with program("slow", source, out) as process:
        while not (out / "01.png").exists():
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}: " in said and "of 40 pictures are complete" in said
    assert "Run the same command again" in said and "Traceback" not in said
    done = [name for name in tree(out) if name.endswith(".png")]
    assert 2 <= len(done) < 40
    assert tree(out) == sorted([*done, *(name + ".json" for name in done)])
    report = run([source], out, invert, settings={"step": 0})
    assert len(report.skipped) == len(done) and len(report.done) == 40 - len(done)


def test_what_a_killed_job_left_is_swept_after_an_hour(tmp_path):
    put(tmp_path / "in", "a.png")
    out = tmp_path / "out"
    out.mkdir()
    old, young = out / ".wxjax-old.tmp", out / ".wxjax-young.tmp"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    run([tmp_path / "in"], out)
    assert young.exists() and not old.exists()


def test_a_restorer_of_bytes_gets_them_where_the_picture_is_8_bit_rgb(tmp_path):
    seen = {}

    def restorer(rgb):
        seen[rgb.dtype.kind] = rgb.shape
        return (255 if rgb.dtype == np.uint8 else 1) - rgb, {}

    restorer.takes_uint8 = True
    put(tmp_path / "in", "a.jpg", "b.png", "c.tif")
    report = run([tmp_path / "in"], tmp_path / "out", restorer)
    assert len(report.done) == 3 and set(seen) == {"u", "f"}
    floats = run([tmp_path / "in"], tmp_path / "float", invert)
    for a, b in zip(report.done, floats.done, strict=True):
        np.testing.assert_array_equal(images.read(a).pixels, images.read(b).pixels)


def test_a_second_job_in_the_folder_is_refused_and_leaves_no_lock(tmp_path):
    put(tmp_path / "in", "a.png")

    def meanwhile(rgb):
        with pytest.raises(errors.InputError, match=f"process {os.getpid()} on .* restores into"):
            run([tmp_path / "in"], tmp_path / "out")
        return rgb, {}

    run([tmp_path / "in"], tmp_path / "out", meanwhile)
    assert tree(tmp_path / "out") == ["a.png", "a.png.json"]
