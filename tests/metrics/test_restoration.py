"""One value an example, and means over rows."""

import numpy as np
import pytest

from wxjax.metrics import restoration

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 256, (40, 48, 3), np.uint8)
NOISY = np.clip(TRUTH + RNG.normal(0, 10, TRUTH.shape), 0, 255).astype(np.uint8)
SETTING = dict(protocol="default", crop_border=0)


def test_one_truth_serves_all_pictures_and_pairs_are_pairs():
    several = restoration.measure(
        {"image": np.stack([TRUTH, NOISY])}, {"target": TRUTH[None]}, **SETTING
    )
    assert several["psnr"][0] == np.inf and several["lpips"][0] == pytest.approx(0, abs=1e-6)
    expected = -10 * np.log10(np.mean((TRUTH / 255.0 - NOISY / 255.0) ** 2))
    assert several["psnr"][1] == pytest.approx(expected)
    pairs = {"image": np.stack([NOISY, TRUTH]), "target": np.stack([TRUTH, NOISY])}
    both = restoration.measure(pairs, pairs, **SETTING)
    assert both["mse"][0] == both["mse"][1] == pytest.approx(several["mse"][1])


def test_floats_are_scored_as_the_file_that_is_written():
    found = restoration.measure(
        {"image": NOISY[None] / np.float32(255) + 1e-4}, {"target": TRUTH[None]}, **SETTING
    )
    exact = restoration.measure({"image": NOISY[None]}, {"target": TRUTH[None]}, **SETTING)
    assert found["psnr"] == exact["psnr"]


def test_a_degradation_with_more_images_counts_no_more():
    row = lambda kind, psnr: {"degradation": kind, "metrics": {"psnr": psnr}}
    found = restoration.summarize([row("rain", 20.0), row("snow", 30.0), row("snow", 34.0)])
    assert found == {"psnr_rain": 20, "psnr_snow": 32, "psnr_macro": 26}
