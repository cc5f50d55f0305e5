"""Codes of the hour and the place: the sun, lamps, harmonics, octaves."""

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs import tod
from wxjax import errors
from wxjax.systems.tod import codes, sun


def model(**changes):
    config = tod.get_config("tiny").model
    config.update(changes)
    return FrozenConfigDict(config.to_dict())


def test_the_sun_stands_where_almanacs_put_it():
    hours = np.array([6.0, 12.0, 18.0, 0.0])
    vector, altitude = sun.position(hours, 40.0, 0.0)
    np.testing.assert_allclose(altitude, [0, 50, 0, -50], atol=1e-6)  # equinox: noon 90 - lat
    np.testing.assert_allclose(vector[0], [1, 0, 0], atol=1e-6)  # rises in the east
    np.testing.assert_allclose(vector[2], [-1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(vector[1][1], -np.cos(np.radians(50)), atol=1e-6)  # south at noon
    np.testing.assert_allclose(np.linalg.norm(vector, axis=-1), 1, atol=1e-6)
    noon = lambda *where: float(sun.position(np.array([12.0]), *where)[1][0])
    assert noon(51.5, 23.44) == pytest.approx(61.94, abs=0.01)  # London, June solstice
    assert noon(51.5, -23.44) == pytest.approx(15.06, abs=0.01)
    assert noon(-33.9, 23.44) == pytest.approx(32.66, abs=0.01)  # Sydney, in the north
    assert sun.position(np.array([12.0]), -33.9, 23.44)[0][0, 1] > 0


def test_a_lamp_is_a_step_with_both_switches_on():
    hours = np.array([5.0, 5.9, 6.0, 12.0, 18.0, 18.1, 23.9], np.float32)
    burns = sun.lamp(hours, [(18.1, 5.9)])
    assert burns.tolist() == [1, 1, 0, 0, 0, 1, 1]
    assert sun.lamp(hours, [(4.5, 5.5), (12, 13)]).tolist() == [1, 0, 0, 1, 0, 0, 0]
    assert sun.lamp(hours, []).tolist() == [0] * 7


def test_features_have_no_jump_but_the_lamps():
    hours = np.arange(0, 24, 0.01)
    found = sun.features(hours, 40.0, 0.0, 0.0, [(18.1, 5.9)])
    assert found.shape == (2400, sun.FEATURES)
    steps = np.abs(np.diff(found, axis=0))
    assert steps[:, :6].max() < 0.06 and (steps[:, 6] > 0.5).sum() == 2
    np.testing.assert_allclose(found[0], sun.features(np.array([24.0]), 40.0)[0], atol=1e-6)


def test_times_go_round():
    place = codes.sun_start(model())
    for kind in codes.TIMES:
        settings = model(time_code=kind)
        first, last = codes.time(settings, place, jnp.array([0.0, 24.0]))
        np.testing.assert_allclose(first, last, atol=2e-5)
        assert len(first) == codes.time_size(settings)


def test_the_source_code_of_places_is_aliased_and_octaves_are_not():
    left, right = jnp.array([[-0.6, 0.2]]), jnp.array([[0.4, 0.2]])  # half the picture apart
    for kind, equal in (("origin", True), ("octave", False)):
        settings = model(xy_code=kind, xy_harmonics=4, xy_include_input=False)
        a, b = (codes.place(settings, xy, 192, 320) for xy in (left, right))
        assert bool(np.allclose(a, b, atol=1e-5)) is equal
        assert a.shape[-1] == 16


def test_harmonics_that_frames_cannot_tell_apart_are_refused():
    with pytest.raises(errors.InputError, match="6 frames cannot tell 8 waves apart. Try 2"):
        codes.check(model(time_code="harmonic"), 6)
    codes.check(model(time_code="harmonic"), 9)
    with pytest.raises(errors.InputError, match="expected hours in pairs"):
        codes.lights(model(lights=(18.1,)))
