"""Runs from before the plug still load; what a system cannot do is one line."""

import numpy as np
import pytest
from PIL import Image

from tests.commands import stored
from tests.recipes.conftest import slip
from wxjax import files, migration, settings, systems

PAGES = {
    "moei": "MoE-I",
    "dehazexl": "DehazeXL",
    "mofme": "MoFME",
    "mofme_video": "MoFME, video",
    "irsr": "Infrared",
    "tod": "Time of day",
    "reid": "Re-identification",
}


def picture(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")


def one_line(done, message):
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", stored.KINDS)
def test_an_older_config_is_read_as_one_of_today(kind):
    old = files.read_json(stored.STORED / kind / "config.json")
    config = settings.read(stored.STORED / kind)
    assert "recipe" in old and "recipe" not in config
    assert config.system == kind and systems.make(settings.read(stored.STORED / kind)).init


def test_a_weather_run_in_training_is_read_as_the_system_that_it_became():
    from configs import weather

    today = settings.plain(weather.get_config("tiny"))
    stages = dict(today["stages"])
    older = {**today, "system": "moei", "recipe": "weather", "stage": "joint"}
    older |= {"train": stages.pop("joint"), "stages": stages}
    assert migration.migrate(older) == today


@pytest.mark.parametrize("kind", stored.KINDS)
def test_a_report_is_that_of_the_run_s_system(kind, tmp_path):
    run = stored.copy(kind, tmp_path)
    done = slip("report", "--workdir=" + kind, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (run / "index.html").read_text()
    assert PAGES[kind].lower() in page.lower() and (run / "report.md").exists()
    table = (run / "report.md").read_text()
    (run / "config.json").rename(tmp_path / "config.json")  # as a folder that evaluate wrote
    assert slip("report", "--workdir=" + kind, cwd=tmp_path).returncode == 0
    assert (run / "report.md").read_text() == table


@pytest.mark.parametrize("kind", ["moei", "dehazexl", "mofme", "mofme_video", "irsr"])
def test_an_older_run_restores_a_picture(kind, tmp_path):
    stored.copy(kind, tmp_path)
    picture(tmp_path)
    done = slip("restore", "a.png", "--out=out", f"--model={kind}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    side = 4 if kind == "irsr" else 1
    assert Image.open(tmp_path / "out" / "a.png").size == (side * 30, side * 24)


REFUSED = {
    ("tod", "bench"): "a run of tod cannot be benchmarked",
    ("tod", "attribute", "a.png", "--window=0,0,4"): "a run of tod has no attribution maps",
    ("irsr", "attribute", "a.png", "--window=0,0,4"): "a run of irsr has no attribution maps",
    ("reid", "attribute", "a.png", "--window=0,0,4"): "a run of reid has no attribution maps",
    ("tod", "plan", "a.png"): "a run of tod restores whole pictures only",
    ("mofme_video", "plan", "a.png"): "a run of mofme_video restores whole pictures only",
    ("reid", "plan", "a.png"): "a run of reid restores whole pictures only",
    ("tod", "evaluate", "--data=pairs"): "evaluate: a run of tod takes no --data.",
    ("reid", "evaluate", "--data=pairs", "--degradation=rain"): "takes no --degradation",
    ("mofme_video", "evaluate", "--data=x", "--degradation=rain"): "takes no --degradation",
    ("irsr", "evaluate", "--data=x", "--degradation=rain"): "takes no --degradation; it takes",
    ("moei", "evaluate", "--degradation=rain"): "--degradation needs --data",
    ("moei", "evaluate", "--out=x"): "--out needs --data",
    ("irsr", "bench", "--breakdown"): "takes no --breakdown; it takes --repeats, --size",
    ("mofme", "bench", "--breakdown"): "takes no --breakdown",
    ("reid", "bench", "--size=64x64"): "bench: a run of reid takes no --size; it takes --repeats",
    ("reid", "restore", "a.png"): "a run of reid restores no pictures",
    ("tod", "restore", "a.png"): "a run of tod restores no pictures",
    ("moei", "restore", "a.png", "--noscene-reset"): "a run of moei takes no --scene-reset",
    ("mofme", "restore", "a.png", "--devices=2"): "a run of mofme takes no --devices",
    ("irsr", "restore", "a.png", "--tile-mode=average"): "are not averaged",
    ("irsr", "restore", "a.mp4"): "this model enlarges pictures",
    ("tod", "search", "a.png", "--gallery=."): "a run of tod: search needs one of reid",
    ("reid", "render", "--time=7", "--out=x.png"): "a run of reid: render needs one of tod",
}


@pytest.mark.parametrize("words", REFUSED, ids="-".join)
def test_what_a_system_cannot_do_is_one_line(words, tmp_path):
    kind, *rest = words
    stored.copy(kind, tmp_path)
    picture(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    one_line(slip(*rest, f"--workdir={kind}", cwd=tmp_path), REFUSED[words])
    assert sorted(tmp_path.rglob("*")) == before


def test_identity_takes_no_flag_of_a_system(tmp_path):
    picture(tmp_path)
    done = slip("restore", "a.png", "--model=identity", "--memory=8GiB", cwd=tmp_path)
    one_line(done, "--model=identity takes no --memory")


def test_an_override_reaches_the_config_of_a_workdir(tmp_path):
    stored.copy("moei", tmp_path)
    words = ("evaluate", "--workdir=moei", "--config.tiles.overlap=3")
    done = slip(*words, cwd=tmp_path)
    one_line(done, "overlap")
    done = slip("evaluate", "--workdir=moei", "--config.evaluate.protocl=default", cwd=tmp_path)
    one_line(done, "Did you mean 'protocol'?")


@pytest.mark.parametrize(
    "words, message",
    [
        (("moei.py:tiny", "--config.tiles.overlap=3"), "overlap"),
        (
            ("tod.py:tiny", "--config.model.field=hash3d", "--config.model.hash_times=99"),
            "model.hash_times=99",
        ),
        (("mofme.py:tiny", "--config.data.name=path", "--config.data.root=no"), "data='no'"),
    ],
)
def test_a_config_that_is_refused_leaves_nothing_behind(words, message, tmp_path):
    done = slip("--config=configs/" + words[0], *words[1:], "--workdir=run", cwd=tmp_path)
    one_line(done, message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["mofme", "irsr"])
def test_a_system_of_tiles_plans_and_keeps_to_a_budget(kind, tmp_path):
    stored.copy(kind, tmp_path)
    picture(tmp_path)
    done = slip("plan", "a.png", f"--workdir={kind}", cwd=tmp_path)
    assert done.returncode == 0 and "tiles at a time" in done.stdout, done.stderr
    done = slip("restore", "a.png", "--out=o", f"--model={kind}", "--memory=1MiB", cwd=tmp_path)
    assert done.returncode == 2 and "Allow more with --memory" in done.stderr
    assert not (tmp_path / "o" / "a.png").exists()
