"""The worked example of docs/adding_a_system.md runs as it is printed there."""

import pathlib
import re
import sys

import numpy as np
import pytest
from PIL import Image

from tests.recipes.conftest import slip
from wxjax import files, systems

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "adding_a_system.md"


@pytest.fixture()
def place(tmp_path, monkeypatch):
    """A folder with the code of the page, its package under a name of its own."""
    blocks = re.findall(r'```python title="([^"]+)"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == [
        "wxjax/systems/toy/task.py", "wxjax/systems/toy/system.py", "configs/toy.py",
    ]  # fmt: skip
    for name, code in blocks:
        path = tmp_path / name.replace("wxjax/systems/toy", "toy_of_the_page")
        path.parent.mkdir(exist_ok=True)
        path.write_text(code.replace("wxjax.systems.toy", "toy_of_the_page"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(systems.SYSTEMS, "toy", "toy_of_the_page.system")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("toy_of_the_page")]:
        del sys.modules[name]


def test_a_system_of_one_folder_goes_through_every_command(place):
    lines = sum(len(p.read_text().splitlines()) for p in (place / "toy_of_the_page").iterdir())
    assert lines < 80
    done = slip("--config=configs/toy.py:tiny", "--config.losses.edge=0.1", cwd=place)
    assert done.returncode == 0, done.stderr
    run = place / "runs" / "toy-tiny"
    assert (run / "index.html").exists()
    rows = files.read_jsonl(run / "per_image.jsonl")
    assert {row["variant"] for row in rows} == {"input", "dense"}
    assert files.read_json(run / "summary.json")["model"] == "Toy"
    before = (run / "index.html").read_text()
    (run / "index.html").unlink()
    assert slip("report", f"--workdir={run}", cwd=place).returncode == 0
    assert (run / "index.html").read_text() == before

    rng = np.random.default_rng(0)
    for kind in ("input", "gt"):
        (place / "pairs" / kind).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(
            place / "pairs" / kind / "a.png"
        )
    words = ("evaluate", "--data=pairs", "--degradation=haze", f"--workdir={run}", "--out=rows")
    done = slip(*words, cwd=place)
    assert done.returncode == 0 and "dense" in done.stdout, done.stderr
    done = slip("restore", "pairs/input", f"--model={run}", "--out=out", cwd=place)
    assert done.returncode == 0, done.stderr
    assert Image.open(place / "out" / "a.png").size == (50, 40)

    for words, message in (
        (("bench",), "a run of toy cannot be benchmarked"),
        (("plan", "pairs/input/a.png"), "a run of toy restores whole pictures only"),
        (("restore", "a.png", "--memory=1GiB"), "a run of toy takes no --memory"),
        (("search", "a.png", "--gallery=."), "a run of toy: search needs one of reid"),
    ):
        done = slip(*words, f"--workdir={run}", cwd=place)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    done = slip("--config=configs/toy.py:tiny", "--config.model.gain=0", "--workdir=x", cwd=place)
    assert done.returncode == 2 and "expected more than 0" in done.stderr
    assert not (place / "x").exists()
