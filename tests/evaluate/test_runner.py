"""Rows of all variants from a restorer whose every answer is known."""

import types

import numpy as np
import pytest

from wxjax import errors
from wxjax.evaluate import runner
from wxjax.task import Task

ROUTES = ("dense", "dehaze", "derain")


def example(**changes):
    image = np.full((4, 5, 3), 100, np.uint8)
    plain = {"id": "a", "dataset": "made", "degradation": np.int32(1), "severity": 0.5}
    return {**plain, "image": image, "target": image + np.uint8(10), **changes}


class Restorer:
    """Adds 10 a route; the router chooses `choice`. Counts what it was asked."""

    def __init__(self, choice):
        self.choice, self.asked = choice, []

    def __call__(self, image, force=0):
        self.asked.append(int(force))
        index = int(force) if force >= 0 else self.choice
        said = {
            "route": np.array([index]),
            "weights": np.array([[0.7, 0.3]]),
            "logits": np.zeros((1, 2)),
            "confidence": np.array([0.7]),
            "abstained": np.array([index == 0]),
            "latency_ms": 5.0 + index,
            "ms_per_mp": 1.0,
            "mem_gb": 1.0,
        }
        return (image + 10 * index) / np.float32(255), said


class Counting:
    """Mean absolute difference, and how many pictures were measured at a time."""

    def __init__(self):
        self.sizes = []

    def __call__(self, outputs, batch):
        self.sizes.append(len(outputs["image"]))
        difference = np.abs(outputs["image"].astype(float) - batch["target"])
        return {"mse": difference.mean((1, 2, 3))}


def task(**parts):
    return Task(
        **{"init": None, "loss": None, "predict": None, "measure": None, **parts}, summarize=None
    )


def run(restorer, measure, *examples):
    options = dict(routes=ROUTES, protocol="default")
    return runner.run(task(), restorer, list(examples), measure=measure, **options).rows


@pytest.mark.parametrize("choice", [0, 2])
def test_the_chosen_route_runs_once_and_equal_pictures_are_measured_once(choice):
    restorer, measure = Restorer(choice), Counting()
    rows = {row["variant"]: row for row in run(restorer, measure, example())}
    assert sorted(restorer.asked) == sorted({0, 1, 2} - {choice} | {-1})
    assert measure.sizes == [3]  # the input is what dense leaves as it is
    found = {name: row["metrics"]["mse"] for name, row in rows.items()}
    expected = {"input": 10, "dense": 10, "dehaze": 0, "derain": 10}
    assert found == {**expected, "actual": expected[ROUTES[choice]]}
    assert rows["actual"]["moe"]["route"] == ROUTES[choice]
    assert rows["derain"]["cost"]["latency_ms"] == 7.0 and rows["input"]["cost"] == {}


def test_without_a_truth_only_the_routing_is_recorded():
    measure = Counting()
    rows = run(Restorer(1), measure, example(target=None))
    assert measure.sizes == [] and all(row["metrics"] == {} for row in rows)


def test_a_truth_of_another_size_is_named():
    other = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(errors.InputError, match=r"a: the truth is \(4, 6, 3\)"):
        run(Restorer(1), Counting(), example(target=other))


def test_a_bucket_is_compiled_once_and_no_picture_runs_twice():
    calls = []

    def predict(variables, batch):
        calls.append(batch["tiles"].shape)
        return {"tiles": batch["tiles"] / np.float32(255) * variables}

    tiles = types.SimpleNamespace(tile=8, overlap=2, blend="hann")
    restorer = runner.Restorer(task(predict=predict), np.float32(0.5), tiles)
    image = np.random.default_rng(0).integers(0, 256, (20, 14, 3), np.uint8)
    for _ in range(2):
        restored, said = restorer(image)
        np.testing.assert_allclose(restored, image / 510, atol=1e-6)
        assert 0 < said["latency_ms"] < 5000
    assert calls == [(6, 8, 8, 3)]
