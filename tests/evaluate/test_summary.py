"""The summary of a run: hand-worked values, and every way rows can be incomplete."""

import json

import numpy as np
import pytest

from tests.evaluate import simulated
from wxjax import errors
from wxjax.evaluate import criteria, estimates, schema, summary

META = {"backbone": "DehazeXL-test", "version": "0.1", "seed": 0}


def summarize(rows, **more):
    return summary.summarize(rows, settings={"tile": 512}, meta=META | more.pop("meta", {}), **more)


@pytest.fixture(scope="module")
def full():
    return summarize(simulated.rows(12, mixed=4))


def psnr_rows(**by_variant):
    """Two haze images and one of rain with the PSNR of each variant given."""
    tasks = ("haze", "haze", "rain")
    return [
        {
            "id": f"{i}", "dataset": "d", "degradation": tasks[i], "severity": None,
            "variant": variant, "protocol": "default", "metrics": {"psnr": float(value)},
        }
        for variant, values in by_variant.items()
        for i, value in enumerate(values)
    ]  # fmt: skip


def test_means_gains_and_macro_by_hand():
    found = summarize(psnr_rows(input=(20, 22, 26), actual=(24, 28, 30)))
    actual = found["variants"]["actual"]
    assert actual["tasks"]["haze"]["psnr"]["mean"] == 26
    assert found["macro"]["psnr"] == actual["macro"]["psnr"]["mean"] == 28
    gain = found["comparisons"]["actual-input"]
    assert gain["macro"]["psnr"]["difference"] == pytest.approx((5 + 4) / 2)
    assert gain["tasks"]["haze"]["psnr"]["difference"] == 5
    # pooled differences 4, 6, 4: mean 14/3, standard deviation 2 / sqrt(3)
    assert gain["macro"]["psnr"]["cohens_d"] == pytest.approx(14 / 3 / (2 / 3**0.5))
    assert found["tasks"] == {"haze": 2, "rain": 1}
    assert "actual-dense" not in found["comparisons"]


def test_every_number_is_json_and_the_schema_holds(full):
    assert json.loads(json.dumps(full, allow_nan=False)) == full
    schema.validate("summary", full)


def test_actual_lies_between_dense_and_oracle_and_the_gap_is_their_distance(full):
    means = {v: full["variants"][v]["macro"]["psnr"]["mean"] for v in full["variants"]}
    assert means["input"] < means["dense"] < means["actual"] <= means["oracle_dense"]
    assert full["moe"]["oracle_gap_psnr"] == pytest.approx(means["oracle"] - means["actual"])
    near = (means["actual"] - means["dense"]) / (means["oracle"] - means["dense"])
    assert full["moe"]["nearness"] == pytest.approx(near)
    assert full["moe"]["headroom_psnr"] == pytest.approx(means["oracle"] - means["dense"])
    assert full["moe"]["repick_max_difference_db"] == 0


def test_intervals_hold_their_means(full):
    for variant in full["variants"].values():
        for stats in variant["macro"].values():
            assert stats["low"] <= stats["mean"] <= stats["high"]


def test_mixed_images_stand_apart_and_change_no_main_number(full):
    plain = summarize([r for r in simulated.rows(12, mixed=4) if r["degradation"] != "mixed"])
    assert full["apart"]["mixed"]["n"] == 4
    assert full["n"] == plain["n"] == 36
    assert (full["variants"], full["moe"]) == (plain["variants"], plain["moe"])


def test_usage_and_abstention_agree(full):
    assert sum(full["moe"]["usage"].values()) == pytest.approx(1)
    assert full["moe"]["usage"]["dense"] == full["moe"]["abstain_rate"]
    low, high = full["moe"]["abstain_rate_interval"]
    assert low <= full["moe"]["abstain_rate"] <= high


def test_one_degradation_alone_is_a_table_of_one():
    found = summarize([r for r in simulated.rows(6) if r["degradation"] == "rain"])
    assert found["tasks"] == {"rain": 6}
    stats = found["variants"]["actual"]
    assert stats["macro"]["psnr"]["mean"] == pytest.approx(stats["tasks"]["rain"]["psnr"]["mean"])
    assert not [c for c in found["criteria"] if c["name"].endswith(("haze", "snow"))]


def test_without_a_truth_only_the_routing_is_told():
    found = summarize([r | {"metrics": {}} for r in simulated.rows(6)])
    assert found["macro"]["psnr"] is None
    assert found["comparisons"] == {}
    assert found["moe"]["ece_label"] == "degradation"
    assert found["moe"]["accuracy_oracle"] is None
    met = {c["name"]: c["met"] for c in found["criteria"]}
    assert met["Macro PSNR gain over the input"] is None
    assert met["Router accuracy on the degradation label"] is not None


def test_unlabelled_images_without_truth_still_have_routes():
    rows = [r | {"metrics": {}, "degradation": "unknown"} for r in simulated.rows(4)]
    found = summarize([r for r in rows if r["variant"] in ("input", "actual")])
    assert found["tasks"] == {"unknown": 12}
    assert found["moe"]["accuracy_degradation"] is None
    assert "router_ece" not in found["moe"]
    assert sum(map(sum, found["curves"]["confusion"]["counts"])) == 12


def test_input_and_actual_alone_are_enough():
    rows = [r for r in simulated.rows(6) if r["variant"] in ("input", "actual")]
    found = summarize(rows)
    assert set(found["variants"]) == {"input", "actual"}
    assert "oracle_gap_psnr" not in found["moe"] and "misrouting" not in found["curves"]
    oracle = next(c for c in found["criteria"] if c["name"].startswith("Oracle"))
    assert (oracle["met"], oracle["value"]) == (None, None)


def test_a_model_without_router_has_no_routing():
    rows = [r for r in simulated.rows(4) if r["variant"] in ("input", "dense")]
    found = summarize(rows)
    assert found["moe"] is None and found["macro"]["psnr"] is None
    assert set(found["comparisons"]) == {"dense-input"}


def test_other_protocols_stand_beside_the_default_one():
    rows = simulated.rows(4)
    annex = [r | {"protocol": "y-native"} for r in rows]
    found = summarize(rows + annex)
    assert (found["protocol"], list(found["protocols"])) == ("default", ["y-native"])
    with pytest.raises(errors.InputError, match="protocol='y': expected one of default, y-nat"):
        summarize(rows + annex, meta={"protocol": "y"})


def test_no_rows_are_refused():
    with pytest.raises(errors.InputError, match="rows=0: expected at least one"):
        summarize([])


@pytest.mark.parametrize(
    "value, above, strict, met",
    [(0.0, True, False, True), (0.0, True, True, False), (-1e-9, True, False, False),
     (0.1, False, False, False), (0.0, False, False, True), (None, True, False, None)],
)  # fmt: skip
def test_a_criterion_is_met_by_its_value_alone(value, above, strict, met):
    estimate = {"value": value, "low": -1.0, "high": 1.0}
    line = criteria.criterion("x", 0.0, estimate, above=above, strict=strict)
    assert line["met"] is met
    assert ("reaches across" in line["note"]) is (value is not None)


def test_nearness_can_meet_the_oracle_criterion_where_the_gap_does_not():
    moe = {"oracle_gap_psnr": 0.5, "oracle_gap_psnr_interval": [0.4, 0.6]}
    assert criteria._oracle(moe | {"nearness": 0.8})["met"] is False
    assert criteria._oracle(moe | {"nearness": 0.95})["met"] is True


def test_latency_is_judged_by_the_ratio_of_the_bench():
    cost = {
        "device": "a CPU",
        "cases": [{"name": "actual", "size": [512, 512], "flops_g": 7.0}],
        "overhead": {"actual_over_dense": {"median": 1.03, "low": 1.01, "high": 1.08}},
    }
    found = summarize(simulated.rows(4), cost=cost)
    line = next(c for c in found["criteria"] if c["name"].startswith("Latency"))
    assert (line["met"], line["value"]) == (True, pytest.approx(0.03))
    assert "512x512, not 4K" in line["note"] and "reaches across" in line["note"]
    assert found["efficiency"]["flops_g"] == 7.0
    assert found["efficiency"]["latency_ms"] == 81.5  # 80 + median of 0..3
    ratio = {"device": "a GPU", "overhead": {"actual_over_dense": 1.2}}
    later = summary.with_cost(json.loads(json.dumps(found)), ratio)
    assert next(c for c in later["criteria"] if c["name"].startswith("Latency"))["met"] is False
    assert summary.with_cost(later, cost) == found


def test_a_share_of_one_has_an_interval_that_is_not_empty():
    value, (low, high) = estimates.share(np.ones(20, bool))
    # Wilson at 20 of 20: 20 / (20 + 1.96^2)
    assert (value, high) == (1, 1) and low == pytest.approx(20 / (20 + 1.959964**2))
