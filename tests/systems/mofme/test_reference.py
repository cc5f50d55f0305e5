"""The reference follows the scene, and is dropped where it cannot be believed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.mofme_video import get_config
from tests.systems.mofme.test_motion import window
from wxjax import errors
from wxjax.systems.mofme import reference
from wxjax.systems.mofme.network import NO_REFERENCE, normalise


@jax.jit
def carried(shown, before, now):
    align = reference.Align()
    return reference.carry(align, shown, reference.course(align, before, now), shown)


def colours(luma):
    return jnp.stack([luma, luma**2, 1 - luma], -1)


def test_a_reference_follows_a_pan_and_what_comes_into_view_has_none():
    before, now = window(0, 0), window(0, 12.0)  # the scene goes right: new ground at the left
    found = np.asarray(carried(normalise(colours(before)), before, now))
    empty = (found == NO_REFERENCE).all(-1)
    assert empty[:, :10].mean() > 0.9 and empty[:, 16:].mean() < 0.05
    gap = np.abs(found - normalise(colours(now)))[~empty]
    assert gap.mean() < 0.02
    still = np.abs(normalise(colours(before)) - normalise(colours(now)))[~empty]
    assert still.mean() > 10 * gap.mean()


def test_what_was_not_there_before_has_no_reference():
    before = window(0, 0)
    now = before.at[40:60, 40:60].set(0.95)
    found = np.asarray(carried(normalise(colours(before)), before, now))
    empty = (found == NO_REFERENCE).all(-1)
    assert empty[44:56, 44:56].mean() > 0.7 and empty[:24].mean() < 0.05


def test_without_following_it_stays_as_it_is():
    before = window(0, 0)
    align = reference.Align(follow=False)
    assert reference.course(align, before, before) is None
    kept = reference.carry(align, colours(before), None, 0 * colours(before))
    np.testing.assert_array_equal(kept, colours(before))


def test_the_tones_of_a_reference_are_those_of_the_frame():
    """What differs slowly over the picture is the frame's, what differs fast the reference's."""
    y, x = np.mgrid[:96, :130] / 130  # 130: no whole number of cells
    slow = jnp.asarray(0.5 * np.stack([y, x, np.cos(2 * x)], -1) - 0.3)
    fast = 0.1 * jnp.asarray((np.mgrid[:96, :130].sum(0) % 2 * 2 - 1)[..., None] * np.ones(3))
    shown = (0.25 * slow - 0.1 + fast).at[:, :20].set(NO_REFERENCE)
    toned = jax.jit(lambda a, b: reference.toned(a, b, 8.0))
    found = np.asarray(toned(shown, slow))
    np.testing.assert_array_equal(found[:, :20], NO_REFERENCE)
    inner = (slice(24, 72), slice(46, 106))  # a mean of a slope at its end is not its end
    np.testing.assert_allclose(found[inner], (slow + fast)[inner], atol=0.02)
    # A fault of tone is gone, not passed on.
    darker = toned(jnp.where(shown == NO_REFERENCE, shown, shown - 0.2), slow)
    np.testing.assert_allclose(darker, found, atol=1e-5)


def test_a_blur_of_less_than_a_cell_is_refused():
    config = get_config("tiny")
    with config.unlocked():
        config.video.align.tone = 2.0
    with pytest.raises(errors.InputError, match="align.tone=2.0: expected 0"):
        reference.settings(config.video)


def test_runs_from_before_there_was_a_course_do_not_follow():
    config = get_config("tiny")
    assert reference.settings(config.video).follow
    with config.unlocked():
        config.video.align.doubt = 1.5
        with pytest.raises(errors.InputError, match="align.doubt=1.5: expected 0 to 1"):
            reference.settings(config.video)
        del config.video.align
    assert not reference.settings(config.video).follow
