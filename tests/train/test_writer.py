"""What is written for a person or a plot can be read back."""

import io
import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wxjax.train.progress import Bar
from wxjax.train.window import Window, diverged
from wxjax.train.writer import RunWriter, SummaryWriter


def test_scalars_come_back(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.write_scalars(7, {"train/loss": np.float32(2.5)})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(7, 2.5)]


def test_a_resumed_log_holds_each_step_once(tmp_path):
    with RunWriter(tmp_path) as writer:
        for step in (2, 4, 6):
            writer.write_row(step, {"loss": step / 2})
        writer.write_row(6, {"eval/psnr": 30.0})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "lo')  # cut by a kill
    with RunWriter(tmp_path, after=4) as writer:
        writer.write_row(6, {"loss": float("nan")})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 2, "loss": 1.0},
        {"step": 4, "loss": 2.0},
        {"step": 6, "loss": None},
    ]
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [e.step for e in events.Scalars("loss")] == [2, 4, 6]


def test_what_is_to_be_redone_leaves_the_log(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.write_row(4, {"loss": 1.0})
        writer.write_row(4, {"eval/psnr": 30.0})
    RunWriter(tmp_path, after=4, again="eval/").close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 4, "loss": 1.0}


def test_a_window_means_what_it_saw_and_survives_a_checkpoint():
    window = Window()
    window.add({"loss": 1.0, "hard": float("nan")})
    window = Window(json.loads(json.dumps(window.plain())))
    window.add({"loss": 4.0, "hard": 3.0})
    assert window.take() == {"loss": 2.5, "hard": 3.0}
    assert window.plain() == {}


def test_divergence_names_step_terms_examples_and_the_way_back():
    values = {"loss": float("nan"), "l1": 0.5, "grad_norm": float("inf")}
    text = str(diverged(7, values, np.array([3, 9]), 6))
    assert "step 7: loss=nan, grad_norm=inf (examples 3, 9" in text
    assert "l1" not in text and "Checkpoint 6 is the last good one" in text


def test_without_a_terminal_a_line_comes_every_ten_seconds():
    now, stream = [0.0], io.StringIO()
    with Bar("dense", 100, stream=stream, clock=lambda: now[0]) as bar:
        for step in range(1, 101):
            now[0] = step * 0.5
            bar.step(step, loss=1 / step)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0] == "dense: 20/100 2.00 steps/s, 0:40 left, loss 0.05"
    assert lines[-1].startswith("dense: 100/100 2.00 steps/s, 0:00 left")


def test_compiling_is_seen_and_does_not_count_as_speed():
    now, stream = [0.0], io.StringIO()
    with Bar("dense", 30, stream=stream, clock=lambda: now[0]) as bar:
        bar.step(1)
        with bar.phase("compiling"):
            now[0] += 12.0
        for step in range(2, 31):
            now[0] += 1.0
            bar.step(step)
    assert stream.getvalue().splitlines()[:2] == [
        "dense: compiling ...",
        "dense: compiling: 12.0 s",
    ]
    assert "1.00 steps/s" in stream.getvalue().splitlines()[-1]


def test_a_failed_phase_passes_its_error_on():
    with Bar("x", 1, stream=io.StringIO()) as bar, pytest.raises(KeyError), bar.phase("compiling"):
        raise KeyError("shape")
