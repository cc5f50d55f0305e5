"""Grids as they are stored: what rounding costs, and what training sees of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax.systems.tod import quantise


def variables():
    rng = np.random.default_rng(0)
    grid = {f"level_{i}": rng.normal(0, 10.0**i, (4, 6, 3)).astype(np.float32) for i in range(2)}
    field = {"grid": grid, "head": {"kernel": rng.normal(size=(6, 3)).astype(np.float32)}}
    return {"params": {"field": field, "sun": {"latitude": np.float32(40)}}, "scene": {}}


@pytest.mark.parametrize("quant, bits, error", [("fp16", 16, 2.0**-11), ("int8", 8, 0.5 / 127)])
def test_grids_come_back_within_half_a_step(quant, bits, error):
    given = variables()
    packed = quantise.pack(quant, given)
    back = quantise.unpack(packed)
    for name, table in given["params"]["field"]["grid"].items():
        # Half floats are that near relative to a value, integers to a channel's largest.
        most = np.abs(table) if quant == "fp16" else np.abs(table).max((0, 1))
        apart = np.abs(np.asarray(back["params"]["field"]["grid"][name]) - table)
        assert (apart <= 1.001 * error * most).all() and apart.max() > 0
        stored = sum(x.nbytes for x in jax.tree.leaves(packed["params"]["field"]["grid"][name]))
        assert stored == table.size * bits // 8 + (12 if quant == "int8" else 0)
    assert back["params"]["field"]["head"] is given["params"]["field"]["head"]
    again = quantise.pack(quant, back)  # what is stored is a fixed point
    for a, b in zip(jax.tree.leaves(packed), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_once_ready_a_step_sees_rounded_grids_and_their_gradient_passes():
    field = jax.tree.map(jnp.asarray, variables()["params"]["field"])
    total = lambda f, ready: sum(
        (x**2).sum() for x in jax.tree.leaves(quantise.seen("int8", f, ready)["grid"])
    )
    before, after = (float(total(field, jnp.bool_(ready))) for ready in (False, True))
    stored = quantise.unpack(quantise.pack("int8", {"params": {"field": field}}))
    expected = sum(float((x**2).sum()) for x in stored["params"]["field"]["grid"].values())
    assert after == pytest.approx(expected, rel=1e-5) and after != before
    slope = jax.grad(total)(field, jnp.bool_(True))["grid"]["level_0"]
    np.testing.assert_allclose(slope, 2 * stored["params"]["field"]["grid"]["level_0"], rtol=1e-4)


def test_a_field_without_grids_is_left_alone():
    given = {"params": {"sun": {}}, "scene": {}}
    assert quantise.pack("int8", given) == given == quantise.unpack(given)
