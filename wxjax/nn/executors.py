"""Ways to compute a sparse mixture of experts; all give the same values.

  dense     every expert on every token, times the weights; the reference
  folded    the same for experts that are linear in their input: one matrix product
  skip      a scan over experts, each skipped at run time where no token keeps it
  grouped   (token, slot) rows sorted by expert, `jax.lax.ragged_dot`, row budget by `switch`
  blocked   the same rows in blocks of one expert each; the loop runs only as often as needed
  merged    weights of a whole image: its experts become one matrix
  capacity  buffers of one size an expert; what does not fit is dropped, and counted: not equal

A token looks the same to all experts, x `[t d]`, or each has its own view of it, x `[t e d]`.
Experts of different kinds are run one by one with `where_kept`.

Axes: t tokens, s slots of a token, e experts, r rows (tokens times slots), d features.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wxjax import errors
from wxjax.nn import routing
from wxjax.nn.expert_kinds import ONE, At, Expert
from wxjax.nn.routing import Choice

BLOCK = 64  # rows of one step of the blocked loop


def count_experts(params: Any) -> int:
    return jax.tree.leaves(params)[0].shape[0]


def every(expert: Expert, params: Any, x: Float[Array, "t *views d"]) -> Float[Array, "e t d"]:
    """What each expert makes of each token."""
    one = lambda params, x: expert.apply(params, x, ONE)
    return jax.vmap(one, (0, 1 if x.ndim == 3 else None))(params, x)


def dense(
    expert: Expert, params: Any, x: Float[Array, "t *views d"], choice: Choice
) -> Float[Array, "t d"]:
    """Every expert on every token, times its weight, which is mostly 0."""
    weights = routing.scatter(choice, count_experts(params))
    return jnp.einsum("te,etd->td", weights.astype(x.dtype), every(expert, params, x))


def folded(
    expert: Expert, params: Any, x: Float[Array, "t d"], choice: Choice
) -> Float[Array, "t d"]:
    """`dense` in one matrix product over (expert, feature); its gradient costs two.

    Raises:
      InputError: for experts that are not linear in their input.
    """
    if expert.fold is None:
        raise errors.bad("executor", "folded", "needs experts that are linear in their input")
    weights = routing.scatter(choice, count_experts(params))
    return expert.fold(params, x, weights.astype(x.dtype))


def skip(
    expert: Expert, params: Any, x: Float[Array, "t *views d"], choice: Choice
) -> Float[Array, "t d"]:
    """A scan over experts; one that no token keeps is skipped at run time.

    Saves time where routing is coarse. The predicate is one number for all tokens: under
    `vmap` the conditional would compute both branches.
    """
    weights = routing.scatter(choice, count_experts(params)).astype(x.dtype)

    views = x.swapaxes(0, 1) if x.ndim == 3 else None

    def step(total, item):
        one, weight, view = item
        seen = x if view is None else view
        add = lambda: total + weight[:, None] * expert.apply(one, seen, ONE)
        return jax.lax.cond((weight > 0).any(), add, lambda: total), None

    zeros = jnp.zeros((x.shape[0], x.shape[-1]), x.dtype)
    return jax.lax.scan(step, zeros, (params, weights.T, views))[0]


class Rows(NamedTuple):
    """(token, slot) pairs in the order of their experts; unused slots last.

    Attributes:
      order: `[r]` the pair (token * slots + slot) at each place.
      place: `[t s]` the place of each pair.
      expert: `[r]` the expert at each place; the number of experts for an unused slot.
      sizes: `[e]` rows of each expert.
    """

    order: Int[Array, "r"]
    place: Int[Array, "t s"]
    expert: Int[Array, "r"]
    sizes: Int[Array, "e"]


def sort(choice: Choice, k: int) -> Rows:
    """The rows to compute, those of one expert together."""
    expert = jnp.where(choice.weight > 0, choice.index, k).reshape(-1)
    order = jnp.argsort(expert, stable=True).astype(jnp.int32)
    place = jnp.zeros_like(order).at[order].set(jnp.arange(len(order), dtype=jnp.int32))
    sizes = jnp.bincount(expert, length=k).astype(jnp.int32)
    return Rows(order, place.reshape(choice.index.shape), expert[order], sizes)


def seen_by(x: Float[Array, "t *views d"], token: Int[Array, "r"], expert: Int[Array, "r"]):
    """The rows `[r d]` that experts get to see of their tokens."""
    if x.ndim == 2:
        return x[token]
    return x[token, jnp.minimum(expert, x.shape[1] - 1)]


def combine(
    y: Float[Array, "r d"], place: Int[Array, "t s"], weight: Float[Array, "t s"]
) -> Float[Array, "t d"]:
    """Weighted sum of each token's rows; an unused slot's row may hold anything."""
    rows = jnp.where((weight > 0)[..., None], y[jnp.minimum(place, y.shape[0] - 1)], 0)
    return jnp.einsum("ts,tsd->td", weight.astype(y.dtype), rows)


def grouped(
    expert: Expert, params: Any, x: Float[Array, "t *views d"], choice: Choice
) -> Float[Array, "t d"]:
    """Sorted rows through `ragged_dot`, over the smallest budget of rows that holds them all.

    Budgets are t, 2t, 4t, ... and t times the slots, which holds everything: no token is
    ever dropped. Differentiable.
    """
    k, (tokens, slots) = count_experts(params), choice.index.shape
    rows = sort(choice, k)
    budgets = [tokens * n for n in (1, 2, 4, 8, 16) if n < slots] + [tokens * slots]

    def within(budget, params, x, weight):
        ids = jnp.minimum(rows.expert[:budget], k - 1)
        at = At(
            dot=lambda z, kernel: jax.lax.ragged_dot(z, kernel, rows.sizes),
            row=lambda vector: vector[ids],
        )
        seen = seen_by(x, rows.order[:budget] // slots, rows.expert[:budget])
        y = expert.apply(params, seen, at)
        return combine(y, rows.place, weight)

    branches = [functools.partial(within, budget) for budget in budgets]
    bucket = jnp.searchsorted(jnp.array(budgets), rows.sizes.sum())
    return jax.lax.switch(bucket, branches, params, x, choice.weight)


def blocked(
    expert: Expert, params: Any, x: Float[Array, "t *views d"], choice: Choice
) -> Float[Array, "t d"]:
    """Sorted rows in blocks of `BLOCK` of one expert each.

    Shapes are static, the trip count is not: time follows the number of experts kept.
    The gradient is a loop of the same kind.
    """
    rows = sort(choice, count_experts(params))
    slots = choice.index.shape[1]
    seen = seen_by(x, rows.order // slots, rows.expert)
    y = _loop(expert.apply, params, seen, rows.sizes)
    return combine(y, rows.place, choice.weight)


def _plan(sizes: Int[Array, "e"], rows: int) -> tuple[Array, Array, Array, Array]:
    """Expert, first row and number of rows of every block, and how many blocks there are."""
    bound = -(-rows // BLOCK) + len(sizes)
    blocks = -(-sizes // BLOCK)
    ends = jnp.cumsum(blocks)
    i = jnp.arange(bound)
    owner = jnp.minimum(jnp.searchsorted(ends, i, side="right"), len(sizes) - 1)
    within = (i - (ends - blocks)[owner]) * BLOCK
    start = (jnp.cumsum(sizes) - sizes)[owner] + within
    return owner, start, jnp.minimum(sizes[owner] - within, BLOCK), ends[-1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loop(apply, params, x, sizes):
    """Each row of x `[r d]` through the expert that owns it.

    A block writes `BLOCK` rows wherever it starts; what it writes beyond its expert's rows
    is overwritten by the next block, or never read.
    """
    owner, start, _, used = _plan(sizes, x.shape[0])
    padded = jnp.pad(x, ((0, BLOCK), (0, 0)))

    def step(i, y):
        part = jax.lax.dynamic_slice_in_dim(padded, start[i], BLOCK)
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[owner[i]], params)
        return jax.lax.dynamic_update_slice_in_dim(y, apply(one, part, ONE), start[i], 0)

    return jax.lax.fori_loop(0, used, step, jnp.zeros_like(padded))[: x.shape[0]]


def _loop_forward(apply, params, x, sizes):
    return _loop(apply, params, x, sizes), (params, x, sizes)


def _loop_backward(apply, kept, dy):
    params, x, sizes = kept
    owner, start, length, used = _plan(sizes, x.shape[0])
    padded, dy = (jnp.pad(a, ((0, BLOCK), (0, 0))) for a in (x, dy))

    def step(i, carry):
        dparams, dx = carry
        part, dpart = (jax.lax.dynamic_slice_in_dim(a, start[i], BLOCK) for a in (padded, dy))
        dpart = jnp.where(jnp.arange(BLOCK)[:, None] < length[i], dpart, 0)
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[owner[i]], params)
        done, d = jax.vjp(lambda p, z: apply(p, z, ONE), one, part)[1](dpart)
        dparams = jax.tree.map(lambda a, b: a.at[owner[i]].add(b), dparams, done)
        return dparams, jax.lax.dynamic_update_slice_in_dim(dx, d, start[i], 0)

    zeros = jax.tree.map(jnp.zeros_like, (params, padded))
    dparams, dx = jax.lax.fori_loop(0, used, step, zeros)
    total = sizes.sum()  # rows of unused slots hold what the last block left behind
    dx = jnp.where(jnp.arange(x.shape[0])[:, None] < total, dx[: x.shape[0]], 0)
    return dparams, dx, None


_loop.defvjp(_loop_forward, _loop_backward)


def merged(
    expert: Expert, params: Any, x: Float[Array, "b t d"], choice: Choice
) -> Float[Array, "b t d"]:
    """Each image's experts as one matrix; `choice` `[b s]` is the image's, not a token's.

    Raises:
      InputError: for experts whose mixture is no expert, such as those with a nonlinearity.
    """
    if expert.merge is None:
        raise errors.bad("executor", "merged", "needs experts that are linear in their input")
    weights = routing.scatter(choice, count_experts(params)).astype(x.dtype)
    one = lambda w, tokens: expert.apply(expert.merge(params, w), tokens, ONE)
    return jax.vmap(one)(weights, x)


TOKEN_LEVEL = {
    "dense": dense,
    "folded": folded,
    "skip": skip,
    "grouped": grouped,
    "blocked": blocked,
}
NAMES = ("auto", *TOKEN_LEVEL)


def room(tokens: int, slots: int, experts: int, factor: float) -> int:
    """Rows of one expert's buffer: `factor` times its even share, in steps of 4."""
    return min(tokens, 4 * math.ceil(factor * slots * tokens / experts / 4))


def capacity(
    expert: Expert,
    params: Any,
    x: Float[Array, "t *views d"],
    choice: Choice,
    factor: float = 1.25,
    priority: bool = False,
) -> tuple[Float[Array, "t d"], Float[Array, ""]]:
    """Buffers of `room` rows an expert: one shape whatever the routing, for accelerators.

    Args:
      priority: heavy rows are served first, instead of first tokens (Riquelme et al., 2021).

    Returns:
      The mixture without the rows that did not fit, and their share of the rows kept.
    """
    k, (tokens, slots) = count_experts(params), choice.index.shape
    size = room(tokens, slots, k, factor)
    used = choice.weight > 0
    key = jnp.where(used, choice.index, k).reshape(-1)
    served = jnp.argsort(-choice.weight.reshape(-1)) if priority else jnp.arange(tokens * slots)
    order = served[jnp.argsort(key[served], stable=True)]
    sizes = jnp.bincount(key, length=k + 1)
    within = jnp.arange(tokens * slots) - (jnp.cumsum(sizes) - sizes)[key[order]]
    fits = (within < size) & (key[order] < k)
    slot = jnp.where(fits, key[order] * size + within, k * size)
    token = jnp.zeros(k * size + 1, jnp.int32).at[slot].set(order // slots)[:-1]
    seen = seen_by(x, token, jnp.repeat(jnp.arange(k), size)).reshape(k, size, -1)
    y = jax.vmap(lambda one, rows: expert.apply(one, rows, ONE))(params, seen)
    place = jnp.zeros(tokens * slots, jnp.int32).at[order].set(slot).reshape(tokens, slots)
    weight = jnp.where(place < k * size, choice.weight, 0)
    lost = (used & (place >= k * size)).sum() / jnp.maximum(used.sum(), 1)
    return combine(y.reshape(k * size, -1), place, weight), lost.astype(jnp.float32)


def where_kept(
    apply: Callable[[Array], Array],
    x: Float[Array, "t *d"],
    weight: Float[Array, "t"],
    block: int = 8,
) -> Float[Array, "t f"]:
    """weight * apply(x) where the weight is not 0, in blocks of `block` tokens; 0 elsewhere.

    For experts that share no program, such as windows of different sizes: time follows the
    number of tokens that keep this one. Inference only: the loop's trip count is not static.
    """
    t = x.shape[0]
    shape = jax.eval_shape(apply, jax.ShapeDtypeStruct((block, *x.shape[1:]), x.dtype))
    order = jnp.argsort(weight == 0, stable=True)
    padded = jnp.concatenate([order, jnp.full(block, t)])
    count = (weight > 0).sum()

    def step(i, y):
        place = jax.lax.dynamic_slice_in_dim(padded, i * block, block)
        token = jnp.minimum(place, t - 1)
        made = apply(x[token]) * weight[token][:, None]
        return y.at[place].set(made, mode="drop")

    zeros = jnp.zeros((t, *shape.shape[1:]), shape.dtype)
    return jax.lax.fori_loop(0, -(-count // block), step, zeros)


def run(
    name: str, expert: Expert, params: Any, x: Float[Array, "t *views d"], choice: Choice
) -> Float[Array, "t d"]:
    """sum_s weight_s expert_{index_s}(x) by the executor of that name.

    'auto' is what `experiments/bench/experts.md` found fastest on a CPU; elsewhere, where
    nothing was measured yet, it is the plainest.

    Raises:
      InputError: for an unknown name, or experts that the executor cannot run.
    """
    if name == "auto":
        name = fastest(expert, choice.index.shape[1], count_experts(params))
    if name not in TOKEN_LEVEL:
        raise errors.unknown("executor", name, NAMES)
    return TOKEN_LEVEL[name](expert, params, x, choice)


def fastest(expert: Expert, slots: int, experts: int) -> str:
    """The executor that 'auto' stands for, where a token keeps at most `slots` of `experts`."""
    if jax.default_backend() == "cpu" and slots < experts:
        return "blocked"
    return "folded" if expert.fold else "dense"
