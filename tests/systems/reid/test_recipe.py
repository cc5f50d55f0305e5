"""The `:tiny` run by the command line: trains, ranks, tests the gate, reports, searches."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.recipes.conftest import slip, wxjax
from wxjax import errors, files
from wxjax.systems.reid import measure as evaluation
from wxjax.systems.reid import variants
from wxjax.systems.reid.data.pedestrians import Pedestrians
from wxjax.systems.reid.measure import Shots


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieval")
    done = wxjax("--config=configs/reid.py:tiny", "--workdir=run", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "report: run/index.html" in done.stdout
    source = Pedestrians("test", identities=5, takes=2)
    for i in range(len(source)):
        shot = source[i]
        for band, image in zip(("RGB", "NI", "TI"), shot["image"], strict=True):
            path = folder / "shots" / band / f"{shot['id']}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return folder


@pytest.mark.slow
def test_a_run_ranks_tests_the_gate_and_reports(place):
    made = files.read_json(place / "run" / "retrieval.json")
    assert set(made["variants"]) == {"moe", "mlp"} and made["queries"] == 20
    assert 0 <= made["variants"]["moe"]["map"]["mean"] <= 1
    assert set(made["gate"]["controls"]) == {"uniform", "mean", "shuffled"}
    # Four steps teach a gate nothing: the flag must say so.
    assert made["gate"]["unused"] and any("Gate unused" in line for line in made["findings"])
    assert set(made["runs"][0]["missing"]) == {
        "without rgb", "without nir", "without tir", "without rgb, nir", "without rgb, tir",
        "without nir, tir",
    }  # fmt: skip
    assert len(made["runs"][0]["cross"]) == 6
    rows = files.read_jsonl(place / "run" / "per_query.jsonl")
    assert len(rows) == 40
    mean = np.mean([r["ap"] for r in rows if r["variant"] == "moe" and r["valid"]])
    assert mean == pytest.approx(made["variants"]["moe"]["map"]["mean"])
    text = (place / "run" / "report.md").read_text()
    assert "GATE UNUSED" in text and "Missing bands" in text and "Raw pixels" in text
    assert (place / "run" / "samples" / "ranked.png").exists()
    assert (place / "run" / "figures" / "weights.png").exists()


@pytest.mark.slow
def test_a_run_stopped_half_way_ends_equal_to_the_bit(place):
    half = place / "half"
    shutil.copytree(place / "run", half)
    shutil.rmtree(half / "moe" / "seed0" / "last")
    shutil.rmtree(half / "moe" / "seed0" / "checkpoints" / "4")
    done = wxjax("--config=configs/reid.py:tiny", "--workdir=half", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (place / run / "moe/seed0/last/weights.npz" for run in ("run", "half"))
    assert files.sha256(one) == files.sha256(two)


@pytest.mark.slow
def test_search_ranks_a_folder_and_remembers_it(place):
    query = "shots/RGB/020000_cam1_00.png"
    words = ("search", query, "--gallery=shots", "--workdir=run", "--out=found", "--top=4")
    first, second = wxjax(*words, cwd=place), wxjax(*words, cwd=place)
    assert first.returncode == 0, first.stderr[-2000:]
    assert "19 shots: 19 embedded, 0 from the store" in first.stdout
    assert "19 shots: 0 embedded, 19 from the store" in second.stdout
    found = files.read_json(place / "found" / "search.json")
    likeness = [r["similarity"] for r in found["results"]]
    assert len(likeness) == 4 and likeness == sorted(likeness, reverse=True)
    assert Image.open(place / "found" / "search.png").size[0] > 4 * 64
    # A changed picture is embedded again, and it alone.
    Image.new("RGB", (64, 128)).save(place / "shots" / "RGB" / "020001_cam1_00.png")
    assert "1 embedded, 18 from the store" in wxjax(*words, cwd=place).stdout


@pytest.mark.slow
def test_explain_splits_a_similarity_exactly(place):
    words = ("explain", "020000_cam1_00", "020000_cam2_01", "--workdir=run", "--out=why")
    done = wxjax(*words, cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    found = files.read_json(place / "why" / "explain.json")
    assert found["split_sum"] == pytest.approx(found["similarity"], abs=1e-4)
    assert set(found["removed"]) == {"none", "4x4", "8x8", "16x16"} and found["same_identity"]
    wrong = wxjax("explain", "nobody", "020000_cam2_01", "--workdir=run", cwd=place)
    assert wrong.returncode == 2 and "explain='nobody'" in wrong.stderr
    shutil.rmtree(place / "why")


@pytest.mark.slow
def test_slips_are_one_line(place):
    for words, message in (
        (("search", "shots/RGB/020000_cam1_00.png", "--workdir=run"), "expected one query"),
        (("search", "no.png", "--gallery=shots", "--workdir=run"), "no such file"),
        (("--config=configs/reid.py:tiny", "--workdir=x", "--config.study.variants=('moo',)"),
         "Did you mean 'moe'"),
    ):  # fmt: skip
        done = slip(*words, cwd=place)
        assert done.returncode == 2 and message in done.stderr, done.stderr[-500:]
        assert done.stderr.count("\n") == 1


def alone(pid, camera):
    n = len(pid)
    return Shots(
        np.arange(n).astype(str), np.array(pid), np.array(camera), np.full(n, -1),
        np.full(n, "both"), np.ones((n, 1), bool), {},
    )  # fmt: skip


def test_a_set_without_a_true_match_says_why():
    feature = np.eye(4, dtype=np.float32)
    with pytest.raises(errors.InputError, match="seen by its query's own camera only"):
        evaluation.compare(alone([1, 1, 2, 2], [0, 0, 1, 1]), feature)
    roles = alone([1, 1, 2, 2], [0, 1, 0, 1])._replace(
        role=np.array(["query", "query", "gallery", "gallery"])
    )
    with pytest.raises(errors.InputError, match="none of 1 query identities is in the gallery"):
        evaluation.compare(roles, feature)


def test_a_gate_that_only_seems_to_matter_is_flagged():
    rng = np.random.default_rng(0)
    ap, pid = rng.uniform(0.5, 1, 60), np.repeat(np.arange(10), 6)
    actual = [{"ap": ap, "pid": pid}, {"ap": ap - 0.02, "pid": pid}]
    worse = [a["ap"] - 0.1 for a in actual]
    used = evaluation.verdict(actual, {"shuffled": worse}, [0.3, 0.2], resamples=200)
    assert not used["unused"] and used["controls"]["shuffled"]["drop"] == pytest.approx(0.1)
    same = [a["ap"] + rng.normal(0, 0.001, 60) for a in actual]
    assert evaluation.verdict(actual, {"shuffled": same}, [0.3, 0.2], resamples=200)["unused"]
    silent = evaluation.verdict(actual, {"shuffled": worse}, [0.001, 0.001], resamples=200)
    assert silent["unused"] and "nats" in silent["reasons"][0]


def test_groups_expand_once_and_the_default_mlp_matches_both_costs():
    from configs import reid

    names = variants.expand(("moe", "fusion", "gate_depth"))
    assert len(names) == len(set(names)) and names[0] == "moe" and "depth_3" in names
    config = reid.get_config()
    assert variants.twins(config)
    width = variants.width_of(config, "parameters")
    from wxjax.systems.reid.sizes import sizes_of

    cost = variants.block_cost(sizes_of(config))
    matched = variants.apply(reid.get_config(), "mlp_matched")
    assert matched.model.mlp_hidden == width
    other = variants.block_cost(sizes_of(matched))
    for name in ("parameters", "flops"):
        assert other[name] == pytest.approx(cost[name], rel=0.03)
