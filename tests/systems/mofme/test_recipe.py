"""MoFME on video from the command line: trains, measures, reports, restores a film."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.recipes.conftest import environment, wxjax
from tests.restore.test_video import film, packets
from wxjax import files
from wxjax.data import video as io
from wxjax.systems.mofme import recipe
from wxjax.train import weights


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished `:tiny` run and a film."""
    folder = tmp_path_factory.mktemp("video")
    done = wxjax("--config=configs/mofme_video.py:tiny", "--workdir=run", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    film(folder / "clip.mp4", times=range(8))
    return folder


def test_a_run_measures_with_and_without_the_frame_before_and_reports(place):
    made = files.read_json(place / "run" / "video.json")
    assert set(made["variants"]) == {"input", "frame", "video"} and made["protocol"] == "rvsd"
    for entry in made["variants"].values():
        assert {"all", "first", "later"} == set(entry["psnr"]) and entry["warping"] is not None
    frames = {name: entry["frames"] for name, entry in made["gates"].items()}
    assert sum(frames.values()) == 12 and frames["first"] >= 3  # three clips of four frames
    assert len(made["drift"]["video"]["psnr"]) == 200
    rows = files.read_jsonl(place / "run" / "per_frame.jsonl")
    assert {row["frame"] for row in rows} == {0, 1, 2, 3} and "usage" in rows[-1]
    text = (place / "run" / "report.md").read_text()
    assert "Steadiness" in text and "Expert weights" in text
    assert (place / "run" / "index.html").exists()
    assert (place / "run" / "samples" / "profile.png").exists()


def test_a_film_is_restored_and_what_a_flag_says_is_done(place):
    done = wxjax("restore", "clip.mp4", "--out=out", "--model=run", "--reference", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    made = place / "out" / "clip.mp4"
    assert len(list(io.read(made))) == 8
    assert packets(made, "audio") == packets(place / "clip.mp4", "audio")
    notes = files.read_jsonl(place / "out" / "clip.mp4.frames.jsonl")
    assert [note["referenced"] for note in notes] == [False] + [True] * 7
    assert np.shape(notes[0]["usage"]) == (2, 4) and (place / "out" / "clip.mp4.png").exists()
    words = ("restore", "clip.mp4", "--out=alone", "--model=run")
    done = wxjax(*words, "--noreference", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    notes = files.read_jsonl(place / "alone" / "clip.mp4.frames.jsonl")
    assert not any(note["referenced"] for note in notes)


def test_a_run_decides_by_itself_whether_it_remembers(place):
    choice = files.read_json(place / "run" / "system" / "weights.json")["metadata"]["reference"]
    assert choice["kept"] == (choice["video"] > choice["frame"]) and choice["clips"] == 2
    done = wxjax("restore", "clip.mp4", "--out=chosen", "--model=run", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    notes = files.read_jsonl(place / "chosen" / "clip.mp4.frames.jsonl")
    assert [note["referenced"] for note in notes][1:] == [choice["kept"]] * 7
    assert "restore follows" in (place / "run" / "report.md").read_text()


def test_without_a_clip_to_decide_on_nothing_is_remembered(place):
    config = ConfigDict(files.read_json(place / "run" / "config.json"))
    variables, _ = weights.load(place / "run" / "system")
    single = {"image": np.zeros((1, 32, 32, 3), np.uint8), "target": np.zeros((1, 32, 32, 3))}
    for source in ([], [single]):
        assert recipe.choose(config, variables, source)["kept"] is False


def test_a_job_that_is_killed_gives_the_same_file(place):
    film(place / "long.mp4", times=range(120), size=(160, 96))
    words = [sys.executable, "-m", "wxjax.main", "restore", "long.mp4", "--model=identity"]
    options = dict(cwd=place, env=environment(), capture_output=True, check=False)
    whole = subprocess.run([*words, "--out=whole"], **options)
    assert whole.returncode == 0, whole.stderr[-2000:]
    job = subprocess.Popen([*words, "--out=killed"], cwd=place, env=environment())
    parts = place / "killed" / ".long.mp4.parts"
    while job.poll() is None and not (parts / "00000.json").exists():
        time.sleep(0.002)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert not (place / "killed" / "long.mp4").exists()
    again = subprocess.run([*words, "--out=killed"], **options)
    assert again.returncode == 0, again.stderr[-2000:]
    made = [(place / out / "long.mp4").read_bytes() for out in ("whole", "killed")]
    assert made[0] == made[1] and not parts.exists()
