"""One optimisation step, as a pure function."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from wxjax import errors
from wxjax import mesh as meshes
from wxjax.task import Task
from wxjax.train.state import TrainState, join, trained


def _gradient(task: Task, state: TrainState, batch: dict, key: Any, frozen: Any, stats: Any):
    """Gradients of the trained parameters alone: XLA never builds the frozen ones' backward."""
    fixed = jax.lax.stop_gradient(state.params)

    def objective(params):
        variables = {"params": join(params, fixed, frozen), **stats}
        return task.loss(variables, batch, key, state.step)

    (loss, (metrics, stats)), grads = jax.value_and_grad(objective, has_aux=True)(
        trained(state.params, frozen)
    )
    return grads, {**metrics, "loss": loss}, stats


def _accumulated(task: Task, state: TrainState, batch: dict, key: Any, frozen: Any, parts: int):
    """The mean over `parts` micro-batches, scanned so that one is in memory at a time."""
    if parts == 1:
        return _gradient(task, state, batch, key, frozen, state.stats)

    def cut(x):
        # Every parts-th row, so that each device keeps the rows it holds.
        return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)

    def body(stats, part):
        number, rows = part
        inner = jax.random.fold_in(key, number)
        grads, metrics, stats = _gradient(task, state, rows, inner, frozen, stats)
        return stats, (grads, metrics)

    def add(carry, part):
        stats, sums = carry
        stats, out = body(stats, part)
        return (stats, jax.tree.map(jnp.add, sums, out)), None

    rows = jax.tree.map(cut, batch)
    first = (jnp.int32(0), jax.tree.map(lambda x: x[0], rows))
    shapes = jax.eval_shape(body, state.stats, first)[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (stats, sums), _ = jax.lax.scan(add, (state.stats, zeros), (jnp.arange(parts), rows))
    grads, metrics = jax.tree.map(lambda x: x / parts, sums)
    return grads, metrics, stats


def averaging(step: Any, ema_decay: float) -> Any:
    """The decay of the moving average at `step`: min(ema_decay, (1 + step) / (10 + step)).

    The ramp of TensorFlow's ExponentialMovingAverage(num_updates): without it the average of a
    short run is mostly its random start.
    """
    return jnp.minimum(ema_decay, (1.0 + step) / (10.0 + step))


def train_step(
    state: TrainState,
    batch: dict[str, Any],
    *,
    task: Task,
    tx: optax.GradientTransformation,
    rate: optax.Schedule,
    frozen: Any,
    seed: int,
    ema_decay: float,
    accumulate: int = 1,
) -> tuple[TrainState, dict[str, Any]]:
    """Returns the next state and the step's scalar metrics.

    With `accumulate` n the batch [b ...] is seen as n micro-batches of b/n; gradients and metrics
    are their means, so one step stays one update.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    grads, metrics, stats = _accumulated(task, state, batch, key, frozen, accumulate)
    now = trained(state.params, frozen)
    updates, opt_state = tx.update(grads, state.opt_state, now)
    now = optax.apply_updates(now, updates)
    share = 1 - averaging(state.step, ema_decay)
    mean = optax.incremental_update(now, trained(state.ema, frozen), share)

    metrics = {
        **metrics,
        "grad_norm": optax.tree.norm(grads),
        "learning_rate": jnp.asarray(rate(state.step), jnp.float32),
    }
    params, ema = join(now, state.params, frozen), join(mean, state.ema, frozen)
    return TrainState(state.step + 1, params, stats, opt_state, ema), metrics


def compile_step(mesh: Mesh, shardings: Any, *, accumulate: int = 1, **constants: Any):
    """The step over a mesh, for batches of any shape: each shape is compiled when first seen.

    The state lies as `shardings` says and is donated; the batch is split on its first axis.

    Args:
      constants: `task, tx, rate, frozen, seed, ema_decay` of `train_step`.

    Returns:
      `step(state, batch) -> (state, metrics)`; the state passed in is gone afterwards.
    """
    return jax.jit(
        functools.partial(train_step, accumulate=accumulate, **constants),
        in_shardings=(shardings, meshes.by_batch(mesh)),
        out_shardings=(shardings, meshes.replicated(mesh)),
        donate_argnames="state",
    )


def check_batch(batch: dict[str, Any], accumulate: int) -> int:
    """The batch's size.

    Raises:
      InputError: where it does not divide into `accumulate` parts.
    """
    size = len(next(iter(batch.values())))
    if accumulate < 1 or size % accumulate:
        raise errors.bad("accumulate", accumulate, f"expected a divisor of the batch size {size}")
    return size


@jax.jit
def finite(tree: Any) -> Any:
    """Whether every number of `tree` is one."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()
