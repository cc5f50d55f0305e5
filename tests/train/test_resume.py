"""Runs that are killed, stopped, doubled, or find their checkpoints damaged."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import CHEAP
from tests.train import toy
from wxjax import errors, lock
from wxjax.train import checkpoint, manifest, signals

ROOT = pathlib.Path(__file__).parents[2]


def start(workdir, sleep=0.0, **extra):
    """The toy run in a process of its own."""
    env = {
        **os.environ,
        "TOY_SLEEP": str(sleep),
        "JAX_COMPILATION_CACHE_DIR": "",
        "XLA_FLAGS": CHEAP,
    }
    call = [sys.executable, "-m", "tests.train.toy", str(workdir), repr(extra)]
    return subprocess.Popen(call, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)


def until(condition, process, limit=60.0):
    end = time.monotonic() + limit
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def folder(workdir):
    return pathlib.Path(workdir) / "checkpoints"


def rows(workdir):
    return (pathlib.Path(workdir) / "metrics.jsonl").read_text()


def same(a, b):
    for x, y in zip(toy.arrays(a), toy.arrays(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of twelve steps that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("straight")
    return toy.run(workdir), rows(workdir)


def test_a_run_killed_at_random_ends_as_one_never_killed(tmp_path, straight):
    for seed in range(2):
        workdir = tmp_path / str(seed)
        process = start(workdir, sleep=0.01)
        until(lambda: checkpoint.steps(folder(workdir)), process)  # noqa: B023
        time.sleep(random.Random(seed).random() * 0.4)
        process.kill()
        process.communicate()
        at = checkpoint.steps(folder(workdir))[-1]
        assert at < 12, "the kill came too late to test anything"
        same(toy.run(workdir), straight[0])
        assert rows(workdir) == straight[1]


@pytest.mark.parametrize("number", range(4))
def test_a_kill_while_saving_leaves_the_step_before(tmp_path, straight, monkeypatch, number):
    """The process dies at one of four places of a save; what is left is named and cleaned."""
    toy.run(tmp_path, num_steps=12, **{"checkpoint.keep": 9})
    assert checkpoint.steps(folder(tmp_path)) == [3, 6, 9, 12]
    last = folder(tmp_path) / "12"
    (last / manifest.NAME).unlink()  # killed between Orbax' commit and the manifest
    if number == 1:  # killed while Orbax wrote
        last.rename(folder(tmp_path) / "12.orbax-checkpoint-tmp")
    if number == 2:  # killed with half of the files there
        for path in list(last.rglob("*"))[::2]:
            if path.is_file():
                path.unlink()
    if number == 3:  # killed while the manifest was written
        (last / ".wxjax-x.tmp").write_text('{"files": ')
    said = []
    with checkpoint.Store(folder(tmp_path), keep=9, warn=said.append) as store:
        assert store.newest()[0] == 9
    assert len(said) == 1 and said[0].startswith("removed what an interrupted save left: 12")
    assert sorted(p.name for p in folder(tmp_path).iterdir()) == ["3", "6", "9"]
    same(toy.run(tmp_path), straight[0])


@pytest.mark.slow
def test_kills_at_any_moment_leave_complete_steps_only(tmp_path):
    """Saving after every step, killed five times at random: what counts as a step always loads."""
    rng = random.Random(0)
    for _ in range(5):
        process = start(tmp_path, num_steps=100_000, **{"checkpoint.every_steps": 1})
        have = checkpoint.steps(folder(tmp_path))[-1:]
        until(lambda: checkpoint.steps(folder(tmp_path))[-1:] != have, process)  # noqa: B023
        time.sleep(rng.random() * 0.2)
        process.kill()
        process.communicate()
        for step in checkpoint.steps(folder(tmp_path)):
            manifest.verify(folder(tmp_path) / str(step))
            checkpoint.load_variables(tmp_path, step)


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_in_any_file_is_named_and_the_step_before_used(tmp_path, straight, capfd):
    toy.run(tmp_path)
    last = folder(tmp_path) / "12"
    tried = 0
    for path in sorted(last.rglob("*")):
        if path.is_file() and path.stat().st_size:
            original = path.read_bytes()
            damage(path)
            said = []
            assert checkpoint.newest(folder(tmp_path), said.append)[0] == 9
            assert len(said) == 1 and path.relative_to(last).as_posix() in said[0]
            with pytest.raises(errors.InputError, match="Complete steps: 9, 12"):
                checkpoint.load_variables(tmp_path, 12)
            path.write_bytes(original)
            tried += 1
    assert tried > 8
    biggest = max(last.rglob("d/*"), key=lambda p: p.stat().st_size)
    damage(biggest)
    capfd.readouterr()
    same(toy.run(tmp_path), straight[0])
    printed = capfd.readouterr().err
    assert printed.count("checkpoint 12 is damaged") == 1 and biggest.name in printed
    assert "goes on from step 9" in printed and (folder(tmp_path) / "12.damaged").is_dir()
    assert rows(tmp_path) == straight[1]


def test_a_missing_or_cut_file_is_named(tmp_path):
    (tmp_path / "a").write_text("12345")
    manifest.write(tmp_path, {"step": 1})
    assert manifest.verify(tmp_path) == {"step": 1}
    (tmp_path / "a").write_text("123")
    with pytest.raises(manifest.Damaged, match="a has 3 bytes instead of 5"):
        manifest.verify(tmp_path)
    (tmp_path / "a").unlink()
    with pytest.raises(manifest.Damaged, match="a is missing"):
        manifest.verify(tmp_path)


def test_when_every_step_is_damaged_training_does_not_start_over(tmp_path):
    toy.run(tmp_path)
    for step in checkpoint.steps(folder(tmp_path)):
        damage(next((folder(tmp_path) / str(step)).rglob("d/*")))
    with pytest.raises(errors.InputError, match="no checkpoint is intact .*12 is damaged"):
        toy.run(tmp_path)


def test_a_full_disk_stops_the_run_with_the_reason(tmp_path):
    """A file-size limit once step 3 stands, as a disk that fills up."""
    code = f"""
import pathlib, resource, sys, time
from tests.train import toy
from wxjax import errors
def limit(variables, step):
    if step == 4:
        while not pathlib.Path({str(tmp_path)!r}, "checkpoints/3/manifest.json").exists():
            time.sleep(0.01)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    return {{"size": 1.0}}
toy.evaluate = limit
try:
    toy.run({str(tmp_path)!r}, net=toy.Net(4096), num_steps=30)
except errors.InputError as error:
    print(error)
    sys.exit(2)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "checkpoint 6 was not saved" in done.stdout and "Step 3 is intact" in done.stdout
    assert "the file-size limit is reached" in done.stdout
    assert "Traceback" not in done.stderr and "ERROR" not in done.stderr
    assert checkpoint.steps(folder(tmp_path)) == [3]
    assert json.loads(rows(tmp_path).splitlines()[-1])["step"] <= 10  # within one interval
    checkpoint.load_variables(tmp_path, 3)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_request_to_stop_saves_and_says_how_to_go_on(tmp_path, straight, number, code):
    process = start(tmp_path, sleep=0.02, **{"checkpoint.every_steps": 100})
    until(lambda: (tmp_path / "metrics.jsonl").exists() and rows(tmp_path), process)
    process.send_signal(number)
    printed = process.communicate(timeout=30)[1]
    assert process.returncode == code, printed
    assert "all saved: run the same command again to go on" in printed
    assert "Traceback" not in printed
    (step,) = checkpoint.steps(folder(tmp_path))
    assert 4 <= step < 12
    same(toy.run(tmp_path), straight[0])
    assert rows(tmp_path) == straight[1]


def test_a_request_during_evaluation_breaks_it_off_and_it_is_redone(tmp_path, straight):
    def interrupted(variables, step):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    with pytest.raises(signals.Stopped) as stopped:
        toy.run_with(tmp_path, interrupted)
    assert stopped.value.code == 143 and "step 4" in str(stopped.value)
    assert checkpoint.steps(folder(tmp_path)) == [3, 4]
    toy.run(tmp_path)
    assert rows(tmp_path) == straight[1]


def test_a_request_during_the_last_evaluation_leaves_a_run_that_is_not_finished(tmp_path, straight):
    def interrupted(variables, step):
        if step == 12:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        return toy.evaluate(variables, step)

    with pytest.raises(signals.Stopped) as stopped:
        toy.run_with(tmp_path, interrupted)
    assert stopped.value.code == 130
    same(toy.run(tmp_path), straight[0])
    assert rows(tmp_path) == straight[1]
    assert manifest.verify(folder(tmp_path) / "12")["evaluated"]


def test_a_second_request_stops_at_once():
    code = """
import os, signal, time
from wxjax.train import signals
with signals.listen() as requests:
    os.kill(os.getpid(), signal.SIGTERM)
    print("first survived", requests.signum, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "first survived 15\n" and done.returncode == -signal.SIGTERM


def test_two_runs_in_one_folder_are_refused(tmp_path):
    process = start(tmp_path, sleep=0.02, num_steps=100_000)
    until(lambda: checkpoint.steps(folder(tmp_path)), process)
    with pytest.raises(errors.InputError, match=f"process {process.pid} on .* trains in this"):
        toy.run(tmp_path, num_steps=100_000)
    assert process.poll() is None
    process.kill()
    process.communicate()
    with lock.hold(tmp_path):  # what the killed process held is free
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()
    assert not (tmp_path / lock.NAME).exists()


def test_a_lock_of_another_host_is_kept_until_it_is_stale(tmp_path):
    path = tmp_path / lock.NAME
    path.write_text('{"pid": 7, "host": "elsewhere"}')
    with pytest.raises(errors.InputError, match="process 7 on elsewhere"), lock.hold(tmp_path):
        pass
    old = time.time() - 2 * lock.STALE
    os.utime(path, (old, old))
    with lock.hold(tmp_path):
        pass


def test_changed_data_is_refused(tmp_path):
    config = {"checkpoint.every_steps": 100}
    stop = {"evaluate.every_steps": 0}
    toy.run(tmp_path, num_steps=6, **config, **stop)
    with pytest.raises(errors.InputError, match="then Source.changed=None., now Source.changed=2"):
        toy.run(tmp_path, toy.Source(changed=2), num_steps=12)
    assert int(toy.run(tmp_path, num_steps=12).step) == 12


def test_another_model_lists_both_sides(tmp_path):
    toy.run(tmp_path, num_steps=6)
    with pytest.raises(errors.InputError) as info:
        toy.run(tmp_path, net=toy.Net(5))
    assert " ~ train/params/stem/kernel float32[3,8], expected float32[3,5]" in str(info.value)
    with pytest.raises(errors.InputError) as info:
        toy.run(tmp_path, **{"optimizer.frozen": ("stem/.*",)})
    assert " + train/opt_state/" in str(info.value)


def test_a_run_beyond_its_steps_is_refused(tmp_path):
    toy.run(tmp_path, num_steps=6)
    with pytest.raises(errors.InputError, match="num_steps=5: the run in .* is at 6"):
        toy.run(tmp_path, num_steps=5)


def test_the_best_step_is_kept_besides_the_last(tmp_path):
    def falling(variables, step):
        return {"psnr": 30.0 - abs(step - 3)}

    changes = {"evaluate.every_steps": 3, "checkpoint.keep": 1}
    toy.run_with(tmp_path / "a", falling, best="eval/psnr", **changes)
    assert checkpoint.steps(folder(tmp_path / "a")) == [3, 12]
    toy.run_with(tmp_path / "b", falling, best="-eval/psnr", **changes)
    assert checkpoint.steps(folder(tmp_path / "b")) == [12]


def test_a_run_out_of_patience_ends_and_stays_ended(tmp_path):
    def rising_to_four(variables, step):
        return {"psnr": 30.0 - abs(step - 4)}

    often = {"evaluate.every_steps": 2, "checkpoint.every_steps": 2, "checkpoint.keep": 2}
    ends = often | {"best": "eval/psnr", "evaluate.patience": 2, "num_steps": 20}
    state = toy.run_with(tmp_path / "a", rising_to_four, **ends)
    assert int(state.step) == 8  # 4 was best, 6 and 8 were not
    assert checkpoint.steps(folder(tmp_path / "a")) == [4, 6, 8]
    assert checkpoint.best_step(folder(tmp_path / "a"), "eval/psnr") == 4
    same(state, toy.run_with(tmp_path / "a", lambda *_: pytest.fail("again"), **ends))
    # Killed before the last save, it still knows how long it has waited.
    shutil.rmtree(folder(tmp_path / "a") / "8")
    same(state, toy.run_with(tmp_path / "a", rising_to_four, **ends))
    # Its rate fell over 20 steps, and so it is where a run of 20 was after 8.
    toy.run_with(tmp_path / "b", rising_to_four, **often | {"num_steps": 20, "checkpoint.keep": 9})
    same(state.variables, checkpoint.load_variables(tmp_path / "b", 8))


@pytest.mark.parametrize(
    "best, message",
    [
        ("", "evaluate.patience=2: expected a metric"),
        ("eval/pnsr", "eval/pnsr.*Did you mean 'eval/psnr'"),
    ],
)
def test_patience_needs_a_metric_that_is_measured(tmp_path, best, message):
    with pytest.raises(errors.InputError, match=message):
        toy.run_with(tmp_path, lambda *_: {"psnr": 1.0}, best, **{"evaluate.patience": 2})


def test_an_evaluation_that_is_no_number_is_never_the_best(tmp_path):
    values = {4: float("nan"), 8: 30.0, 12: 31.0}
    often = {"best": "eval/psnr", "evaluate.patience": 2}
    state = toy.run_with(tmp_path / "a", lambda _, step: {"psnr": values[step]}, **often)
    assert int(state.step) == 12
    state = toy.run_with(tmp_path / "b", lambda *_: {"psnr": float("nan")}, **often)
    assert int(state.step) == 8


def test_variables_of_a_run_load_without_its_model(tmp_path):
    state = toy.run(tmp_path)
    same(checkpoint.load_variables(tmp_path), state.variables)
    loaded = checkpoint.load_variables(tmp_path / "checkpoints", 12)
    assert type(loaded["params"]["stem"]["kernel"]) is np.ndarray
    with pytest.raises(errors.InputError, match="no weights and no complete checkpoint"):
        checkpoint.load_variables(tmp_path / "nowhere")


def test_orbax_is_quiet_about_what_goes_well(tmp_path, capfd):
    toy.run(tmp_path)
    printed = capfd.readouterr()
    lines = (printed.out + printed.err).splitlines()
    assert lines and all(line.startswith("train: ") for line in lines)
