"""Units removed, kernels in int8."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.systems.reid.test_model import KEY, batch, config, jit, start
from wxjax import errors, systems
from wxjax.nn import expert_kinds
from wxjax.systems.reid import compress, experts, quantize
from wxjax.systems.reid.experts import Body
from wxjax.systems.reid.sizes import Sizes, sizes_of

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
    masked = apply({**one, "mask": jnp.asarray(mask)}, x, expert_kinds.ONE)
    small = apply(jax.tree.map(lambda x: x[1], cut), x, expert_kinds.ONE)
    np.testing.assert_allclose(small, masked, atol=1e-5)


@pytest.mark.parametrize("gate", [dict(input="cls", depth=2, heads=2), dict(depth=1)])
def test_an_expert_without_weight_goes_and_nothing_changes(gate):
    whole = config(**{f"model__gate__{name}": value for name, value in gate.items()})
    variables = start(systems.make(whole))
    params = variables["params"]
    layer = dict(params["fusion"]["gate"]["logits"])
    heads = whole.model.gate.heads
    layer["bias"] = layer["bias"].reshape(heads, -1).at[:, 1].set(-1e9).reshape(-1)
    if whole.model.gate.input == "concat":
        d = whole.model.features
        layer["kernel"] = layer["kernel"].at[d : 2 * d].set(0)
    fusion = {**params["fusion"], "gate": {**params["fusion"]["gate"], "logits": layer}}
    params = {**params, "fusion": fusion}
    expected = jit(systems.make(whole).predict)({**variables, "params": params}, batch())
    sizes = sizes_of(whole)
    less = config(**{f"model__gate__{name}": value for name, value in gate.items()})
    less.model.scales = tuple(s for i, s in enumerate(sizes.scales) if i != 1)
    small = compress.without(params, sizes, 1)
    found = jit(systems.make(less).predict)({**variables, "params": small}, batch())
    np.testing.assert_allclose(found["feature"], expected["feature"], atol=1e-5)
    np.testing.assert_allclose(found["gates"], np.delete(expected["gates"], 1, -1), atol=1e-6)


def test_a_gate_that_reads_all_scales_gets_the_shapes_of_a_smaller_one():
    whole = config(model__gate__depth=3)
    sizes = sizes_of(whole)
    small = compress.without(start(systems.make(whole))["params"], sizes, 0)
    whole.model.scales = sizes.scales[1:]
    task = systems.make(whole)
    expected = jax.eval_shape(lambda: task.init(KEY, {}))["params"]
    shapes = lambda tree: jax.tree.map(np.shape, dict(tree))
    assert shapes(small) == shapes(expected)


def test_usage_times_contribution_by_hand():
    gates = jnp.array([[[0.5, 0.5]], [[1.0, 0.0]]])
    outputs = jnp.array([[[3.0, 4.0], [8.0, 0.0]], [[0.0, 1.0], [0.0, 4.0]]])
    found = compress.expert_scores(gates, outputs)
    np.testing.assert_allclose(found, [0.75 * 3, 0.25 * 6])


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
    task = systems.make(config())
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
        (lambda: compress.without({}, Sizes(fusion="crossmodal"), 0), "model.fusion=shared"),
    ],
)
def test_slips_are_named(call, message):
    with pytest.raises(errors.InputError, match=message):
        call()
