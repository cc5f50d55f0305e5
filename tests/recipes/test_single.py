"""DehazeXL alone, from training to a restored photograph; and a published checkpoint instead."""

import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from tests.interop import checkpoints
from tests.recipes.conftest import wxjax
from wxjax import files, main
from wxjax.evaluate import schema
from wxjax.interop import state_files, torch_weights
from wxjax.ops import color


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished `:tiny` run, and a hazy picture with its truth."""
    folder = tmp_path_factory.mktemp("single")
    done = wxjax("--config=configs/dehazexl.py:tiny", "--workdir=run", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    draw_pair(folder)
    return folder


def draw_pair(folder):
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (70, 90, 3), np.uint8)
    for kind, pixels in (("gt", clean), ("input", clean // 2 + 100)):
        (folder / "pairs" / kind).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "pairs" / kind / "a.png")


def test_a_run_measures_and_reports(place):
    rows = files.read_jsonl(place / "run" / "per_image.jsonl")
    assert {row["variant"] for row in rows} == {"input", "dense"}
    assert {row["degradation"] for row in rows} == {"haze"}
    summary = files.read_json(place / "run" / "summary.json")
    schema.validate("summary", summary)
    assert summary["model"] == "DehazeXL" and summary["variants"]["dense"]["macro"]["psnr"]
    assert (place / "run" / "index.html").exists()


def test_a_run_stopped_half_way_ends_equal_to_the_bit(place):
    half = place / "half"
    shutil.copytree(place / "run", half)
    shutil.rmtree(half / "system")
    steps = sorted((half / "dense" / "checkpoints").glob("[0-9]*"), key=lambda p: int(p.name))
    shutil.rmtree(steps[-1])
    done = wxjax("--config=configs/dehazexl.py:tiny", "--workdir=half", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    weights = [files.sha256(place / run / "system" / "weights.npz") for run in ("run", "half")]
    assert weights[0] == weights[1]


def test_pairs_are_evaluated_and_pictures_restored(place):
    words = ("--data=pairs", "--degradation=haze", "--out=results", "--workdir=run")
    done = wxjax("evaluate", *words, cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "dense" in done.stdout and (place / "results" / "index.html").exists()
    done = wxjax("restore", "pairs/input", "--out=out", "--workdir=run", cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    record = files.read_json(place / "out" / "a.png.json")
    assert record["settings"]["model"] == "DehazeXL"
    assert record["settings"]["weights_hash"] == files.sha256(
        place / "run" / "system" / "weights.npz"
    )


def test_a_bench_measures_the_one_network(place):
    done = wxjax("bench", "--workdir=run", "--size=64x48", "--repeats=1", cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    (case,) = files.read_json(place / "run" / "cost.json")["cases"]
    assert case["name"] == "dense" and case["flops_g"] > 0


def test_a_published_checkpoint_restores_a_photograph_as_the_bare_network_does(tmp_path):
    place = tmp_path
    draw_pair(place)
    checkpoints.save(place / "small.pth", checkpoints.small()[1])
    done = wxjax("convert", "dehazexl", "small.pth", "--out=published", cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    again = wxjax("convert", "dehazexl", "small.pth", "--out=published", cwd=place)
    assert again.returncode == 2 and "holds a run already" in again.stderr
    done = wxjax("restore", "pairs/input", "--out=clean", "--model=published", cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    apply, variables = torch_weights.load("dehazexl", state_files.read(place / "small.pth"))
    hazy = np.asarray(Image.open(place / "pairs" / "input" / "a.png"))
    restored = np.asarray(jax.jit(apply)(variables, hazy[None] / np.float32(255))[0])
    expected = color.round_to_uint8(restored)
    found = np.asarray(Image.open(place / "clean" / "a.png"))
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 1  # ties of rounding
    assert np.mean(found == expected) > 0.99


def wrong_shape(path):
    state = checkpoints.small()[1]
    state["decoder.output.weight"] = state["decoder.output.weight"][:2]
    checkpoints.save(path, state)


def pickled_module(path):
    name = checkpoints.Name("decoder", "DehazeXL")
    checkpoints.write(path, checkpoints.Call(name), {})


def truncated(path):
    checkpoints.save(path, checkpoints.small()[1])
    path.write_bytes(path.read_bytes()[:20_000])


def other_system(path):
    checkpoints.save(path, {"conv1.weight": np.zeros((4, 3, 3, 3), np.float32)})


BAD = {
    "other.pth": (other_system, "not a DehazeXL checkpoint"),
    "cut.pth": (truncated, "truncated"),
    "module.pth": (pickled_module, "asks for decoder.DehazeXL"),
    "shape.pth": (wrong_shape, "decoder.output.weight (2, 1, 1, 1), expected (3, 1, 1, 1)"),
    "words.txt": (lambda path: path.write_text("words"), "expected a checkpoint by its ending"),
    "absent.pth": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_checkpoint_is_one_line_and_leaves_nothing(tmp_path, capsys, name):
    make, message = BAD[name]
    make(tmp_path / name)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        main.run(["wxjax", "convert", "dehazexl", str(tmp_path / name), f"--out={out}"])
    text = capsys.readouterr().err
    assert stopped.value.code == 2 and message in text and name in text
    assert text.count("\n") == 1 and "Traceback" not in text
    assert not out.exists()


def test_convert_without_its_words_says_how(capsys):
    for words in (
        ["convert"],
        ["convert", "dehazexl", "a.pth"],
        ["convert", "dehazxl", "a", "--out=x"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main.run(["wxjax", *words])
        assert stopped.value.code == 2 and "dehazexl" in capsys.readouterr().err


def test_a_model_that_is_no_folder_of_ours_is_named(tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(SystemExit) as stopped:
        main.run(["wxjax", "restore", str(tmp_path / "a.png"), f"--model={tmp_path}"])
    assert stopped.value.code == 2 and "no config.json" in capsys.readouterr().err
