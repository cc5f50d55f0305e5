"""One picture, many protocols: the published table of what a protocol alone does."""

import logging

import numpy as np
import pytest
import scipy.ndimage
from skimage import data
from skimage.metrics import structural_similarity

from wxjax import errors
from wxjax.metrics import protocols

ASTRONAUT, COFFEE = data.astronaut(), data.coffee()


def to_bytes(x):
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


def haze(picture):
    return to_bytes(0.85 * picture + 0.15 * 220)


def noise(picture):
    return to_bytes(picture + np.random.default_rng(0).normal(0, 10, picture.shape))


def blur(picture):
    return to_bytes(scipy.ndimage.gaussian_filter(picture.astype(float), (1.5, 1.5, 0)))


def cast(picture):
    return to_bytes(picture + np.array([12.0, 0, -4]))


@pytest.mark.parametrize(
    "picture, distort, rgb, y, swapped, tolerance",
    [
        (ASTRONAUT, haze, 22.12, 23.73, 23.27, 0.005),
        (COFFEE, haze, 21.54, 23.64, 22.54, 0.005),
        (ASTRONAUT, cast, 30.99, 39.41, 54.84, 0.005),
        (ASTRONAUT, noise, 28.57, 33.27, 33.30, 0.05),
        (ASTRONAUT, blur, 26.73, 28.24, 28.12, 0.05),
    ],
    ids=["haze astronaut", "haze coffee", "cast", "noise", "blur"],
)
def test_the_table_of_psnr(picture, distort, rgb, y, swapped, tolerance):
    distorted = distort(picture)
    found = {
        name: protocols.measure(distorted, picture, name)["psnr"]
        for name in ("default", "weatherdiff-y", "histoformer-y")
    }
    assert found["default"] == pytest.approx(rgb, abs=tolerance)
    assert found["weatherdiff-y"] == pytest.approx(y, abs=tolerance)
    assert found["histoformer-y"] == pytest.approx(swapped, abs=tolerance)


@pytest.mark.parametrize(
    "distort, rgb, y, swapped, whole, tolerance",
    [
        (haze, 0.813, 0.930, 0.929, 0.977, 5e-4),
        (noise, 0.634, 0.830, 0.871, 0.993, 2e-3),
        (blur, 0.865, 0.889, 0.917, 0.9885, 1e-3),
    ],
    ids=["haze", "noise", "blur"],
)
def test_the_table_of_ssim(distort, rgb, y, swapped, whole, tolerance):
    distorted = distort(ASTRONAUT)
    expected = {
        "default": rgb,
        "weatherdiff-y": y,
        "histoformer-y": swapped,
        "dwt-fork-global": whole,
    }
    for name, value in expected.items():
        found = protocols.measure(distorted, ASTRONAUT, name)["ssim"]
        assert found == pytest.approx(value, abs=tolerance), name


def test_the_uniform_window_is_scikit_images():
    x, y = haze(COFFEE[:90, :120]), COFFEE[:90, :120]
    weights = np.array([24.966, 128.553, 65.481]) / 255
    pair = [v / 255 @ weights + 16 / 255 for v in (x, y)]
    expected = structural_similarity(*pair, win_size=11, data_range=1)
    assert protocols.measure(x, y, "histoformer-y")["ssim"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", [(64, 75), (75, 64), (139, 90), (203, 333)])
def test_the_gaussian_window_is_scikit_images_however_the_rows_are_shared(shape):
    picture = COFFEE[: shape[0], : shape[1]]
    for other in (haze(picture), noise(picture)):
        _, full = structural_similarity(
            *(v / 255 for v in (other, picture)),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=-1,
            full=True,
        )
        expected = full[5:-5, 5:-5].mean()
        assert protocols.measure(other, picture)["ssim"] == pytest.approx(expected, abs=1e-12)
        mse = np.mean((other / 255 - picture / 255) ** 2)
        assert protocols.measure(other, picture)["mse"] == pytest.approx(mse, rel=1e-12)


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_pictures_measured_together_score_as_alone(name):
    others = [haze(COFFEE), COFFEE, blur(COFFEE)]
    together = protocols.measure_all(others, COFFEE, name, 3)
    assert together == [protocols.measure(other, COFFEE, name, 3) for other in others]


def test_a_grey_error_gains_the_scale_of_y():
    x = np.full((20, 20, 3), 100, np.uint8)
    gain = [protocols.measure(x + 10, x, name)["psnr"] for name in ("rgb-native", "y-native")]
    assert gain[1] - gain[0] == pytest.approx(20 * np.log10(255 / 219), abs=1e-9)


def test_matlabs_rounding_moves_y_by_less_than_a_tenth_of_a_decibel():
    plain, rounded = (
        protocols.measure(noise(COFFEE), COFFEE, name)["psnr"]
        for name in ("y-native", "restormer-y")
    )
    assert 0 < abs(plain - rounded) < 0.1


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_every_protocol_knows_equal_from_unequal(name):
    picture = COFFEE[:64, :96]
    same = protocols.measure(picture, picture, name)
    other = protocols.measure(noise(picture), picture, name)
    assert same["psnr"] == (pytest.approx(80) if name == "mofme-480x720" else np.inf)
    assert same["ssim"] == pytest.approx(1) and same["mse"] == 0
    assert 10 < other["psnr"] < 60 and 0 < other["ssim"] < 1
    assert other["mse"] == pytest.approx(10 ** (-other["psnr"] / 10), rel=1e-3)


def test_the_mofme_protocol_resizes_both_and_halves_before_ssim():
    picture = COFFEE[:300, :450]
    large = np.kron(picture, np.ones((2, 2, 1), np.uint8))[:480, :720]
    resized = protocols.measure(large, large[:, :700], "mofme-480x720")
    assert resized["psnr"] < 40
    halved = large.reshape(240, 2, 360, 2, 3).mean((1, 3))
    hazy = to_bytes(0.85 * halved + 33)
    at_half = protocols.measure(hazy, halved.astype(np.uint8), "default")["ssim"]
    at_full = protocols.measure(
        np.kron(hazy, np.ones((2, 2, 1), np.uint8)), large, "mofme-480x720"
    )["ssim"]
    assert at_full == pytest.approx(at_half, abs=1e-9)


def test_adaptive_bins_are_the_slow_means():
    x = np.random.default_rng(0).random((513, 640, 1))  # 513 / 256 rounds to 2: 256 bins overlap
    small = protocols._shrink(x, protocols.PROTOCOLS["reside-rgb"])
    i, j = 100, 319
    rows = slice(i * 513 // 256, -(-(i + 1) * 513 // 256))
    assert rows.stop - rows.start == 3
    assert small.shape == (256, 320, 1)
    assert small[i, j, 0] == pytest.approx(x[rows, 2 * j : 2 * j + 2, 0].mean())


def test_another_size_is_an_error_that_names_both():
    with pytest.raises(errors.InputError, match="prediction='64x90': .* size of the target, 64x96"):
        protocols.measure(COFFEE[:64, :90], COFFEE[:64, :96])


def test_an_unknown_protocol_is_named_with_its_neighbour():
    with pytest.raises(errors.InputError, match="Did you mean 'restormer-y'"):
        protocols.measure(COFFEE, COFFEE, "restormer_y")


def test_a_swapped_protocol_warns_once(caplog):
    protocols._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            protocols.measure(COFFEE[:20, :20], COFFEE[:20, :20], "histoformer-y")
    assert [r.message.startswith("histoformer-y scores as published") for r in caplog.records] == [
        True
    ]


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 30)])
def test_a_tiny_picture_has_a_score(name, shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = protocols.measure(255 - picture, picture, name)
    assert np.isfinite(list(found.values())).all()


def test_the_crop_border_is_ignored():
    spoilt = COFFEE.copy()
    spoilt[:3], spoilt[:, -3:] = 0, 255
    assert protocols.measure(spoilt, COFFEE, crop_border=3)["psnr"] == np.inf
    with pytest.raises(errors.InputError, match="crop_border=200: expected 0 to 199"):
        protocols.measure(spoilt, COFFEE, crop_border=200)


def test_rvsd_takes_psnr_on_rgb_and_ssim_on_y():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 256, (24, 30, 3), np.uint8)
    other = np.clip(truth + rng.integers(-20, 20, truth.shape), 0, 255).astype(np.uint8)
    found = protocols.measure(other, truth, "rvsd")
    assert found["psnr"] == protocols.measure(other, truth, "rgb-native")["psnr"]
    assert found["ssim"] == protocols.measure(other, truth, "y-native")["ssim"]
