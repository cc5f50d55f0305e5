"""Units removed, kernels in int8."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.systems.reid.test_model import KEY, batch, config, jit, start
from wxjax import errors
from wxjax import task as tasks
from wxjax.nn import executors
from wxjax.ops import quantize
from wxjax.systems.reid import compress, experts
from wxjax.systems.reid.experts import Body

BODY = Body(dropout=0.0)


def stacked(d=8, h=16, e=3):
    return jit(jax.vmap(lambda k: experts.init(k, BODY, d, h)))(jax.random.split(KEY, e))


def test_nothing_pruned_is_the_same_network():
    params = {"fusion": {"bank": {"experts": stacked()}, "scale": jnp.ones(8)}}
    again = compress.pruned(params, 0.0)
    jax.tree.map(np.testing.assert_array_equal, params, again)


def test_units_go_by_their_score_and_equal_units_masked():
    tree = stacked()
    scores = compress.unit_scores(tree)
    one = jax.tree.map(lambda x: x[1], tree)
    by_hand = [
        np.linalg.norm(one["in"]["kernel"][:, j])
        * abs(one["in"]["scale"][j])
        * np.linalg.norm(one["out"]["kernel"][j])
        for j in range(16)
    ]
    np.testing.assert_allclose(scores[1], by_hand, rtol=1e-5)
    cut = compress.pruned({"bank": {"experts": tree}}, 0.25)["bank"]["experts"]
    assert cut["in"]["kernel"].shape == (3, 8, 12) and cut["out"]["kernel"].shape == (3, 12, 8)
    stay = np.sort(np.argsort(-np.array(by_hand))[:12])
    mask = np.isin(np.arange(16), stay).astype(np.float32)
    x = jax.random.normal(KEY, (5, 8))
    apply = experts.make(BODY).apply
    masked = apply({**one, "mask": jnp.asarray(mask)}, x, executors.ONE)
    small = apply(jax.tree.map(lambda x: x[1], cut), x, executors.ONE)
    np.testing.assert_allclose(small, masked, atol=1e-5)


def test_a_round_trip_is_off_by_half_a_step_at_most():
    x = jax.random.normal(KEY, (4, 16, 8)).at[0, :, 3].set(0)
    q, step = quantize.quantize(x)
    assert q.dtype == jnp.int8 and step.shape == (4, 1, 8)
    assert float((jnp.abs(quantize.dequantize(q, step) - x) - step / 2).max()) <= 1e-6
    assert not q[0, :, 3].any()


def test_an_int8_product_is_the_product_of_what_was_rounded():
    x, w = jax.random.normal(KEY, (5, 16)), jax.random.normal(jax.random.key(1), (16, 8))
    q, step = quantize.quantize(w)
    rows, scale = quantize.quantize(x, axis=-1)
    exact = (np.asarray(rows, np.int64) @ np.asarray(q, np.int64)) * np.asarray(scale * step)
    np.testing.assert_allclose(quantize.product(x, q, step), exact, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(quantize.product(x, q, step), x @ w, atol=0.15)


def test_a_quantised_network_answers_almost_the_same():
    task = tasks.load(config())
    variables = start(task)
    predict = jit(task.predict)
    expected = predict(variables, batch())["feature"]
    once, sizes = compress.weight_only(variables["params"])
    assert sizes["int8"] < 0.75 * sizes["float32"]
    for params in (once, compress.dynamic(variables["params"])):
        found = predict({**variables, "params": params}, batch())["feature"]
        cosine = (found * expected).sum(-1)
        assert float(cosine.min()) > 0.99 and float(jnp.abs(found - expected).max()) > 0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: compress.bank({"fusion": {"mlp_in": {}}}), "has no experts"),
        (lambda: compress.kept(jnp.ones((1, 4)), 1.0), "from 0 to below 1"),
        (lambda: compress.unit_scores({"out": {}}), "MLPs of two layers"),
    ],
)
def test_slips_are_named(call, message):
    with pytest.raises(errors.InputError, match=message):
        call()
