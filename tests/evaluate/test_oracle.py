"""Re-picks among stored rows, against small tables worked by hand."""

import numpy as np
import pytest

from tests.evaluate import simulated
from wxjax import errors
from wxjax.evaluate import oracle
from wxjax.evaluate.table import PSNR_CAP, ROUTES, join, macro, macro_weights

# id: degradation, PSNR of dense, dehaze, derain, desnow, router's p, index
IMAGES = {
    "a": ("haze", (20, 22, 18, 17), (0.8, 0.1, 0.1), 1),
    "b": ("haze", (30, 29, 27, 28), (0.4, 0.35, 0.25), 0),
    "c": ("rain", (25, 20, 26, 21), (0.7, 0.2, 0.1), 1),
    "d": ("snow", (24, 20, 21, 28), (0.05, 0.05, 0.9), 3),
}


def rows() -> list[dict]:
    found = []
    for name, (degradation, values, p, index) in IMAGES.items():
        base = {"id": name, "degradation": degradation, "severity": None, "protocol": "default"}
        scores = dict(zip(ROUTES, values, strict=True)) | {"actual": values[index]}
        for variant, psnr in scores.items():
            row = base | {"variant": variant, "metrics": {"psnr": float(psnr)}}
            if variant == "actual":
                row["moe"] = {"p": list(p), "index": index, "route": ROUTES[index]}
            found.append(row)
    return found


@pytest.fixture
def table():
    return join(rows())


def test_macro_counts_every_task_once(table):
    # haze (20 + 30) / 2 = 25, rain 25, snow 24
    dense = table.psnr("dense")[:, 0]
    assert macro(table, dense) == pytest.approx(74 / 3)
    assert macro_weights(table) @ dense == pytest.approx(74 / 3)


def test_the_oracle_takes_the_best_expert_of_each_row(table):
    np.testing.assert_array_equal(oracle.best(table), [1, 1, 2, 3])
    np.testing.assert_array_equal(oracle.pick(table, oracle.best(table)), [22, 29, 26, 28])
    np.testing.assert_array_equal(oracle.best(table, with_dense=True), [1, 0, 2, 3])


def test_headroom_is_what_a_perfect_router_wins_over_dense(table):
    # gains 2, -1 | 1 | 4, so haze 0.5, and with dense allowed 2, 0 | 1 | 4
    assert oracle.headroom(table) == pytest.approx(5.5 / 3)
    assert oracle.headroom(table, with_dense=True) == pytest.approx(6 / 3)


def test_the_stored_index_picks_what_was_shipped(table):
    np.testing.assert_array_equal(oracle.pick(table, table.index), [22, 30, 20, 28])
    np.testing.assert_array_equal(table.psnr("actual")[:, 0], [22, 30, 20, 28])


def test_both_labels_judge_the_first_choice(table):
    # choices dehaze, dehaze, dehaze, desnow: c is wrong by both labels
    assert oracle.accuracies(table) == {"degradation": 0.75, "oracle": 0.75}


def test_a_sweep_abstains_below_the_threshold(table):
    none, some, all_ = oracle.sweep(table, (0.0, 0.75, 1.0))
    assert (none["abstain_rate"], none["accuracy"]) == (0, 0.75)
    # without abstention b goes to dehaze: haze (22 + 29) / 2, rain 20, snow 28
    assert none["macro_psnr"] == pytest.approx((25.5 + 20 + 28) / 3)
    # at 0.75 b and c abstain: haze (22 + 30) / 2, rain 25, snow 28
    assert (some["coverage"], some["accuracy"]) == (0.5, 1.0)
    assert some["macro_psnr"] == pytest.approx((26 + 25 + 28) / 3)
    assert (all_["coverage"], all_["accuracy"]) == (0, None)
    assert all_["macro_psnr"] == pytest.approx(74 / 3)


def test_confusion_counts_routes_by_degradation(table):
    found = oracle.confusion(table)
    assert found["degradations"] == ["haze", "rain", "snow"]
    assert found["counts"] == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_all_routes_forced_wrong_cost_the_mean_over_both_wrong_experts(table):
    without = oracle.misroute(table, (0.0, 1.0), draws=4000)[:2]
    # first choices: a 22, b 29, c 20 (dehaze, wrong already), d 28; wrong experts on average:
    # a (18 + 17) / 2, b (27 + 28) / 2, c (20 + 21) / 2, d (20 + 21) / 2
    start = ((22 + 29) / 2 + 20 + 28) / 3
    end = ((17.5 + 27.5) / 2 + 20.5 + 20.5) / 3
    assert without[0]["macro_psnr"] == pytest.approx(start)
    assert without[1]["drop"] == pytest.approx(start - end, abs=0.02)


def test_an_image_that_abstains_is_safe_from_forced_errors():
    table = join(rows())
    table = table.take(np.array([False, True, False, False]))
    found = oracle.misroute(table, (1.0,), draws=50)
    assert [(r["abstention"], r["drop"] > 0) for r in found] == [(False, True), (True, False)]


def test_more_forced_errors_never_help_and_a_seed_repeats_them():
    table = join(simulated.rows(8))
    found = oracle.misroute(table, draws=200, seed=3)
    for abstention in (False, True):
        drops = [r["drop"] for r in found if r["abstention"] is abstention]
        assert drops[0] == 0 and all(np.diff(drops) > 0)
    assert found == oracle.misroute(table, draws=200, seed=3)
    assert found != oracle.misroute(table, draws=200, seed=4)


def test_severity_bins_share_a_task_equally_and_rise():
    table = join(simulated.rows(10))
    bins = oracle.severities(table)
    assert [(task, label) for task, label, _ in bins[:3]] == [
        ("haze", "low"), ("haze", "mid"), ("haze", "high"),
    ]  # fmt: skip
    assert [len(images) for _, _, images in bins[:3]] == [4, 3, 3]
    ends = [(images.severity.min(), images.severity.max()) for _, _, images in bins[:3]]
    assert ends[0][1] <= ends[1][0] and ends[1][1] <= ends[2][0]


def test_a_perfect_image_counts_as_the_cap():
    stored = rows()
    stored[0]["metrics"] = {"psnr": None, "identical": True}
    assert join(stored).psnr("dense")[0, 0] == PSNR_CAP


def test_without_a_truth_routing_is_still_counted():
    table = join([row | {"metrics": {}} for row in rows()])
    assert not table.has("dense")
    assert oracle.accuracies(table) == {"degradation": 0.75, "oracle": None}
    assert oracle.sweep(table, (0.0,))[0]["macro_psnr"] is None
    with pytest.raises(errors.InputError, match="this needs PSNR of dense, dehaze, derain"):
        oracle.best(table)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda r: r.append(r[0]), "id='a': variant 'dense' is stored twice"),
        (lambda r: r.pop(), "id='d': lacks the variants actual that other images have"),
        (lambda r: r[0].update(degradation="snow"), "disagree about degradation"),
        (lambda r: r[4]["moe"].update(index=2), "route 'dehaze' is not index 2"),
    ],
    ids=["twice", "missing", "two labels", "route against index"],
)
def test_rows_that_contradict_each_other_are_refused(spoil, message):
    stored = rows()
    spoil(stored)
    with pytest.raises(errors.InputError, match=message):
        join(stored)
