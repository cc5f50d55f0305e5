"""The fusion block: counts of the source, the mixing bug, windows, gates, executors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.nn import executors, expert_kinds
from wxjax.nn.experts import size
from wxjax.systems.reid import experts, fusion, gate, variants, windows
from wxjax.systems.reid.experts import Body
from wxjax.systems.reid.fusion import Fusion
from wxjax.systems.reid.gate import Gating, Router
from wxjax.systems.reid.sizes import Sizes
from wxjax.systems.reid.windows import Windows

D, H = 512, 1024
KEY = jax.random.key(0)
jit = jax.jit


def block(body=Body(dropout=0.0), gating=Gating(dropout=0.0), **options):  # noqa: B008
    kinds = dict(kind="moe", scales=(2, 4), replicas=1, windows=Windows(), features=8) | options
    return Fusion(body=body, gating=gating, **kinds)


def inputs(rows=5, side=(8, 4), d=8):
    first, second = jax.random.split(jax.random.key(1))
    return jax.random.normal(first, (rows, d)), jax.random.normal(second, (rows, *side, d))


def test_parameters_are_those_of_the_source():
    one = jax.eval_shape(lambda k: experts.init(k, Body(), D, H), KEY)
    assert size(one) == 1_315_840 and 3 * size(one) == 3_947_520
    for depth, count in ((1, 4_611), (2, 1_184_259), (3, 1_776_387)):
        router = Router(Gating(depth=depth), 3)
        shapes = jax.eval_shape(router.init, KEY, jnp.zeros((1, 3 * D)))
        assert size(shapes["params"]) == count
    made = [
        jax.eval_shape(lambda k, s=s: windows.init(k, Windows("seq1d"), s, D), KEY)
        for s in (4, 8, 16)
    ]
    assert size(made) == 7_341_568
    options = dict(scales=(4, 8, 16), features=D, mlp_hidden=D)
    args = (KEY, jnp.zeros((1, D)), jnp.zeros((1, 16, 8, D)))
    found = {}
    for name, more in (("last", {"final": True}), ("none", {}), ("mlp", {"kind": "mlp"})):
        shapes = jax.eval_shape(block(body=Body(), **options, **more).init, *args)["params"]
        found[name] = size({k: v for k, v in shapes.items() if k not in ("bank", "scale")})
    assert found["last"] - found["none"] == 263_680
    assert found["mlp"] == 1_049_600


def test_costs_counted_by_hand_are_those_of_the_network():
    args = (KEY, *(x[:1] for x in inputs(d=16)))
    for more in ({}, {"kind": "mlp", "mlp_hidden": 20}, {"final": True}):
        made = block(features=16, body=Body(ratio=1.5), **more)
        params = jax.eval_shape(made.init, *args)["params"]
        bank = params.pop("bank")
        params.pop("scale")
        total = size(params) + size(bank.get("experts", {}))
        sizes = Sizes(
            features=16, scales=(2, 4), block=made.kind, mlp_hidden=made.mlp_hidden,
            experts=made.body, gate=made.gating, final=made.final,
        )  # fmt: skip
        assert variants.block_cost(sizes)["parameters"] == total


def test_weights_multiply_samples_and_not_features():
    # B = D: iterating weights.T against [b, d] outputs would scale features without an error.
    b = d = 4
    weights = jax.random.uniform(KEY, (b, 1, 3))
    outputs = jax.random.normal(KEY, (b, 3, d))
    found = fusion.mix(weights, outputs)
    for i in range(b):
        expected = sum(weights[i, 0, e] * outputs[i, e] for e in range(3))
        np.testing.assert_allclose(found[i], expected, rtol=1e-5)
    # Chunks: the second half of the features has weights of its own.
    two = jax.random.uniform(KEY, (b, 2, 3))
    found = fusion.mix(two, outputs)
    np.testing.assert_allclose(found[:, 2:], fusion.mix(two[:, 1:], outputs)[:, 2:], rtol=1e-5)


def test_one_dimensional_windows_are_one_linear_map_of_phase_means():
    params = windows.init(KEY, Windows("seq1d"), 4, 8)
    grid = inputs()[1]
    tokens = grid.reshape(5, -1, 8)
    phases = tokens.reshape(5, -1, 4, 8).mean(1)
    closed = params["bias"] + jnp.einsum("bkd,kdf->bf", phases, params["kernel"])
    found, _ = windows.apply(params, Windows("seq1d", "mean"), 4, grid)
    np.testing.assert_allclose(found, closed, atol=1e-5)


@pytest.mark.parametrize(
    "grid, scales, counts",
    [((16, 8), (4, 8, 16), (21, 3, 1)), ((64, 32), (4, 8, 16, 32, 64), (465, 105, 21, 3, 1))],
)
def test_windows_are_as_many_as_the_formula_says(grid, scales, counts):
    assert tuple(windows.count(s, grid) for s in scales) == counts
    cells = windows.cells(jnp.ones((1, *grid, 2)), scales[0])
    assert cells.shape == (1, counts[0], 8)
    np.testing.assert_allclose(cells, 1, rtol=1e-6)


def test_a_window_sees_its_own_tokens_in_their_places():
    grid = jnp.zeros((1, 8, 8, 1)).at[0, 5, 2, 0].set(4.0)
    cells = np.asarray(windows.cells(grid, 4))[0]
    # Windows start at 0, 2, 4 both ways; a 2 x 2 cell of 2 x 2 tokens holds a quarter of it.
    seen = {(y, x): cells[3 * (y // 2) + x // 2].tolist() for y in (0, 2, 4) for x in (0, 2, 4)}
    assert seen[2, 0] == [0, 0, 0, 1] and seen[2, 2] == [0, 0, 1, 0]
    assert seen[4, 0] == [0, 1, 0, 0] and seen[4, 2] == [1, 0, 0, 0]
    assert all(seen[y, x] == [0] * 4 for y, x in seen if y == 0 or x == 4)


@pytest.mark.parametrize("pool", windows.POOLS)
def test_pools_of_equal_windows_are_the_window(pool):
    params = windows.init(KEY, Windows(pool=pool), 4, 8)
    x = jnp.abs(jnp.tile(jax.random.normal(KEY, (2, 1, 8)), (1, 6, 1))) + 0.1
    found, share = windows.pool(params, pool, x)
    np.testing.assert_allclose(found, x[:, 0], rtol=1e-4)
    np.testing.assert_allclose(share.sum(1), 1, rtol=1e-6)


def test_gates_sum_to_one_and_temperature_has_its_limits():
    x = jax.random.normal(KEY, (6, 8))

    def said(**options):
        router = Router(Gating(dropout=0.0, **options), 4)
        return jit(lambda x: router.apply(router.init(KEY, x), x).weights[:, 0])(x)

    np.testing.assert_allclose(said().sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(said(temperature=1e5), 0.25, atol=1e-4)
    cold = said(temperature=1e-5)
    assert ((cold > 0.999).sum(-1) == 1).all()
    assert ((said(top_k=2) > 0).sum(-1) == 2).all()
    np.testing.assert_allclose(said(top_k=2).sum(-1), 1, rtol=1e-6)
    assert (said(top_k=2, renormalise=False).sum(-1) < 1).all()
    kept = (said(top_p=0.3, least=2) > 0).sum(-1)
    assert kept.min() >= 2
    mean = said(heads=4)
    assert mean.shape == (6, 4)
    np.testing.assert_allclose(said(kind="uniform"), 0.25)
    np.testing.assert_allclose(said(kind="fixed", weights=(3, 1, 0, 0))[0], [0.75, 0.25, 0, 0])


def test_the_scheduled_temperature_falls_and_the_learned_one_is_a_parameter():
    x = jax.random.normal(KEY, (6, 8))
    router = Router(Gating(schedule="scheduled", dropout=0.0), 4)
    variables = router.init(KEY, x)
    early, late = (router.apply(variables, x, progress=p).weights for p in (0.0, 1.0))
    assert float((late**2).sum()) > float((early**2).sum())
    learned = Router(Gating(schedule="learned", temperature=2.0), 4)
    assert "temperature" in learned.init(KEY, x)["params"]


def test_a_selection_bias_changes_who_is_chosen_and_not_how_much():
    x = jax.random.normal(KEY, (32, 8))
    router = Router(Gating(top_k=1, bias=True, dropout=0.0, noise=False), 4)
    variables = router.init(KEY, x)
    pushed = {**variables, "router": {"bias": jnp.array([9.0, 0, 0, 0])}}
    found = router.apply(pushed, x).weights[:, 0]
    np.testing.assert_allclose(found, jnp.tile(jnp.array([1.0, 0, 0, 0]), (32, 1)), atol=1e-6)
    _, stats = router.apply(pushed, x, True, mutable=["router"])
    moved = stats["router"]["bias"] - pushed["router"]["bias"]
    np.testing.assert_allclose(moved, [-1e-3, 1e-3, 1e-3, 1e-3], atol=1e-6)


@pytest.mark.parametrize("body", [Body(dropout=0.0), Body(kind="swiglu", ratio=(1.0, 2.0))])
def test_executors_agree(body):
    body = body._replace(dropout=0.0)
    cls, grid = inputs(rows=19)
    gating = Gating(top_k=1, input="concat", dropout=0.0)
    variables = jit(block(body, gating).init)(KEY, cls, grid)
    expected = jit(block(body, gating).apply)(variables, cls, grid)
    for name in ("skip", "grouped", "blocked"):
        found = jit(block(body, gating, executor=name).apply)(variables, cls, grid)
        np.testing.assert_allclose(found["feature"], expected["feature"], atol=1e-5)


def test_experts_not_chosen_by_the_global_vector_are_never_looked_at():
    cls, grid = inputs(rows=19)
    gating = Gating(top_k=1, input="cls", dropout=0.0)
    options = dict(replicas=2)
    variables = jit(block(gating=gating, **options).init)(KEY, cls, grid)
    expected = jit(block(gating=gating, **options).apply)(variables, cls, grid)
    early = block(gating=gating, executor="blocked", **options)
    found = jit(early.apply)(variables, cls, grid)
    np.testing.assert_allclose(found["feature"], expected["feature"], atol=1e-5)
    assert "shares" not in found and "shares" in expected
    # Who nobody chose may hold anything.
    chosen = np.asarray(found["gates"][:, 0]).argmax(-1)
    unused = sorted(set(range(4)) - set(chosen[:3].tolist()))
    spoilt = jax.tree.map(lambda x: x, variables)
    tree = spoilt["params"]["bank"]["experts"]["out"]
    tree["kernel"] = tree["kernel"].at[jnp.array(unused)].set(jnp.nan)
    again = jit(early.apply)(spoilt, cls[:3], grid[:3])
    np.testing.assert_allclose(again["feature"], expected["feature"][:3], atol=1e-5)


def test_capacity_drops_what_does_not_fit_and_says_so():
    params = jit(jax.vmap(lambda k: experts.init(k, Body(dropout=0.0), 8, 16)))(
        jax.random.split(KEY, 2)
    )
    expert = experts.make(Body(dropout=0.0))
    views = jax.random.normal(KEY, (16, 2, 8))
    lopsided = jnp.tile(jnp.array([[1.0, 0.0]]), (16, 1))
    choice = gate.choice(lopsided, 1)
    expected = executors.dense(expert, params, views, choice)
    found, lost = executors.capacity(expert, params, views, choice, factor=2.0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert float(lost) == 0
    # Room for ceil(1 * 16 / 2) = 8 of the 16 rows: the first eight are served.
    found, lost = executors.capacity(expert, params, views, choice, factor=1.0)
    np.testing.assert_allclose(found[:8], expected[:8], atol=1e-5)
    assert float(lost) == 0.5 and float(jnp.abs(found[8:]).max()) == 0
    heavy = choice._replace(weight=jnp.arange(1.0, 17)[:, None] / 16)
    found, _ = executors.capacity(expert, params, views, heavy, factor=1.0, priority=True)
    assert float(jnp.abs(found[:8]).max()) == 0 and float(jnp.abs(found[8:]).min(-1).max()) > 0


def test_a_narrower_expert_is_the_wide_one_with_its_units_removed():
    body = Body(ratio=2.0, dropout=0.0, slimmable=True)
    one = experts.init(KEY, body, 8, 16)
    x = jax.random.normal(KEY, (3, 8))
    masked = {**one, "mask": (jnp.arange(16) < 4).astype(jnp.float32)}
    cut = {**one, "in": jax.tree.map(lambda leaf: leaf[..., :4], one["in"])}
    cut["out"] = {**one["out"], "kernel": one["out"]["kernel"][:4]}
    apply = experts.make(body).apply
    np.testing.assert_allclose(
        apply(masked, x, expert_kinds.ONE), apply(cut, x, expert_kinds.ONE), atol=1e-5
    )


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: windows.check(Windows(), (4, 16, 32), (16, 8)), "16 and 32 are both 16 x 8"),
        (lambda: windows.check(Windows("seq1d"), (256,), (16, 8)), "at most the tokens"),
        (lambda: windows.check(Windows(), (1,), (16, 8)), "2 tokens or more"),
        (lambda: windows.check(Windows(pool="max"), (4,), (16, 8)), "attn, gem, mean"),
        (lambda: gate.check(Gating(depth=4), 3, 8), "depth=4: expected 1 to 3"),
        (lambda: gate.check(Gating(heads=3, heads_mode="chunk"), 3, 8), "divisor of the 8"),
        (lambda: gate.check(Gating(top_k=4), 3, 8), "expected 1 to the number of experts, 3"),
        (lambda: gate.check(Gating(kind="fixed"), 3, 8), "one for each of 3"),
        (lambda: experts.check(Body(kind="conv"), 3), "mlp, swiglu"),
        (lambda: experts.check(Body(ratio=(1.0, 2.0)), 3), "one for each of 3"),
        (lambda: fusion.check("moe", "ragged"), "config.model.executor"),
    ],
)
def test_slips_are_named(call, message):
    with pytest.raises(errors.InputError, match=message):
        call()
