"""Shells, gates and experts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.nn import experts, routing
from wxjax.nn.adapter import BottleneckAdapter, FiLM

PROBS = jnp.array([[0.5, 0.3, 0.15, 0.05], [0.05, 0.9, 0.03, 0.02]])
IMAGE = jax.random.normal(jax.random.key(9), (2, 8, 8, 4))


@pytest.mark.parametrize("shell", [BottleneckAdapter(ratio=0.5), FiLM()], ids=["adapter", "film"])
def test_a_fresh_shell_is_the_identity_and_learns(shell):
    variables = shell.init(jax.random.key(0), IMAGE)
    np.testing.assert_array_equal(shell.apply(variables, IMAGE), IMAGE)
    grads = jax.grad(lambda v: (shell.apply(v, IMAGE) ** 2).sum())(variables)
    assert max(np.abs(g).max() for g in jax.tree.leaves(grads)) > 0


@pytest.mark.parametrize("p, counts", [(0.4, [1, 1]), (0.6, [2, 1]), (0.96, [4, 3]), (1.0, [4, 4])])
def test_a_gate_keeps_the_fewest_experts_that_reach_p(p, counts):
    weights = routing.top_p(PROBS, p)
    np.testing.assert_array_equal((weights > 0).sum(-1), counts)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


def test_top_k_by_hand():
    np.testing.assert_allclose(routing.top_k(PROBS, 2)[0], [0.625, 0.375, 0, 0], rtol=1e-6)
    with pytest.raises(errors.InputError, match="top_k=5: expected 1 to the number of experts, 4"):
        routing.top_k(PROBS, 5)


def test_gradients_reach_the_kept_experts_only():
    def first(logits):
        return routing.top_p(routing.probabilities(logits), 0.6)[0, 0]

    grad = jax.grad(first)(jnp.log(PROBS))
    q = 0.5 / 0.8 * 0.3 / 0.8  # the softmax Jacobian over the two kept experts
    np.testing.assert_allclose(grad, [[q, -q, 0, 0], [0, 0, 0, 0]], atol=1e-6)


def test_abstention_is_index_zero():
    np.testing.assert_array_equal(routing.abstain(PROBS, 0.6), [0, 2])
    np.testing.assert_array_equal(routing.abstain(PROBS, 0.0), [1, 2])


def test_one_program_serves_every_expert():
    adapter = BottleneckAdapter(ratio=0.5)
    trees = []
    for i in range(3):
        params = adapter.init(jax.random.key(i), IMAGE)["params"]
        trees.append(
            {"other": jnp.zeros(2), "block": {"shell": {**params, "gate": jnp.full(4, i)}}}
        )
    names = experts.differing(list(experts.flatten(trees[0])), [])
    assert len(names) == 7
    assert all(name.startswith("block/shell/") for name in names)
    deltas = experts.stack(trees, names)

    @jax.jit
    def run(index):
        params = experts.choose({"other": jnp.zeros(2)}, deltas, index)
        return adapter.apply({"params": params["block"]["shell"]}, IMAGE)

    for i, tree in enumerate(trees):
        expected = adapter.apply({"params": tree["block"]["shell"]}, IMAGE)
        np.testing.assert_allclose(run(jnp.int32(i)), expected, atol=1e-5)
    assert run._cache_size() == 1


def test_a_pattern_that_owns_nothing_is_refused():
    with pytest.raises(errors.InputError, match="unfrozen='decodr/.*': matches no parameter"):
        experts.differing(["decoder/output/kernel"], ["decodr/.*"])
