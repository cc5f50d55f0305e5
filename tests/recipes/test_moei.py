"""The whole method at the test size: trains, resumes, evaluates, restores, reports."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests.recipes.conftest import environment, wxjax
from wxjax import files
from wxjax.evaluate import schema
from wxjax.recipes import moei
from wxjax.train import weights

VARIANTS = {"input", "dense", "dehaze", "derain", "desnow", "actual", "top2"}


def test_a_run_leaves_rows_a_summary_and_a_page(tiny):
    run = tiny / "run"
    rows = files.read_jsonl(run / "per_image.jsonl")
    assert {row["variant"] for row in rows} == VARIANTS
    assert {row["degradation"] for row in rows} == {"haze", "rain", "snow", "mixed"}
    for row in rows:
        schema.validate("row", row)
    summary = files.read_json(run / "summary.json")
    schema.validate("summary", summary)
    assert summary["moe"]["repick_max_difference_db"] == pytest.approx(0, abs=1e-6)
    assert summary["weights_hash"] == files.sha256(run / "system" / "weights.npz")
    page = (run / "index.html").read_text()
    assert page.count("<input") >= 3 and "http://" not in page and "https://" not in page
    assert (run / "report.md").exists()


def test_dense_gets_as_many_presentations_as_backbone_and_experts(tiny):
    budget = files.read_json(tiny / "run" / "summary.json")["budget"]
    assert budget["presentations_dense"] == budget["presentations_experts"] == 4 * (4 + 3 * 8)
    steps = [json.loads(line)["step"] for line in open(tiny / "run" / "unified" / "metrics.jsonl")]
    assert max(steps) == 3 * 8


def test_experts_differ_from_dense_in_their_own_layers_only(tiny):
    variables, _ = weights.load(tiny / "run" / "system")
    flat = weights.flatten(variables)
    owned = [name for name in flat if name.startswith("params/experts/")]
    assert any("/shell/" in name for name in owned)
    assert all(name.split("/")[2] == "decoder" for name in owned)
    for name in owned:
        assert flat[name].shape[0] == 4
        if name.endswith("shell/gate"):
            assert np.all(flat[name][0] == 0)
            assert np.abs(flat[name][1:]).max() > 0


def test_a_finished_run_is_not_run_again(tiny):
    before = {p: p.stat().st_mtime_ns for p in (tiny / "run").rglob("weights.npz")}
    rows = (tiny / "run" / "per_image.jsonl").stat().st_mtime_ns
    again = wxjax("--config=configs/moei.py:tiny", "--workdir=run", cwd=tiny)
    assert again.returncode == 0, again.stderr[-2000:]
    assert before == {p: p.stat().st_mtime_ns for p in (tiny / "run").rglob("weights.npz")}
    assert rows == (tiny / "run" / "per_image.jsonl").stat().st_mtime_ns


def test_another_config_is_refused_in_a_used_workdir(tiny):
    done = wxjax("--config=configs/moei.py:tiny", "--workdir=run", "--config.seed=1", cwd=tiny)
    assert done.returncode == 2
    assert "holds a run of another config: seed=0 there, 1 here" in done.stderr


@pytest.mark.slow
def test_a_run_killed_anywhere_ends_equal_to_the_bit(tiny, tmp_path):
    command = [sys.executable, "-m", "wxjax.main", "--config=configs/moei.py:tiny"]
    whole = files.read_json(tiny / "run" / "system" / "weights.json")
    rng = random.Random(0)
    for _ in range(2):
        child = subprocess.Popen(
            [*command, "--workdir=killed"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(rng.uniform(5, 20))
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = wxjax("--config=configs/moei.py:tiny", "--workdir=killed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (
        files.read_json(tmp_path / "killed" / "system" / "weights.json")["arrays"]
        == (whole["arrays"])
    )
    for name in ("weights.npz",):
        assert files.sha256(tmp_path / "killed" / "system" / name) == (
            files.sha256(tiny / "run" / "system" / name)
        )
    rows = [(tiny / "run"), (tmp_path / "killed")]
    kept = [
        [(r["id"], r["variant"], r["metrics"]) for r in files.read_jsonl(d / "per_image.jsonl")]
        for d in rows
    ]
    assert kept[0] == kept[1]


def test_photographs_are_restored_with_a_record(tiny):
    shutil.rmtree(tiny / "in", ignore_errors=True)
    (tiny / "in" / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (70, 50, 3), np.uint8)).save(tiny / "in" / "a.png")
    Image.fromarray(rng.integers(0, 256, (33, 90, 3), np.uint8)).save(tiny / "in" / "sub" / "b.jpg")
    done = wxjax("restore", "in", "--out=out", "--workdir=run", cwd=tiny)
    assert done.returncode == 0, done.stderr[-2000:]
    record = files.read_json(tiny / "out" / "a.png.json")
    assert Image.open(tiny / "out" / "a.png").size == (50, 70)
    assert Image.open(tiny / "out" / "sub" / "b.jpg").format == "JPEG"
    schema.validate("record", flat_record(record))
    (tiny / "in" / "broken.png").write_text("this is no picture")
    again = wxjax("restore", "in", "--out=out", "--workdir=run", cwd=tiny)
    assert again.returncode == 1
    assert "broken.png" in again.stderr and "Traceback" not in again.stderr


def flat_record(record: dict) -> dict:
    """Route and settings side by side, as the schema lists them."""
    return {**record, **record["restoration"], **record["settings"]}


def test_pairs_of_ones_own_are_evaluated(tiny):
    rng = np.random.default_rng(1)
    for kind in ("input", "gt"):
        (tiny / "pairs" / kind).mkdir(parents=True, exist_ok=True)
    for i in range(3):
        clean = rng.integers(0, 256, (40 + i, 50, 3), np.uint8)
        Image.fromarray(clean).save(tiny / "pairs" / "gt" / f"{i}.png")
        Image.fromarray(clean // 2 + 100).save(tiny / "pairs" / "input" / f"{i}.png")
    done = wxjax(
        "evaluate", "--data=pairs", "--degradation=haze", "--out=results", "--workdir=run", cwd=tiny
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "actual" in done.stdout and (tiny / "results" / "index.html").exists()
    rows = files.read_jsonl(tiny / "results" / "per_image.jsonl")
    assert len(rows) == 3 * len(VARIANTS)
    shape = np.asarray(Image.open(tiny / "pairs" / "gt" / "0.png")).shape
    Image.new("RGB", (shape[1] + 1, shape[0])).save(tiny / "pairs" / "gt" / "0.png")
    done = wxjax("evaluate", "--data=pairs", "--out=results", "--workdir=run", cwd=tiny)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "50" in done.stderr and "51" in done.stderr


def test_a_bench_says_what_the_router_costs(tiny):
    done = wxjax("bench", "--workdir=run", "--size=96x64", "--repeats=3", cwd=tiny)
    assert done.returncode == 0, done.stderr[-2000:]
    cost = files.read_json(tiny / "run" / "cost.json")
    assert {case["name"] for case in cost["cases"]} == {"dense", "actual"}
    assert cost["overhead"]["actual_over_dense_96x64"]["median"] > 0
    dense, actual = (case["flops_g"] for case in cost["cases"])
    assert dense < actual < 1.2 * dense
    assert "cost" in (tiny / "run" / "report.md").read_text().lower()


def test_a_breakdown_adds_up_to_the_whole_picture(tiny):
    done = wxjax("bench", "--breakdown", "--workdir=run", "--size=96x64", "--repeats=1", cwd=tiny)
    assert done.returncode == 0, done.stderr
    parts = json.loads((tiny / "run" / "breakdown.json").read_text())["96x64"]["parts"]
    total = parts.pop("total")
    assert "96x64 encoder" in done.stdout and "% of the matrix-product rate" in done.stdout
    assert sum(row["seconds"] for row in parts.values()) == pytest.approx(total["seconds"])


def test_soft_labels_by_hand():
    class Config:
        mse_scale, beta, decibels = "decibel", 50.0, 0.5

    q = moei.soft_labels(np.array([[0.001, 0.01, 0.1]]), Config)
    assert q[0, 0] == pytest.approx(1 / (1 + np.exp(-20) + np.exp(-40)))
    Config.mse_scale = "unit"
    q = moei.soft_labels(np.array([[0.001, 0.002, 0.003]]), Config)
    assert q.max() - q.min() < 0.04  # the plan's own scale: all but uniform
    Config.mse_scale = "relative"
    q = moei.soft_labels(np.array([[0.5, 1.0, 1.5]]), Config)
    assert q[0, 0] == pytest.approx(1, abs=1e-6)
    Config.mse_scale = "decibels"
    with pytest.raises(ValueError, match="Did you mean 'decibel'"):
        moei.soft_labels(np.ones((1, 3)), Config)
