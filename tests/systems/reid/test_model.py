"""The network: modalities present and absent, fusions, losses, one answer for any batching."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import reid
from wxjax import errors, systems
from wxjax.recipes import stages
from wxjax.systems.reid import explain, training
from wxjax.systems.reid.model import Network
from wxjax.systems.reid.neck import MaskedBatchNorm
from wxjax.systems.reid.sizes import sizes_of
from wxjax.systems.reid.task import complexity

KEY = jax.random.key(0)
jit = jax.jit
start = functools.partial(training.start, seed=0)


def config(**changes):
    found = reid.get_config("tiny")
    found = stages.stage_config(found, "network", "network")
    found.data.size = (64, 32)
    found.model.update(scales=(2, 4), identities=3, features=8, shared_stem=True)
    found.model.experts.dropout = found.model.gate.dropout = 0.0
    for key, value in changes.items():
        place = found
        *path, last = key.split("__")
        for name in path:
            place = place[name]
        place[last] = value
    return found


def batch(n=4):
    image = jax.random.uniform(jax.random.key(2), (n, 3, 64, 32, 3))
    return {
        "image": image,
        "present": jnp.ones((n, 3), bool),
        "label": jnp.arange(n, dtype=jnp.int32) // 2,
        "camera": jnp.zeros(n, jnp.int32),
        "index": jnp.arange(n, dtype=jnp.int32),
    }


FUSIONS = {
    "shared": {},
    "per_modality": {},
    "hierarchical": {},
    "crossmodal": {"model__gate__top_k": 3, "model__gate__input": "cls"},
}


@pytest.fixture(scope="module", params=FUSIONS)
def made(request):
    found = config(model__fusion=request.param, **FUSIONS[request.param])
    task = systems.make(found)
    return request.param, found, task, start(task), jit(task.predict)


def test_an_absent_band_has_no_say(made):
    _, _, task, variables, predict = made
    given = batch()
    given["present"] = given["present"].at[:, 1].set(False)
    other = {**given, "image": given["image"].at[:, 1].set(0.7)}
    first, second = predict(variables, given), predict(variables, other)
    np.testing.assert_array_equal(first["feature"], second["feature"])
    d = 8
    assert float(jnp.abs(first["feature"][:, d : 2 * d]).max()) == 0
    np.testing.assert_allclose(jnp.linalg.norm(first["feature"], axis=-1), 1, rtol=1e-5)


def test_gates_given_back_give_the_same_feature(made):
    name, _, task, variables, predict = made
    given = batch()
    out = predict(variables, given)
    g, k = out["gates"].shape[1:]
    assert (g, k) == {"shared": (3, 2), "per_modality": (3, 2), "hierarchical": (1, 6),
                      "crossmodal": (1, 7)}[name]  # fmt: skip
    np.testing.assert_allclose(out["gates"].sum(-1), 1, rtol=1e-5)
    again = predict(variables, {**given, "gates": out["gates"]})
    np.testing.assert_allclose(again["feature"], out["feature"], atol=1e-5)
    moved = predict(variables, {**given, "gates": jnp.roll(out["gates"], 1, -1)})
    assert float(jnp.abs(moved["feature"] - out["feature"]).max()) > 1e-6


def test_the_parts_of_a_feature_sum_to_it(made):
    _, found, task, variables, predict = made
    net = Network(sizes_of(found))
    given = batch()
    given["present"] = given["present"].at[1, 2].set(False)
    split = jit(lambda v, b: explain.contributions(net, v, b))
    parts = split(variables, given)
    expected = predict(variables, given)["feature"]
    whole = sum(parts.values())
    unit = whole / jnp.linalg.norm(whole, axis=-1, keepdims=True)
    np.testing.assert_allclose(unit, expected, atol=1e-5)
    # The global part is what is left when every expert's output is taken away by LayerScale.
    tree = variables["params"]
    if "fusion" in tree and "scale" in tree["fusion"] and net.sizes.fusion != "hierarchical":
        zero = {**tree, "fusion": {**tree["fusion"], "scale": 0 * tree["fusion"]["scale"]}}
        bare = split(({**variables, "params": zero}), given)
        np.testing.assert_allclose(bare["global"], parts["global"], atol=1e-5)
    one, two = ({name: x[i] for name, x in parts.items()} for i in (0, 1))
    total = sum(sum(row.values()) for row in explain.split(one, two).values())
    assert total == pytest.approx(float(expected[0] @ expected[1]), abs=1e-5)


def test_with_a_last_layer_what_the_gradients_leave_over_is_a_part():
    found = config(model__final=True)
    task, net = systems.make(found), Network(sizes_of(found))
    variables = start(task)
    parts = jit(lambda v, b: explain.contributions(net, v, b))(variables, batch())
    assert {"global", "residual", "offset", "2x2", "4x4"} == set(parts)
    whole = sum(parts.values())
    unit = whole / jnp.linalg.norm(whole, axis=-1, keepdims=True)
    expected = jit(task.predict)(variables, batch())["feature"]
    np.testing.assert_allclose(unit, expected, atol=1e-5)


@pytest.fixture(scope="module")
def slope(made):
    """`(variables, batch) -> ((loss, (logs, stats)), gradients)` of the third step."""
    task = made[2]

    def objective(params, state, given):
        return task.loss({"params": params, **state}, given, KEY, jnp.int32(3))

    run = jit(jax.value_and_grad(objective, has_aux=True))

    def of(variables, given):
        state = {k: v for k, v in variables.items() if k != "params"}
        return run(variables["params"], state, given)

    return of


def test_the_loss_has_gradients_everywhere_and_keeps_statistics(made, slope):
    _, found, task, variables, predict = made
    state = {k: v for k, v in variables.items() if k != "params"}
    (value, (logs, stats)), grads = slope(variables, batch())
    assert np.isfinite(value) and {"identity", "triplet", "balance_mi", "usage_0"} <= set(logs)
    norms = {"/".join(str(p.key) for p in path): float(jnp.abs(x).max())
             for path, x in jax.tree.leaves_with_path(grads)}  # fmt: skip
    assert all(np.isfinite(n) for n in norms.values())
    still = [name for name, n in norms.items() if n == 0]
    # LayerScale times zero-initialised attention scores and the like may rest; kernels may not.
    assert not [name for name in still if name.endswith("kernel") and "score" not in name], still
    before = jax.tree.structure(state)
    assert jax.tree.structure(stats) == before


def test_bands_in_another_order_permute_the_gates_of_tied_weights():
    found = config(model__fusion="crossmodal", model__gate__depth=1,
                   model__gate__input="cls")  # fmt: skip
    sizes = sizes_of(found)
    net = Network(sizes)
    given = batch()
    variables = jit(net.init)(KEY, given["image"], given["present"])
    params = variables["params"]
    mine, bands, d = sizes.per_band, 3, sizes.features
    kernel = params["gate"]["logits"]["kernel"]
    # Tied: every band's features act alike on its own experts, and on all others'.
    own, rest = kernel[:d, :mine], kernel[d : 2 * d, :mine]
    tied = jnp.zeros_like(kernel)
    for i in range(bands):
        for j in range(bands):
            part = own if i == j else rest
            tied = tied.at[i * d : (i + 1) * d, j * mine : (j + 1) * mine].set(part)
        tied = tied.at[i * d : (i + 1) * d, bands * mine :].set(kernel[:d, bands * mine :])
    params["gate"]["logits"]["kernel"] = tied
    apply = jit(lambda v, image: net.apply(v, image, given["present"])["gates"])
    run = lambda image: apply({**variables, "params": params}, image)
    first = run(given["image"])[:, 0]
    turned = run(given["image"][:, jnp.array([2, 0, 1])])[:, 0]
    cut = lambda x: x[:, : bands * mine].reshape(-1, bands, mine)
    np.testing.assert_allclose(cut(turned), cut(first)[:, jnp.array([2, 0, 1])], atol=1e-5)


def test_bands_are_never_all_dropped():
    from wxjax.systems.reid.task import dropped

    present = jnp.ones((500, 3), bool).at[:, 2].set(False)
    kept = dropped(KEY, present, 0.7, jnp.arange(500))
    assert bool(kept.any(1).all()) and not bool(kept[:, 2].any())
    # All dropped (0.49) keeps both, as none dropped (0.09) does; else one of two (0.42).
    assert abs(float(kept[:, :2].mean()) - (0.49 + 0.09 + 0.42 / 2)) < 0.06
    kept = dropped(KEY, present[:12], 0.7, jnp.arange(12) // 3)
    assert bool((kept.reshape(4, 3, 3) == kept.reshape(4, 3, 3)[:, :1]).all())


def test_a_band_that_no_shot_has_leaves_its_norm_alone(made, slope):
    _, _, task, variables, _ = made
    state = {k: v for k, v in variables.items() if k != "params"}
    given = batch()
    given["present"] = given["present"].at[:, 1].set(False)
    (value, (_, stats)), grads = slope(variables, given)
    assert np.isfinite(value)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(grads))
    old, new = state["batch_stats"]["band_necks"], stats["batch_stats"]["band_necks"]
    for name in ("mean", "var"):
        np.testing.assert_array_equal(new[name][1], old[name][1])
        assert float(jnp.abs(new[name][0] - old[name][0]).max()) > 0


def test_the_norm_takes_its_statistics_from_the_shots_that_have_the_feature():
    x = np.random.default_rng(0).normal(3, 2, (6, 2)).astype(np.float32)
    known = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [1, 1], [0, 1]], bool)
    variables = {
        "params": {"scale": np.array([1.0, 2.0], np.float32)},
        "batch_stats": {"mean": np.array([1.0, 1.0]), "var": np.array([4.0, 4.0])},
    }
    given = jnp.asarray(x), jnp.asarray(known)
    y, said = MaskedBatchNorm().apply(variables, *given, True, mutable=["batch_stats"])
    for i, scale in enumerate((1, 2)):
        seen = x[known[:, i], i]
        expected = scale * (seen - seen.mean()) / np.sqrt(seen.var() + 1e-5)
        np.testing.assert_allclose(y[known[:, i], i], expected, atol=1e-5)
        mean, var = (said["batch_stats"][name][i] for name in ("mean", "var"))
        np.testing.assert_allclose(mean, 0.9 + 0.1 * seen.mean(), rtol=1e-5)
        np.testing.assert_allclose(var, 3.6 + 0.1 * seen.var(), rtol=1e-5)
    assert not np.asarray(y)[~known].any()


def test_shots_do_not_depend_on_their_batch():
    found = config(model__gate__top_k=1, model__gate__input="cls", model__executor="blocked")
    task = systems.make(found)
    variables = start(task)
    given = batch(6)
    predict = jit(task.predict)
    whole = predict(variables, given)["feature"]
    part = {k: v[2:4] for k, v in given.items()}
    np.testing.assert_allclose(predict(variables, part)["feature"], whole[2:4], atol=1e-5)


@pytest.mark.parametrize("backbone, size", [("conv3", (64, 32)), ("vit_ti8", (64, 32))])
def test_backbones_give_grids(backbone, size):
    found = config(model__backbone=backbone, data__size=size)
    task = systems.make(found)
    shapes = jax.eval_shape(lambda: task.predict(task.init(KEY, {}), batch()))
    assert shapes["feature"].shape == (4, 24)


def test_the_published_trunk_has_its_size():
    found = config(model__backbone="vit_b16", data__size=(256, 128), model__features=512,
                   model__scales=(4, 8, 16))  # fmt: skip
    shapes = jax.eval_shape(systems.make(found).init, KEY, {})["params"]["backbone"]["vit"]
    from wxjax.nn.experts import size

    # CLIP's visual ViT-B/16 has 86,192,640 with 197 positions; here there are 129 of 768.
    assert size(shapes) == 86_192_640 - (197 - 129) * 768


def test_the_head_of_widths_learns_the_narrowest_that_is_right():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]))
    right = jnp.array([[True, True], [False, True], [False, False]])  # asks for 1/4, 1/2, 1
    found = complexity(logits, right)
    assert float(found["loss"]) == pytest.approx(-np.log([0.7, 0.2, 0.1]).mean(), rel=1e-5)
    assert float(found["wanted"]) == pytest.approx((0.25 + 0.5 + 1) / 3)
    assert float(found["share"]) == pytest.approx((0.25 + 1 + 0.5) / 3)


def test_an_adaptive_network_names_a_width_and_is_trained_at_each():
    found = config(model__experts__slimmable=True, model__experts__adaptive=True)
    task = systems.make(found)
    variables = start(task)
    state = {k: v for k, v in variables.items() if k != "params"}
    of = lambda params: task.loss({"params": params, **state}, batch(), KEY, jnp.int32(0))
    grads, (logs, _) = jit(jax.grad(of, has_aux=True))(variables["params"])
    assert float(jnp.abs(grads["complexity"]["kernel"]).max()) > 0
    assert 0.25 <= float(logs["complexity_share"]) <= 1
    width = jit(task.predict)(variables, batch())["width"]
    assert set(np.asarray(width).tolist()) <= {0.25, 0.5, 1.0}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model__experts__adaptive": True}, "slimmable=True with it"),
        ({"model__fusion": "late"}, "config.model.fusion='late'"),
        ({"model__fusion": "hierarchical", "model__block": "mlp"}, "fuses experts"),
        ({"model__backbone": "conv4"}, "Did you mean 'conv3'"),
        ({"data__size": (60, 32)}, "multiples of 8"),
        ({"model__scales": (4, 8)}, "both 8 x 4|are both"),
        ({"modality_dropout": 1.0}, "probability below 1"),
        ({"evaluate__neck": "none"}, "expected one of after, before"),
    ],
)
def test_slips_are_named(changes, message):
    if "model__scales" in changes:
        changes = {"model__scales": (8, 16)}
    with pytest.raises(errors.InputError, match=message):
        systems.make(config(**changes))
