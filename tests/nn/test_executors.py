"""Every way to run a mixture gives the values, and the gradients, of the plain one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.nn import executors, expert_kinds, routing
from wxjax.nn.routing import Choice

E, D, H, T = 6, 16, 24, 200
FASTER = tuple(name for name in executors.TOKEN_LEVEL if name != "dense")


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


@functools.cache
def setting(kind):
    shapes = {
        "film": {"kernel": (E, D, 2 * D), "bias": (E, 2 * D)},
        "ffn": {
            "scale": (E, D),
            "shift": (E, D),
            "kernel1": (E, D, H),
            "bias1": (E, H),
            "kernel2": (E, H, D),
            "bias2": (E, D),
        },
    }[kind]
    params = {
        n: normal(i, *shape) * shape[1] ** -0.5 for i, (n, shape) in enumerate(shapes.items())
    }
    return getattr(expert_kinds, kind), params, normal(10, T, D), 2 * normal(11, T, E)


def mixture(name, kind, p, params, x, logits):
    return executors.run(name, setting(kind)[0], params, x, routing.select(logits, 3, p))


def test_the_reference_is_a_sum_over_experts_by_hand():
    expert, params, x, logits = setting("film")
    choice = routing.select(logits, 2)
    found = executors.dense(expert, params, x, choice)
    for t in (0, 7, 199):
        expected = 0
        for index, weight in zip(choice.index[t], choice.weight[t], strict=True):
            out = x[t] @ params["kernel"][index] + params["bias"][index]
            expected += weight * (out[:D] * x[t] + out[D:])
        np.testing.assert_allclose(found[t], expected, rtol=1e-5, atol=1e-5)


CASES = [(name, "film", 0.6) for name in FASTER]
CASES += [(name, "ffn", 1.0) for name in FASTER if name != "folded"]


@pytest.mark.parametrize("name, kind, p", CASES)
def test_values_and_gradients_are_those_of_the_reference(name, kind, p):
    _, *inputs = setting(kind)

    @functools.partial(jax.jit, static_argnums=0)
    def both(name, *inputs):
        weigh = lambda *xs: (mixture(name, kind, p, *xs) * jnp.cos(xs[1])).sum()
        return mixture(name, kind, p, *inputs), jax.grad(weigh, (0, 1, 2))(*inputs)

    found, expected = both(name, *inputs), both("dense", *inputs)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max())),
        found,
        expected,
    )


@pytest.mark.parametrize("name", FASTER)
def test_all_tokens_at_one_expert_fit(name):
    expert, params, x, _ = setting("film")
    choice = Choice(
        jnp.tile(jnp.int32([4, 2, 0]), (T, 1)), jnp.tile(jnp.array([1.0, 0, 0]), (T, 1))
    )
    found = executors.run(name, expert, params, x, choice)
    alone = jax.tree.map(lambda leaf: leaf[4], params)
    np.testing.assert_allclose(found, expert.apply(alone, x, expert_kinds.ONE), atol=1e-5)


@pytest.mark.parametrize("name", FASTER)
def test_a_token_without_experts_reads_zero(name):
    expert, params, x, logits = setting("film")
    choice = routing.select(logits, 2)
    weight = choice.weight.at[5].set(0)
    found = executors.run(name, expert, params, x, Choice(choice.index, weight))
    np.testing.assert_array_equal(found[5], np.zeros(D))


def test_rows_of_one_expert_stand_together_and_find_back():
    choice = routing.select(setting("film")[3], 3, 0.6)
    rows = executors.sort(choice, E)
    assert (np.diff(rows.expert) >= 0).all()
    np.testing.assert_array_equal(rows.order[rows.place.reshape(-1)], np.arange(3 * T))
    np.testing.assert_array_equal(
        rows.sizes, [((choice.index == e) & (choice.weight > 0)).sum() for e in range(E)]
    )


def test_the_loop_runs_as_often_as_experts_are_kept():
    """Blocks of 64 rows: 100 and 30 rows are three of them, whatever the bound is."""
    owner, start, length, used = executors._plan(jnp.int32([0, 100, 0, 30]), 400)
    assert int(used) == 3 and len(owner) == 7 + 4
    np.testing.assert_array_equal(owner[:3], [1, 1, 3])
    np.testing.assert_array_equal(start[:3], [0, 64, 100])
    np.testing.assert_array_equal(length[:3], [64, 36, 30])


def test_merged_experts_are_the_mixture_with_one_choice_for_all_tokens():
    expert, params, x, logits = setting("film")
    images, scores = x.reshape(2, -1, D), logits.reshape(2, -1, E)
    choice = routing.frame_level(scores, 3)
    found = executors.merged(expert, params, images, choice)
    for i in range(2):
        same = Choice(*(jnp.tile(leaf[i], (len(images[i]), 1)) for leaf in choice))
        expected = executors.dense(expert, params, images[i], same)
        np.testing.assert_allclose(found[i], expected, atol=2e-5)


def test_experts_with_a_nonlinearity_are_not_folded_or_merged():
    expert, params, x, logits = setting("ffn")
    choice = routing.select(logits, 2)
    with pytest.raises(errors.InputError, match="executor='folded': needs experts"):
        executors.run("folded", expert, params, x, choice)
    with pytest.raises(errors.InputError, match="executor='merged': needs experts"):
        executors.merged(expert, params, x[None], Choice(*(leaf[:1] for leaf in choice)))


def test_a_misspelt_executor_is_named():
    expert, params, x, logits = setting("film")
    with pytest.raises(errors.InputError, match="executor='bloked'.*Did you mean 'blocked'"):
        executors.run("bloked", expert, params, x, routing.select(logits, 2))


def test_auto_sorts_only_where_experts_are_left_out():
    film, ffn = setting("film")[0], setting("ffn")[0]
    assert executors.fastest(film, 3, 6) == "blocked" == executors.fastest(ffn, 3, 6)
    assert executors.fastest(film, 6, 6) == "folded" and executors.fastest(ffn, 6, 6) == "dense"
