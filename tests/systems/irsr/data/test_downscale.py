"""Small frames of large ones: by Pillow to the bit, by MATLAB's rule, by a hard second order."""

import numpy as np
import pytest
from PIL import Image

from wxjax import errors
from wxjax.systems.irsr.data import downscale, realesrgan, shrinking


def frame(shape=(48, 64), dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 1, (7, 9)).astype(np.float32)
    large = np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC))
    noisy = np.clip(large + rng.normal(0, 0.02, shape), 0, 1)
    return np.rint(noisy * np.iinfo(dtype).max).astype(dtype)[..., None]


def by_definition(large: np.ndarray, scale: int) -> np.ndarray:
    """Pillow's resize as its source defines it: 22-bit weights, rows of taps cut at the border."""
    for axis in (1, 0):
        x = np.moveaxis(large.astype(np.int64), axis, 0)
        n, out = x.shape[0], []
        for i in range(n // scale):
            centre = (i + 0.5) * scale
            low, high = int(max(centre - 2 * scale + 0.5, 0)), int(min(centre + 2 * scale + 0.5, n))
            t = np.abs((np.arange(low, high) + 0.5 - centre) / scale)
            near = 1.5 * t**3 - 2.5 * t**2 + 1
            far = -0.5 * (t**3 - 5 * t**2 + 8 * t - 4)
            weights = np.where(t < 1, near, np.where(t < 2, far, 0))
            weights = weights / weights.sum() * 2**22
            weights = np.trunc(weights + np.where(weights < 0, -0.5, 0.5)).astype(np.int64)
            total = np.tensordot(weights, x[low:high], 1) + 2**21
            out.append(np.clip(total >> 22, 0, 255))
        large = np.moveaxis(np.stack(out), 0, axis)
    return large.astype(np.uint8)


def test_pillow_is_its_definition_to_the_bit():
    large = frame()
    np.testing.assert_array_equal(
        downscale.degrade("pillow-bicubic", large, 4), by_definition(large, 4)
    )


def test_real_pairs_are_pillows_to_the_bit(real_data):
    found = sorted((real_data / "ir_test" / "HR").glob("*.png"))
    for path in found:
        large = np.asarray(Image.open(path).convert("L"))[..., None]
        small = real_data / "ir_test" / "LR" / path.name.replace(".png", "x4.png")
        small = np.asarray(Image.open(small).convert("L"))[..., None]
        np.testing.assert_array_equal(downscale.degrade("pillow-bicubic", large, 4), small)
        assert downscale.identify(large, small, 4) == "pillow-bicubic"
    assert len(found) == 10


def test_matlab_differs_inside_by_one_level_and_more_at_the_border():
    large = np.random.default_rng(0).integers(0, 256, (96, 96, 1), np.uint8)
    pillow, matlab = (
        downscale.degrade(f"{name}-bicubic", large, 4).astype(int) for name in ("pillow", "matlab")
    )
    apart = np.abs(pillow - matlab)
    assert apart[2:-2, 2:-2].max() <= 1 < apart.max()
    assert downscale.identify(large, matlab.astype(np.uint8), 4) == "matlab-bicubic"
    assert downscale.identify(large, matlab.astype(np.uint8)[::-1], 4) is None
    flat = np.full((16, 16, 1), 77, np.uint8)
    for name in ("pillow-bicubic", "matlab-bicubic"):
        np.testing.assert_array_equal(downscale.degrade(name, flat, 4), flat[:4, :4])


@pytest.mark.parametrize("name", downscale.NAMES)
def test_16_bits_stay_16_bits_and_say_what_8_bits_say(name):
    large = frame(dtype=np.uint16)
    small = downscale.degrade(name, large, 4, np.random.default_rng(1))
    assert small.dtype == np.uint16 and small.shape == (12, 16, 1)
    if name != "real-esrgan":
        coarse = downscale.degrade(name, np.rint(large / 257).astype(np.uint8), 4)
        assert np.abs(small / 257 - coarse).max() < 1.6
        assert len(np.unique(small)) > len(np.unique(coarse))


def test_the_second_order_keeps_grey_grey_and_hangs_on_its_generator_alone():
    large = frame((64, 64)).repeat(3, -1)
    seen = []
    for seed in range(12):
        small = downscale.degrade("real-esrgan", large, 4, np.random.default_rng(seed))
        again = downscale.degrade("real-esrgan", large, 4, np.random.default_rng(seed))
        np.testing.assert_array_equal(small, again)
        apart = np.abs(small.astype(int) - small[..., :1]).max()
        assert small.shape == (16, 16, 3) and apart <= 4  # JPEG's colours round
        seen.append(small)
        one = downscale.degrade("real-esrgan", large[..., :1], 4, np.random.default_rng(seed))
        assert one.shape == (16, 16, 1)
    assert all(np.any(a != b) for a, b in zip(seen, seen[1:], strict=False))


def test_kernels_sum_to_one_and_densities_are_what_they_say():
    rng = np.random.default_rng(0)
    for _ in range(40):
        weights = realesrgan.kernel(rng, 19, (0.2, 3.0))
        assert weights.sum() == pytest.approx(1) and weights.shape[0] % 2 == 1
    gauss = realesrgan.density(9, np.array([1.5, 1.5]), 0.3, 1.0)
    np.testing.assert_allclose(gauss, gauss.T, rtol=1e-9)
    assert gauss[4, 6] / gauss[4, 4] == pytest.approx(np.exp(-4 / (2 * 1.5**2)))
    plateau = realesrgan.density(9, np.array([2.0, 2.0]), 0.0, 1.0, plateau=True)
    assert plateau[4, 6] / plateau[4, 4] == pytest.approx(0.5)
    low = realesrgan.sinc(np.pi / 3, 21)
    response = np.abs(np.fft.fft2(low))
    assert response[0, 0] == pytest.approx(1) and response[10, 10] < 0.05


def test_a_folder_becomes_pairs_with_equal_names(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    deep = frame(dtype=np.uint16)[:46]
    Image.fromarray(deep[..., 0]).save(tmp_path / "in" / "a" / "x.png")
    Image.fromarray(frame()[..., 0]).save(tmp_path / "in" / "y.png")
    assert shrinking.shrink(tmp_path / "in", tmp_path / "out", "pillow-bicubic") == 2
    names = [sorted(p.name for p in (tmp_path / "out" / k).iterdir()) for k in ("HR", "LR")]
    assert names[0] == names[1] == ["a-x.png", "y.png"]
    small = np.asarray(Image.open(tmp_path / "out" / "LR" / "a-x.png"))
    assert small.dtype == np.uint16 and small.shape == (11, 16)


def test_slips_are_named(tmp_path):
    with pytest.raises(errors.InputError, match="data.degradation='bicubic'.*pillow-bicubic"):
        downscale.degrade("bicubic", frame(), 4)
    with pytest.raises(errors.InputError, match="float32.*8 or 16 bits"):
        downscale.degrade("pillow-bicubic", frame().astype(np.float32), 4)
    with pytest.raises(errors.InputError, match="3x2.*too small for x4"):
        downscale.degrade("pillow-bicubic", frame()[:2, :3], 4)
    with pytest.raises(errors.InputError, match="draws at random"):
        downscale.degrade("real-esrgan", frame(), 4)
    with pytest.raises(errors.InputError, match="outside the frames'"):
        shrinking.shrink(tmp_path, tmp_path / "out", "pillow-bicubic")
