"""What is written is checked, and a wrong field is named by its path."""

import copy

import jsonschema
import pytest

from tests.evaluate import simulated
from wxjax import errors
from wxjax.evaluate import schema

RECORD = {
    "route": "derain", "index": 2, "pmax": 0.9, "p": [0.05, 0.9, 0.05], "abstained": False,
    "latency_ms": 812.0, "ms_per_mp": 98.0, "mem_gb": None, "temperature": 1.2, "tau": 0.5,
    "weights_hash": "ab12", "tile": 512, "overlap": 64, "blend": "hann",
}  # fmt: skip


@pytest.mark.parametrize("kind", schema.KINDS)
def test_every_schema_is_itself_valid(kind):
    jsonschema.Draft202012Validator.check_schema(schema.schema(kind))


def test_simulated_rows_and_a_record_are_legal():
    rows = simulated.rows(2, mixed=1)
    assert rows
    for row in rows:
        schema.validate("row", row)
    schema.validate("record", RECORD)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda r: r.pop("id"), r"^row: 'id' is a required property\.$"),
        (lambda r: r.update(severity=1.5), r"^row\.severity: 1\.5 is wrong, expected maximum 1\.$"),
        (lambda r: r["moe"].update(route="rain"), r"^row\.moe\.route: \"rain\" is wrong, expected "
         "one of dense, dehaze, derain, desnow"),
        (lambda r: r["moe"].update(p=[0.5, 0.5]), r"^row\.moe\.p: \[0\.5, 0\.5\] is wrong"),
        (lambda r: r["moe"]["p"].__setitem__(1, "x"), r"^row\.moe\.p\[1\]: \"x\" is wrong, "
         "expected number"),
        (lambda r: r["metrics"].update(psnr=float("inf")), r"^row\.metrics\.psnr=inf: expected a "
         "finite number, or null"),
        (lambda r: r["metrics"].update(ssim="high"), r"^row\.metrics\.ssim: \"high\" is wrong, "
         "expected number or null"),
    ],
    ids=["missing", "range", "enum", "length", "item", "infinite", "type"],
)  # fmt: skip
def test_a_wrong_field_of_a_row_is_named_by_its_path(spoil, message):
    row = copy.deepcopy(next(r for r in simulated.rows(1) if r["variant"] == "actual"))
    spoil(row)
    with pytest.raises(errors.InputError, match=message):
        schema.validate("row", row)


def test_a_record_without_a_threshold_is_refused():
    with pytest.raises(errors.InputError, match="record: 'tau' is a required property"):
        schema.validate("record", {k: v for k, v in RECORD.items() if k != "tau"})


def test_an_unknown_kind_is_named_with_its_neighbour():
    with pytest.raises(errors.InputError, match="Did you mean 'record'"):
        schema.validate("recrod", {})
