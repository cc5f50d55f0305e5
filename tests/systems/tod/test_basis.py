"""A baked day: as close as its rank allows, 8 bits that cost little, one pixel as the whole."""

import numpy as np
import pytest

from wxjax import errors
from wxjax.systems.tod import basis as bases
from wxjax.systems.tod import measure

HOURS = np.array([0.0, 6.0, 12.0, 18.0])


@pytest.fixture(scope="module")
def frames():
    """Rank 2 exactly: two pictures under two curves."""
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(2, 12, 20, 3)).astype(np.float32)
    curves = np.array([[0.1, 0], [0.4, 0.2], [0.5, 0.5], [0.2, 0.3]], np.float32)
    return np.tensordot(curves, pictures, 1)


def test_the_rank_that_suffices_suffices_within_eight_bits(frames):
    found = bases.fit(frames, HOURS, 2, 24.0)
    shown = np.stack([found(hour) for hour in HOURS])
    assert np.abs(shown - frames).max() < 0.005  # half a code of the largest component
    assert found.bytes == 2 * 12 * 20 * 3 + 4 * (4 * 2 + 4 + 2 * 3)
    poor = bases.fit(frames, HOURS, 1, 24.0)
    errors_ = [np.abs(b(12.0) - frames[2]).mean() for b in (poor, found)]
    assert errors_[0] > 3 * errors_[1]


def test_codes_come_back_within_half_a_step():
    values = np.random.default_rng(1).normal(size=(3, 8, 9, 3)).astype(np.float32)
    codes, scales = bases.quantize(values)
    assert np.abs(codes).max() == 127
    gap = np.abs(codes * scales[:, None, None] - values)
    assert (gap <= scales[:, None, None] / 2 + 1e-6).all()


def test_refitting_to_the_codes_is_no_worse_than_the_plain_product(frames):
    noisy = frames + np.random.default_rng(2).normal(0, 0.02, frames.shape).astype(np.float32)
    found = bases.fit(noisy, HOURS, 3, 24.0)
    coefficients, basis = bases.components(noisy, 3)
    codes, scales = bases.quantize(basis)
    plain = np.tensordot(coefficients, codes * scales[:, None, None], 1)
    ours = np.stack([found(hour) for hour in HOURS])
    assert np.square(ours - noisy).mean() <= np.square(plain - noisy).mean() + 1e-9


def test_few_bits_are_packed_and_come_back(frames, tmp_path):
    rng = np.random.default_rng(3)
    for bits in (2, 3, 5, 8):
        codes = rng.integers(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1), 37).astype(np.int8)
        packed = bases.pack(codes, bits)
        assert len(packed) == -(-bits * 37 // 8)
        np.testing.assert_array_equal(bases.unpack(packed, bits, 37), codes)
    found = bases.fit(frames, HOURS, 2, 24.0, np.array([6, 3]))
    bases.save(tmp_path / "few.npz", found)
    np.testing.assert_array_equal(bases.load(tmp_path / "few.npz").codes, found.codes)
    assert np.abs(found.codes[1]).max() <= 3


def test_shared_out_bits_are_worth_more_than_eight_each():
    """Five components whose strength falls by three each time: the weak ones need fewer bits."""
    rng = np.random.default_rng(4)
    curves, _ = np.linalg.qr(rng.normal(size=(8, 5)))
    pictures = rng.normal(size=(5, 16, 20, 3)) * (3.0 ** -np.arange(5))[:, None, None, None]
    day = np.tensordot(curves, pictures, 1).astype(np.float32)
    bits = bases.allocate(day, 16)
    assert bits.sum() <= 16 and (np.diff(bits) <= 0).all() and len(bits) > 2
    even, shared = (
        bases.fit(day, np.arange(8.0), 2, 24.0),
        bases.fit_bytes(day, np.arange(8.0), 16, 24.0),
    )
    gaps = [np.mean([np.square(b(float(h)) - f).mean() for h, f in enumerate(day)])
            for b in (even, shared)]  # fmt: skip
    assert gaps[1] < 0.5 * gaps[0] and shared.bytes <= even.bytes + 4 * (8 + 3) * 3


def test_hours_go_round_and_pixels_are_the_pictures(frames):
    found = bases.fit(frames, HOURS, 2, 24.0)
    np.testing.assert_array_equal(found(0.0), found(24.0))
    np.testing.assert_allclose(found(21.0), (found(18.0) + found(0.0)) / 2, atol=1e-5)
    coords = np.array([[0, 0], [11, 19], [5, 7]])
    np.testing.assert_allclose(found.pixels(7.5, coords), found(7.5)[tuple(coords.T)], atol=1e-5)


def test_the_compiled_basis_paints_the_same_bytes(frames):
    found = bases.fit(frames, HOURS, 2, 24.0)
    shown = bases.program(found)(7.5)
    expected = np.clip(found(7.5), 0, 1) * 255
    assert shown.dtype == np.uint8 and np.abs(shown - expected).max() <= 0.51


def test_both_sides_of_a_switch_are_baked():
    found = bases.moments(np.array([5.9, 7.0]), [(18.1, 5.9)], 24.0, steps=24)
    assert {5.88, 5.9, 5.92, 18.08, 18.12, 7.0, 23.0} <= set(found.tolist())
    assert (np.diff(found) > 0).all() and found[-1] < 24


def test_a_file_keeps_it_and_another_is_refused(frames, tmp_path):
    found = bases.fit(frames, HOURS, 2, 24.0)
    bases.save(tmp_path / "basis.npz", found)
    again = bases.load(tmp_path / "basis.npz")
    np.testing.assert_array_equal(again(13.1), found(13.1))
    with pytest.raises(errors.InputError, match="expected a file that bake wrote"):
        bases.load(tmp_path / "none.npz")
    with pytest.raises(errors.InputError, match="rank=9: expected 1 to 4"):
        bases.fit(frames, HOURS, 9, 24.0)


def test_opponents_at_their_own_hours_and_between(frames):
    shown = {
        name: lambda hour, make=make: np.asarray(make(HOURS, frames, hour, 24.0))
        for name, make in measure.opponents(
            dict(latitude=40.0, declination=0.0, shift=0.0), ((18.1, 5.9),), 24.0, True
        ).items()
    }
    np.testing.assert_array_equal(shown["baseline"](3.0), frames[2])
    np.testing.assert_array_equal(shown["previous"](3.0), frames[0])
    np.testing.assert_allclose(shown["linear"](3.0), (frames[0] + frames[1]) / 2, atol=1e-5)
    for name in ("linear", "pchip", "svd8"):
        np.testing.assert_allclose(shown[name](12.0), frames[2], atol=1e-4)


def test_means_cap_an_hour_and_pool_its_error():
    rows = [
        {"part": "hidden", "hour": h, "day": d, "variant": "model",
         "metrics": {"psnr": p, "ssim": 1.0, "lpips": 0.0, "mse": m}}
        for h, d, p, m in ((0.0, False, None, 0.0), (12.0, True, 20.0, 0.01))
    ]  # fmt: skip
    found = measure.means(rows, "model", "hidden")
    assert found["all"]["psnr"] == 40 and found["day"]["psnr"] == 20
    assert found["pooled"] == pytest.approx(-10 * np.log10(0.005), abs=1e-4)
    assert found["worst"] == {"hour": 12.0, "psnr": 20.0}
    assert measure.means(rows, "model", "given") is None
