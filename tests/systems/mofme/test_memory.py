"""A film's stream within a memory: as many tiles at a time as fit, asked before the first frame."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.evaluate import plan
from wxjax.systems.mofme import measure as streaming
from wxjax.task import Stream, Task


def task(batch):
    """A system whose work space grows with the tiles at a time: 1 MiB each."""

    def step(variables, state, frame, remember):
        room = jnp.sin(jnp.arange(batch * 2**18, dtype=jnp.float32) + state["sum"])
        room = jnp.sort(room)  # not to be fused away
        total = state["sum"] + frame.mean() + 0 * room.sum()
        return {"sum": total}, frame.astype(jnp.float32) / 255, {"batch": jnp.int32(batch)}

    plug = Task(*[lambda *_: None] * 5)
    init = lambda height, width: {"sum": jnp.float32(0)}
    return plug._replace(stream=Stream(init, step, lambda state: state))


def streamer(budget=None, batch=32):
    return streaming.Streamer(task(batch), {"w": np.zeros(4, np.float32)}, batch=batch,
                              rebuild=task, budget=budget)  # fmt: skip


FRAME = np.full((16, 24, 3), 255, np.uint8)


def test_all_tiles_at_a_time_where_they_fit():
    run = streamer()
    need = run.fit(16, 24, np.uint8)
    state, restored, said = run.step(run.start(16, 24), FRAME)
    assert int(said["batch"]) == 32 and restored.max() == 1
    assert need > plan.resident() / 2


def test_fewer_where_memory_is_short_and_a_line_where_none_fit(monkeypatch):
    monkeypatch.setattr(plan, "resident", lambda: 10 * 2**20)
    run = streamer(budget=24 * 2**20)
    need = run.fit(16, 24, np.uint8)
    assert 1 <= run.batch < 32 and need <= 24 * 2**20
    _, _, said = run.step(run.start(16, 24), FRAME)
    assert int(said["batch"]) == run.batch
    with pytest.raises(errors.InputError, match="a film of 24x16 takes .* with one tile at a time"):
        streamer(budget=10 * 2**20).fit(16, 24, np.uint8)


def test_half_as_many_until_there_is_one():
    run = streamer(batch=4)
    assert [run.smaller() for _ in range(3)] == [True, True, False] and run.batch == 1
    _, restored, said = run.step(run.start(16, 24), FRAME)
    assert int(said["batch"]) == 1 and jax.tree.leaves(restored)
