"""The notebooks run from top to bottom at the test size."""

import pathlib
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

from tests.recipes.conftest import environment

COLAB = pathlib.Path(__file__).parents[2] / "colab"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


def execute(name: str, folder: pathlib.Path, change, monkeypatch) -> list:
    notebook = nbformat.read(COLAB / name, as_version=4)
    for cell in notebook.cells:
        cell.source = change(cell.source)
    for key, value in environment().items():
        monkeypatch.setenv(key, value)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook.cells


@pytest.mark.slow
@pytest.mark.parametrize("done", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_the_training_notebook_ends_in_a_report(folder, tiny, monkeypatch, done):
    """Where a run is done the notebook's finds it so; else it makes one."""
    shutil.rmtree(folder / "runs" / "moei", ignore_errors=True)
    if done:
        shutil.copytree(tiny / "run", folder / "runs" / "moei")
    cells = execute(
        "train_moei.ipynb", folder, lambda s: s.replace('SIZE = ""', 'SIZE = ":tiny"'), monkeypatch
    )
    printed = "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))
    assert "CpuDevice" in printed and "report: runs/moei/index.html" in printed
    assert (folder / "runs" / "moei" / "index.html").exists()


@pytest.mark.slow
def test_the_restoring_notebook_shows_a_picture(folder, tiny, monkeypatch):
    if not (folder / "runs" / "moei" / "index.html").exists():
        shutil.copytree(tiny / "run", folder / "runs" / "moei", dirs_exist_ok=True)
    cells = execute("restore_photo.ipynb", folder, lambda s: s, monkeypatch)
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert any('"route"' in o.get("text", "") for o in outputs)
    shutil.rmtree(folder / "restored")


@pytest.mark.nightly
def test_the_video_notebook_cleans_a_film(folder, monkeypatch):
    def small(source):
        source = source.replace('SIZE = ""', 'SIZE = ":tiny"')
        return source.replace("SIDE, FRAMES = 256, 29", "SIDE, FRAMES = 64, 6")

    cells = execute("video_desnow.ipynb", folder, small, monkeypatch)
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 2
    assert any("<video" in o.get("data", {}).get("text/html", "") for o in outputs)
    assert any('"usage"' in o.get("text", "") for o in outputs)


@pytest.mark.nightly
def test_the_notebook_of_the_day_shows_an_evening(folder, monkeypatch):
    tiny = lambda s: s.replace('SIZE = ""', 'SIZE = ":tiny"')
    cells = execute("time_of_day.ipynb", folder, tiny, monkeypatch)
    outputs = [o for c in cells for o in c.get("outputs", [])]
    printed = "".join(o.get("text", "") for o in outputs)
    assert "report: runs/tod/index.html" in printed and "model      PSNR" in printed
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert any("<iframe" in "".join(o.get("data", {}).get("text/html", "")) for o in outputs)


@pytest.mark.nightly
def test_the_identity_notebook_ends_in_a_sheet(folder, monkeypatch):
    cells = execute(
        "reid.ipynb", folder, lambda s: s.replace('SIZE = ""', 'SIZE = ":tiny"'), monkeypatch
    )
    outputs = [o for c in cells for o in c.get("outputs", [])]
    printed = "".join(o.get("text", "") for o in outputs)
    assert "report: runs/reid/index.html" in printed and "sheet: found/search.png" in printed
    assert any("image/png" in o.get("data", {}) for o in outputs)


@pytest.mark.nightly
def test_the_infrared_notebook_trains_and_enlarges_a_frame(folder, monkeypatch):
    sized = lambda s: s.replace('SIZE = ""', 'SIZE = ":tiny"').replace('"regression"', '"edsr"')
    cells = execute("infrared_sr.ipynb", folder, sized, monkeypatch)
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert any("bicubic" in o.get("data", {}).get("text/markdown", "") for o in outputs)
    assert (folder / "large" / "frame.png").exists()
