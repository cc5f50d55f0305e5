"""Attribution maps against integrals worked by hand, and their completeness on a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.moei import get_config
from tests import drawn
from wxjax import errors
from wxjax.evaluate import attribution
from wxjax.evaluate.attribution import Attribution, Window
from wxjax.systems.moei.backbone import Backbone

RNG = np.random.default_rng(0)
CLEAR, DEGRADED = (RNG.random((6, 7, 3)).astype(np.float32) for _ in range(2))


def test_a_squaring_program_has_the_map_that_the_integral_says():
    window = Window(1, 2, 3)
    found = attribution.attribute(jnp.square, DEGRADED, CLEAR, window, steps=4)
    inside = np.zeros((6, 7, 1))
    inside[1:4, 2:5] = 1  # the integral of 2 (c + a (d - c)) (d - c) over a is d^2 - c^2
    np.testing.assert_allclose(found.map, inside * (DEGRADED**2 - CLEAR**2), atol=1e-6)
    assert found.difference == pytest.approx(((DEGRADED**2 - CLEAR**2) * inside).sum(), abs=1e-5)
    assert found.residual < 1e-5


def test_a_pixel_that_the_window_copies_from_afar_gets_the_credit():
    found = attribution.attribute(
        lambda x: jnp.roll(x, (2, 3), (0, 1)), DEGRADED, CLEAR, Window(3, 3, 1), steps=1
    )
    expected = np.zeros((6, 7, 3))
    expected[1, 0] = (DEGRADED - CLEAR)[1, 0]
    np.testing.assert_allclose(found.map, expected, atol=1e-6)


def test_more_steps_bring_the_sum_nearer_to_the_difference():
    cube = lambda x: jnp.exp(3 * x)
    residuals = [
        attribution.attribute(cube, DEGRADED, CLEAR, Window(0, 0, 6), steps=n).residual
        for n in (1, 4, 16)
    ]
    assert residuals[1] < residuals[0] / 8 and residuals[2] < residuals[1] / 8


def test_the_map_of_the_network_is_complete_and_reaches_other_regions():
    model = get_config("tiny").model
    net = Backbone(FrozenConfigDict(model))
    degraded, clear = (RNG.random((64, 64, 3)).astype(np.float32) for _ in range(2))
    variables = drawn.variables(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))

    def restore(variables, x):
        return net.apply(variables, x[None])[0]

    restore = jax.tree_util.Partial(restore, variables)
    window = Window(4, 5, 8)
    found = attribution.attribute(restore, degraded, clear, window, steps=24)
    assert abs(found.difference) > 0.1 and found.residual < 0.02
    assert np.abs(found.map[40:, 40:]).max() > 0  # only global attention gets there


def test_reach_by_hand():
    values = np.zeros((9, 9, 3))
    values[4, 4] = 2.0  # the window itself: 6 of 10
    values[4, 6, 0], values[0, 0, 1] = -3.0, 1.0  # 2 and 4 pixels away
    found = attribution.reach(Attribution(values, 1.0, 0.0, 1.0), Window(4, 4, 1))
    assert found == {"outside": pytest.approx(0.4), "radius90": 2}


def test_the_frame_lies_around_the_window_and_the_light_where_the_map_is():
    values = np.zeros((12, 12, 3))
    values[9, 9] = 1.0
    shown = attribution.overlay(
        np.full((12, 12, 3), 0.5, np.float32), Attribution(values, 1.0, 0.0, 1.0), Window(3, 4, 2)
    )
    assert (shown[2, 3:7] == (0, 255, 255)).all() and (shown[5, 3:7] == (0, 255, 255)).all()
    assert (shown[3:5, 4:6] == 77).all() and shown[9, 9].astype(int).sum() > 450


@pytest.mark.parametrize("text", ["1,2", "1,2,0", "-1,2,3", "a,b,c", "1,2,3,4", ""])
def test_a_window_that_is_none_is_refused(text):
    with pytest.raises(errors.InputError, match="expected y,x,size"):
        attribution.parse(text)


def test_the_field_holds_the_window_and_stays_within_the_picture():
    window = Window(5, 90, 10)
    rows, columns = attribution.field((40, 100, 3), window, 32)
    assert (rows, columns) == (slice(0, 32), slice(68, 100))
    assert attribution.field((20, 30, 3), Window(1, 2, 3), 32) == (slice(0, 20), slice(0, 30))
    with pytest.raises(errors.InputError, match="within the picture of 40 rows and 99 columns"):
        attribution.field((40, 99, 3), window, 32)
    with pytest.raises(errors.InputError, match="a side of at most 8 pixels"):
        attribution.field((40, 100, 3), window, 8)
