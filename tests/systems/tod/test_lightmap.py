"""Light maps: one peak for all hours, masked texels do not count, exposure does."""

import numpy as np
import pytest

from wxjax.systems.tod import lightmap


@pytest.fixture(scope="module")
def light():
    return np.random.default_rng(0).gamma(1.0, 0.5, (40, 48, 3)).astype(np.float32)


def test_the_peak_is_the_callers_and_masked_texels_do_not_count(light):
    mask = np.ones((40, 48), bool)
    mask[:, 24:] = False
    spoilt = light.copy()
    spoilt[:, 24:] += 5
    assert lightmap.psnr(spoilt, light, mask, 4.0) == np.inf
    off = light + np.float32(0.04)
    assert lightmap.psnr(off, light, mask, 4.0) == pytest.approx(40, abs=1e-3)
    assert lightmap.psnr(off, light, None, 8.0) == pytest.approx(40 + 20 * np.log10(2), abs=1e-3)


def test_an_error_of_exposure_is_not_normalised_away(light):
    same = lightmap.measure(light, light, None, 4.0)
    dark = lightmap.measure(0.5 * light, light, None, 4.0)
    assert same["ssim"] == pytest.approx(1, abs=1e-6) and same["lpips"] < 1e-6
    assert dark["ssim"] < 0.95 and dark["psnr_tile"] < 30
    assert dark["mse"] == pytest.approx(np.mean(np.square(light / 2)) / 16, rel=1e-4)


def test_tiles_cover_a_map_once():
    seen = np.zeros((300, 520), int)
    for place in lightmap.tiles(300, 520):
        seen[place] += 1
    assert (seen == 1).all() and len(lightmap.tiles(300, 520)) == 6
