"""The one loop that trains any task."""

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from wxjax import errors, lock
from wxjax import mesh as meshes
from wxjax.task import Task
from wxjax.train import checkpoint, manifest, once, optimizer, signals
from wxjax.train.progress import Bar
from wxjax.train.session import Session
from wxjax.train.state import TrainState
from wxjax.train.step import check_batch, compile_step


def train(
    task: Task,
    config: Any,
    batches: Any,
    workdir: os.PathLike | str,
    *,
    variables: Any = None,
    evaluate: Callable[[Any, int], dict[str, float]] | None = None,
    mesh: Mesh | None = None,
    name: str = "train",
) -> TrainState:
    """Trains `task` for `config.num_steps` updates; a finished run returns at once.

    The same call continues a run that was killed, and ends equal to the bit with one that was
    not. `workdir` gets checkpoints/, TensorBoard event files, metrics.jsonl and timing.jsonl.

    Args:
      config: `seed`, and what `configs/common.py: training` has; durations in steps.
      batches: a Grain dataset iterator of dicts of arrays [b ...]. Its attribute `source`, if it
        has one, is compared by repr on resuming.
      variables: start values instead of `task.init`.
      evaluate: `(variables, step) -> {name: float}` on averaged parameters, which it must not
        keep: the next step reuses their memory.
      name: what the run is called on the screen.

    Raises:
      InputError: for a slip in the config, changed data, a damaged or locked workdir, a save
        that failed; its subclass TrainingDiverged for a NaN.
      Stopped: after SIGTERM, SIGINT or SIGHUP, when the state is saved.
    """
    workdir = pathlib.Path(workdir)
    example, mesh = _first(batches, config, mesh)
    key = jax.random.key(config.seed)
    given = None if variables is None else jax.device_get(variables)
    shapes = jax.eval_shape(task.init, key, example) if given is None else given
    frozen = optimizer.frozen(shapes["params"], tuple(config.optimizer.frozen))
    tx, rate = optimizer.make(config.optimizer, config.num_steps)
    create = functools.partial(TrainState.create, tx=tx, frozen=frozen)
    abstract, shardings = _placed(jax.eval_shape(create, shapes), mesh, config.mesh.fsdp)
    names = ("seed", "ema_decay", "accumulate")
    constants = {name: getattr(config, name) for name in names}
    constants |= dict(task=task, tx=tx, rate=rate, frozen=frozen)
    step_fn = compile_step(mesh, shardings, **constants)

    with Bar(name, config.num_steps) as bar:
        done = _finished(workdir / "checkpoints", config.num_steps, abstract, batches)
        if done is not None:
            bar.say(f"finished before, at step {int(done.step)}")
            return done
        with (
            lock.hold(workdir, writes=jax.process_index() == 0) as held,
            checkpoint.Store(
                workdir / "checkpoints",
                keep=config.checkpoint.keep,
                best=getattr(config.checkpoint, "best", ""),
                warn=bar.say,
            ) as store,
            signals.listen() as requests,
        ):
            found = store.newest()
            _check_length(found, config.num_steps, workdir)
            if found:
                state = checkpoint.restore(store.folder, *found, abstract, batches)
                bar.say(f"goes on from step {found[0]}")
            else:
                begin = create if given else lambda batch: create(task.init(key, batch))
                state = once.jit(begin, out_shardings=shardings)(given or example)
            about = found[1] if found else {}
            with Session(config, workdir, store, bar, held, requests, evaluate, about) as session:
                return _run(state, step_fn, batches, mesh, session, config.num_steps)


def _first(batches: Any, config: Any, mesh: Mesh | None) -> tuple[dict[str, Any], Mesh]:
    """The first batch as numbers on the devices, and the mesh where none is given."""
    example = _peek(batches)
    size = check_batch(example, config.accumulate)
    if mesh is None:
        mesh = meshes.make(config.mesh.devices, batch_size=size // config.accumulate)
    return _numbers(meshes.put(example, mesh)), mesh


def _placed(abstract: TrainState, mesh: Mesh, fsdp: bool) -> tuple[TrainState, TrainState]:
    """Shapes of the state with the devices that hold them, and these alone."""
    shardings = meshes.shardings(abstract, mesh, fsdp)
    place = lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)
    return jax.tree.map(place, abstract, shardings), shardings


def _check_length(found: Any, num_steps: int, workdir: pathlib.Path) -> None:
    if found and found[0] > num_steps:
        raise errors.bad("num_steps", num_steps, f"the run in {str(workdir)!r} is at {found[0]}")


def _run(state, step_fn, batches, mesh, session, num_steps: int) -> TrainState:
    """Step after step; what is due between two is the session's, in the order written here."""
    step = int(state.step)
    ended = session.evaluate_left_over(state, step)
    while step < num_steps and not ended:
        batch = _numbers(meshes.put(next(batches), mesh))
        state, metrics = session.compiled(step_fn, state, batch)(state, batch)
        step += 1
        session.log(step, metrics, batch.get("index"))  # reads the step before: no waiting
        ended = session.evaluate_and_save_if_due(state, batches, step)
    session.finish(step)
    return state


def _peek(batches: Any) -> dict[str, Any]:
    """The next batch, which stays the next."""
    position = batches.get_state()
    batch = next(batches)
    batches.set_state(position)
    return batch


def _numbers(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: x for name, x in batch.items() if isinstance(x, jax.Array)}


def _finished(folder: pathlib.Path, num_steps: int, abstract: TrainState, batches: Any):
    """The state of a run whose last checkpoint stands intact, read without taking the lock."""
    have = checkpoint.steps(folder)
    last = num_steps if num_steps in have else max(have, default=0)
    if not last:
        return None
    try:
        about = manifest.verify(folder / str(last))
    except manifest.Damaged:
        return None  # said, and mended from the step before, by whoever holds the lock
    if not about["evaluated"] or not (last == num_steps or about.get("ended")):
        return None
    return checkpoint.restore(folder, last, about, abstract, batches)
