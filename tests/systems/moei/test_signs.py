"""What the picture's own statistics say of streaks, flakes and veils."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.data.embedded import Embedded
from wxjax.systems.moei import reading, router, signs

NAMES = ("difference", "dark", "blobs", "lines", "standing", "lying")


def shares(picture):
    """Mean of the finest curvatures of the darkest channel, by name."""
    groups = signs.maps(jnp.asarray(picture, jnp.float32))
    first = 2 + signs.BANDS  # pair, span, bands, then the curvatures
    return {name: float(groups[first + i][0].mean()) for i, name in enumerate(NAMES)}


def test_streaks_stand_and_flakes_are_round():
    streaks, flakes = np.full((2, 48, 48, 3), 0.3, np.float32)
    streaks[8:40, 6::8] = 0.9
    flakes[6::8, 6::8] = 0.9
    rain, snow = shares(streaks), shares(flakes)
    assert rain["standing"] > 10 * rain["lying"] and rain["lines"] > 3 * rain["blobs"]
    assert snow["blobs"] > 2 * rain["blobs"] and snow["lines"] < rain["lines"] / 3
    assert snow["standing"] == pytest.approx(snow["lying"], abs=1e-6)
    turned = shares(streaks.swapaxes(0, 1))
    assert turned["lying"] == pytest.approx(rain["standing"], rel=1e-5)


def test_a_plain_picture_says_finite_things():
    found = signs.describe(signs.statistics(jnp.full((1, 8, 8, 3), 0.5))[0])
    assert found.shape == (signs.FEATURES,) and jnp.isfinite(found).all()


def test_moments_are_those_of_numpy():
    image = np.random.default_rng(0).random((20, 30, 3), np.float32)
    found = np.asarray(signs.statistics(jnp.asarray(image)[None])[0])
    darkest = signs.GAIN * image.min(-1).astype(np.float64)
    apart = darkest - darkest.mean()
    expected = darkest.mean(), np.mean(apart**2), np.mean(apart**3)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-3)


def test_a_whole_is_described_from_its_parts():
    images = jax.random.uniform(jax.random.key(0), (3, 16, 16, 3))
    maps = [jax.random.normal(jax.random.key(1), (3, 4, 4, 8))]
    parts = reading.look(images, maps)
    alone = reading.describe([part[:1] for part in parts], jnp.ones(1))
    padded = reading.describe(parts, jnp.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(alone, padded, rtol=1e-5)
    assert len(alone) == reading.features([8]) - 8


def test_the_start_tells_the_weather_of_new_photographs():
    seen, held_out = (
        Embedded("router", crop=64, count=90),
        Embedded("val_router", crop=64, count=18),
    )
    read = lambda source: np.stack(
        [router.signs_of(example["image"]) for example in examples(source)]
    )
    examples = lambda source: [source[i] for i in range(len(source))]
    kinds = lambda source: np.array([int(example["degradation"]) for example in examples(source)])
    start = router.fit_start(read(seen), kinds(seen), 3, strength=0.3)
    right = (read(held_out) @ start["kernel"] + start["bias"]).argmax(-1) == kinds(held_out)
    assert right.mean() > 0.6  # chance is a third


def test_a_start_of_two_kinds_or_one():
    rng = np.random.default_rng(0)
    found = rng.normal(size=(40, signs.FEATURES)).astype(np.float32)
    kind = np.where(found[:, 0] > 0, 2, 1)
    start = router.fit_start(found, kind, 3, strength=0.3)
    scores = found @ start["kernel"] + start["bias"]
    np.testing.assert_array_equal(scores.argmax(-1), kind)
    alone = router.fit_start(found, np.zeros(40, int), 3, strength=0.3)
    assert not alone["kernel"].any() and not alone["bias"].any()
