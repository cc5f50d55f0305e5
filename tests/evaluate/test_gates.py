"""What a gate over tokens did, from rows to the report; means over frames and clips."""

import numpy as np
import pytest

from wxjax.evaluate import routes, schema
from wxjax.evaluate.runner import row
from wxjax.report import cells, figures, film, tables
from wxjax.systems.mofme import measure


def gated(kind, usage, count=2.0):
    gate = {"usage": [usage, usage], "count": [count, count], "entropy": [0.5, 0.5]}
    return {"degradation": kind, "gate": {**gate, "histogram": [[0, 1], [0, 1]]}}


def test_usage_is_a_mean_over_images_of_a_kind():
    rows = [
        gated("haze", [1.0, 0.0]),
        gated("haze", [0.5, 0.5], 1.0),
        gated("snow", [0.0, 1.0]),
        {"degradation": "haze"},  # a row of the input says nothing
    ]
    found = routes.experts(rows)
    assert found["haze"]["images"] == 2 and found["haze"]["usage"] == [[0.75, 0.25]] * 2
    assert found["haze"]["count"] == [1.5, 1.5] and found["snow"]["usage"][0] == [0.0, 1.0]
    assert routes.experts([{"degradation": "haze"}]) == {}


def test_a_row_keeps_what_the_gate_said():
    outputs = {
        "gate_usage": np.full((1, 2, 4), 0.25),
        "gate_count": np.full((1, 2), 3.0),
        "gate_histogram": np.full((1, 2, 3), 1 / 3),
        "gate_entropy": np.full((1, 2), 1.1),
        **{name: 1.0 for name in ("latency_ms", "mem_gb", "ms_per_mp")},
    }
    example = {"id": "a", "dataset": "d", "degradation": 0, "severity": 0.5}
    made = row(example, "dense", {}, outputs, ("dense",), "default")
    schema.validate("row", made)
    assert made["gate"]["usage"] == [[0.25] * 4] * 2 and made["gate"]["count"] == [3.0, 3.0]


def test_the_report_shows_experts_by_weather():
    summary = {"experts": routes.experts([gated("haze", [0.8, 0.2]), gated("snow", [0.1, 0.9])])}
    text = cells.markdown(tables.experts(summary))
    assert "| Haze (1) | 0.800 | 0.200 | 2.00 |" in text and tables.experts({}) is None
    draw = lambda f, d: figures.experts(f, d, summary["experts"])
    assert figures.render(draw)[:4] == b"\x89PNG"


def test_a_film_without_a_router_has_no_picture():
    assert film.draw([]) is None and film.draw([{"frame": 0}]) is None


def test_short_clips_weigh_as_much_as_long_ones():
    row = lambda name, psnr: {"id": name, "metrics": {"psnr": psnr}}
    rows = [row("a", 10.0), row("b", 20.0), row("b", 30.0), row("b", 40.0), row("c", None)]
    assert measure.by_video(rows, "psnr") == pytest.approx((10 + 30) / 2)
    assert measure.by_video(rows, "psnr", slice(0, 1)) == pytest.approx(15)
    assert measure.by_video(rows, "psnr", slice(1, None)) == pytest.approx(35)
    assert measure.by_video(rows, "ssim") is None
