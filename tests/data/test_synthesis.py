"""Weather over clean pictures: equations, limits, ranges, determinism."""

import time

import numpy as np
import pytest

from wxjax import errors
from wxjax.data import embedded, synthesis
from wxjax.data.synthesis import depth, haze, light, rain, snow

KINDS = ("haze", "rain", "snow", "mixed")


@pytest.fixture(scope="module")
def clean():
    return np.ascontiguousarray(embedded.photograph("china")[100:292, 200:392])


def psnr(a, b):
    return -10 * np.log10(np.mean((a / 255.0 - b / 255.0) ** 2) + 1e-12)


def make(clean, kind, seed=0, strength=None, depth=None):
    return synthesis.degrade(clean, kind, np.random.default_rng(seed), strength, depth)


def test_linear_light_round_trips_every_code():
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(light.to_srgb(light.to_linear(codes)), codes)


def test_code_188_is_half_the_light():
    np.testing.assert_allclose(light.to_linear(np.array([188], np.uint8)), 0.5029, atol=1e-4)


def test_scattering_without_haze_is_the_identity_and_thick_haze_is_airlight():
    scene = np.full((2, 2, 3), 0.2, np.float32)
    far = np.ones((2, 2), np.float32)
    air = np.array([0.9, 0.8, 0.7], np.float32)
    np.testing.assert_allclose(haze.scatter(scene, far, 0.0, air), scene)
    np.testing.assert_allclose(haze.scatter(scene, far, 50.0, air), np.broadcast_to(air, (2, 2, 3)))


def test_scattering_by_hand():
    scene, far = np.full((1, 1, 3), 0.2, np.float32), np.full((1, 1), 0.5, np.float32)
    t = np.exp(-2.0 * 0.5)
    got = haze.scatter(scene, far, 2.0, np.ones(3, np.float32))
    np.testing.assert_allclose(got, 0.2 * t + 1 - t, rtol=1e-6)


def test_a_given_depth_puts_more_haze_where_it_is_farther():
    gray = np.full((64, 64, 3), 40, np.uint8)
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    image, record = make(gray, "haze", strength=0.8, depth=ramp)
    row = image[0, :, 1].astype(int)
    assert np.all(np.diff(row) >= 0) and row[-1] > row[0] + 20
    assert record["depth"] == "given"


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_one_picture_and_another_seed_another(clean, kind):
    first, record = make(clean, kind, 1)
    again, same = make(clean, kind, 1)
    np.testing.assert_array_equal(first, again)
    assert record == same and (make(clean, kind, 2)[0] != first).any()


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("haze", 6, 27), ("rain", 11, 33), ("snow", 12, 31)]
)
def test_input_psnr_lies_in_the_range_of_real_sets(clean, kind, low, high):
    values = [psnr(make(clean, kind, s, s / 9)[0], clean) for s in range(10)]
    assert low < min(values) and max(values) < high
    assert np.mean(values[:3]) > np.mean(values[-3:]) + 3


@pytest.mark.parametrize("kind", KINDS)
def test_more_strength_means_less_psnr_for_one_seed(clean, kind):
    values = [psnr(make(clean, kind, 5, s)[0], clean) for s in (0.1, 0.5, 0.9)]
    assert values == sorted(values, reverse=True)


def test_every_parameter_is_in_the_record_as_a_plain_value(clean):
    import json

    record = make(clean, "mixed", 3, 0.5)[1]
    assert json.loads(json.dumps(record)) == record
    assert record["severity"] == 0.5 and record["haze"]["beta"] > 0
    assert record.get("rain") or record.get("snow")


def test_layers_of_rain_have_one_direction_and_grow_towards_the_camera(clean):
    layers = make(clean, "rain", 4, 0.5)[1]["rain"]["layers"]
    assert np.ptp([layer["angle"] for layer in layers]) < 0.3
    assert layers[0]["distance"] > layers[-1]["distance"]
    assert layers[0]["length"] < layers[-1]["length"] and layers[0]["width"] < layers[-1]["width"]
    assert layers[0]["density"] > layers[-1]["density"]


def test_a_streak_lies_along_its_angle():
    kernel = rain.streak(21.0, 0.7, np.pi / 4)  # down to the right
    center = kernel.shape[0] // 2
    assert kernel.max() == 1 and kernel[center + 5, center + 5] > 0.5
    assert kernel[center + 5, center - 5] < 1e-6


def test_a_flake_is_round_without_motion_and_long_with_it():
    rng = np.random.default_rng(0)
    still = snow.flake(3.0, 0.0, 0.0, 0.5, rng)
    moved = snow.flake(3.0, 12.0, 0.0, 0.5, np.random.default_rng(0))
    rows = lambda kernel: int((kernel.max(axis=1) > 0.3).sum())  # noqa: E731
    assert rows(moved) >= rows(still) + 4 and still.max() == moved.max() == 1


def test_pseudo_depth_is_far_on_top_on_average():
    flat = np.full((96, 96, 3), 128, np.uint8)
    maps = [depth.pseudo(flat, np.random.default_rng(s))[0] for s in range(20)]
    mean = np.mean(maps, axis=0)
    assert mean[:20].mean() > mean[-20:].mean() + 0.2
    assert all(m.min() >= 0.049 and m.max() <= 1.001 for m in maps)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (37, 53)])
@pytest.mark.parametrize("kind", KINDS)
def test_odd_sizes_work(kind, size):
    image, _ = make(np.full((*size, 3), 90, np.uint8), kind)
    assert image.shape == (*size, 3)


def test_a_wrong_kind_strength_or_depth_is_named(clean):
    with pytest.raises(errors.InputError, match="Did you mean 'rain'"):
        make(clean, "rian")
    with pytest.raises(errors.InputError, match="strength=1.5: expected a number from 0"):
        make(clean, "rain", strength=1.5)
    with pytest.raises(errors.InputError, match="depth.shape"):
        make(clean, "haze", depth=np.zeros((3, 3), np.float32))


def test_a_crop_takes_milliseconds(clean):
    for kind in ("haze", "rain", "snow"):
        times = []
        for seed in range(5):
            start = time.perf_counter()
            make(clean, kind, seed, 0.7)
            times.append(time.perf_counter() - start)
        assert min(times) < 0.05, kind  # 2-10 ms on a free core
