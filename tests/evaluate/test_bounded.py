"""Tiles some at a time: the picture of all at once, within a budget, fewer where it fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from wxjax import errors
from wxjax.evaluate import bounded, runner
from wxjax.task import Task

TILES = ConfigDict({"tile": 16, "overlap": 4, "blend": "hann"})


def task(scale: int = 1) -> Task:
    """Brightens, enlarges by repetition, and says how dark its tiles are."""

    def predict(variables, batch):
        tiles = batch["tiles"] * variables["gain"]
        tiles = jnp.repeat(jnp.repeat(tiles, scale, 1), scale, 2)
        real = jnp.arange(len(tiles)) < batch["count"]
        mean = (batch["tiles"].mean((1, 2, 3)) * real).sum() / batch["count"]
        return {"tiles": tiles, "dark": 1 - mean[None]}

    nothing = lambda *_: None
    return Task(init=nothing, loss=nothing, predict=predict, measure=nothing, summarize=nothing,
                scale=scale)  # fmt: skip


def picture(h: int = 61, w: int = 83) -> np.ndarray:
    return np.random.default_rng(0).random((h, w, 3), np.float32)


@pytest.mark.parametrize("scale", [1, 4])
def test_pieces_make_the_picture_that_all_tiles_make_at_once(scale):
    variables = {"gain": np.float32(1.5)}
    whole, _ = runner.Restorer(task(scale), variables, TILES)(picture())
    inner = bounded.Restorer(task(scale), variables, TILES)
    for size in (1, 3, 5, 100):
        found, said = inner._pieces(picture(), *pieces(inner, size))
        np.testing.assert_allclose(found, whole, atol=2e-6)
        assert found.shape == (61 * scale, 83 * scale, 3) and said["latency_ms"] > 0


def pieces(inner, size):
    from wxjax.ops.canvas import Cover

    return Cover(61, 83, 16, 4), size, {}


def test_a_budget_is_kept_or_refused_in_one_line():
    variables = {"gain": np.float32(1)}
    with pytest.raises(errors.InputError, match=r"memory=0.00GiB: 83x61 takes .* --memory"):
        bounded.Restorer(task(), variables, TILES, 1024)(picture())
    found, said = bounded.Restorer(task(), variables, TILES, 64 << 30)(picture())
    np.testing.assert_allclose(found, picture(), atol=2e-6)
    assert said["batch"] >= 1 and said["dark"].shape == (1,)


@pytest.mark.parametrize("enough", [5, 1, 0])
def test_memory_that_runs_out_halves_the_tiles_for_good(enough, monkeypatch):
    inner = bounded.Restorer(task(), {"gain": np.float32(1)}, TILES)
    asked = []

    def run(image, cover, size, extra):
        asked.append(size)
        if size > enough:
            raise (
                MemoryError()
                if size % 2
                else jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            )
        return image, {}

    monkeypatch.setattr(inner, "_pieces", run)
    monkeypatch.setattr(runner.Restorer, "__call__", lambda *_, **__: run(None, None, 99, None))
    if not enough:
        with pytest.raises(errors.InputError, match="out of memory with one tile at a time"):
            inner(picture())
        return
    inner(picture())
    assert asked[-1] <= enough and asked == sorted(asked, reverse=True)
    inner(picture())
    assert asked[-1] == asked[-2]  # what did not fit once is not tried again


def test_another_fault_is_no_lack_of_memory(monkeypatch):
    inner = bounded.Restorer(task(), {"gain": np.float32(1)}, TILES)

    def fail(*_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(inner, "_pieces", fail)
    monkeypatch.setattr(runner.Restorer, "__call__", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        inner(picture())


def test_a_result_that_is_not_finite_is_of_its_own_kind():
    inner = bounded.Restorer(task(), {"gain": np.float32(np.nan)}, TILES)
    with pytest.raises(errors.NotFinite):
        inner._pieces(picture(), *pieces(inner, 4))


def test_a_plan_says_what_a_picture_takes_without_running_it():
    made = bounded.Restorer(task(4), {"gain": np.float32(1)}, TILES).plan(61, 83, np.uint8)
    assert made.size == (61, 83) and made.tiles == 35 and 1 <= made.batch <= made.tiles
    assert made.fixed > 16 * 61 * 83 * 3 * 4 and made.each > 0
    assert any("tiles at a time" in line for line in made.lines("a.png"))
