"""Bytes and quality of what stores a day's frames."""

import numpy as np
import pytest

from wxjax.systems.tod import rates


@pytest.fixture(scope="module")
def day():
    """Six smooth frames of four pictures that fade into each other."""
    y, x = np.mgrid[:32, :48] / 32
    pictures = [np.stack([np.sin(3 * x + k), np.cos(4 * y - k), x * y], -1) for k in range(4)]
    curves = np.random.default_rng(0).uniform(0, 1, (6, 4))
    frames = 0.5 + 0.12 * np.tensordot(curves, np.stack(pictures), 1)
    return np.arange(6) * 4.0, (255 * np.clip(frames, 0, 1)).astype(np.uint8)


def measure(outputs, batch):
    gap = (outputs["image"].astype(np.float64) - batch["target"]) / 255
    error = np.square(gap).mean((1, 2, 3))
    return {"psnr": -10 * np.log10(error + 1e-12), "ssim": 1 - error, "lpips": error}


def test_more_bytes_show_more_and_every_method_says_its_own(day):
    hours, frames = day
    rows = rates.curve(hours, frames, 24.0, measure)
    assert {"svd int8", "basis", "JPEG"} <= {row["method"] for row in rows}
    for method in dict.fromkeys(row["method"] for row in rows):
        chosen = [row for row in rows if row["method"] == method]
        assert all(a["bytes"] <= b["bytes"] for a, b in zip(chosen, chosen[1:], strict=False))
        assert chosen[-1]["psnr"] > chosen[0]["psnr"]
    first = next(row for row in rows if row["method"] == "svd int8")
    assert first["bytes"] == 2 * 32 * 48 * 3 + 4 * (6 * 2 + 6 + 2 * 3)
    assert first["bits"] == pytest.approx(8 * first["bytes"] / (6 * 32 * 48))
    assert first["share"] == pytest.approx(first["bytes"] / frames.nbytes)


def test_light_maps_are_stored_by_both_kinds_of_basis(day):
    hours, frames = day
    light = frames.astype(np.float32) / 60
    mask = np.ones((32, 48), bool)

    def score(prediction, truth, mask, peak):
        return {"psnr": 0.0, "mse": float(np.square(prediction - truth).mean()) / peak**2}

    rates_, names = rates.light(hours, light, 24.0, mask, score), ("svd int8", "basis")
    assert {row["method"] for row in rates_} == set(names)
    worst, best = (min(r["pooled"] for r in rates_), max(r["pooled"] for r in rates_))
    assert best > worst + 10
