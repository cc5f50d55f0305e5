"""A streamed image is the whole one, whatever is kept, halved or split."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.systems.moei.test_engine import build, program
from wxjax import errors
from wxjax.evaluate import stream
from wxjax.evaluate.stream import Way
from wxjax.systems.moei import stream as parts
from wxjax.task import Task

IMAGE = np.random.default_rng(0).random((75, 110, 3), np.float32)
SAID = ("vector", "grid", "weights", "route", "abstained", "confidence", "logits")


def plug(built) -> Task:
    """The engine as a task that can stream and do nothing else."""
    prepare = functools.partial(parts.tables, built)
    return Task(*(None,) * 5, parts=parts.make(built), prepare=prepare)


def streamer(built, variables, way=None, **tiles):
    settings = ConfigDict(built.tiles.as_configdict().to_dict() | tiles)
    return stream.Streamer(plug(built), variables, settings, way)


def same(found, expected):
    scale = max(1, np.abs(expected[0]).max())  # random weights may shout
    np.testing.assert_allclose(found[0] / scale, expected[0] / scale, atol=1e-5)
    for name in SAID:
        np.testing.assert_allclose(found[1][name], expected[1][name], atol=1e-4, err_msg=name)


LOCAL = pytest.param(dict(mode="local"), marks=pytest.mark.nightly)


@pytest.mark.parametrize("tiles", [dict(tile=64, overlap=16), LOCAL], ids=str)
def test_streaming_is_the_whole_image_engine(tiles):
    built, variables, _ = build(**tiles)
    whole = program(built, variables)
    expected = {force: whole(IMAGE, force) for force in (-1, 2)}
    for keep in (True, False):
        run = streamer(built, variables, Way(3, keep))
        for force in (-1, 2):
            same(run(IMAGE, force), expected[force])


def test_shells_before_the_decoder_are_streamed_twice():
    built, variables, _ = build(where="all")
    small = IMAGE[:64, :64]
    whole = program(built, variables)
    same(streamer(built, variables, Way(2, False))(small, 3), whole(small, 3))


def test_four_devices_are_one():
    built, variables, _ = build(tile=64, overlap=16)
    one = streamer(built, variables)(IMAGE)
    for keep in (True, False):
        run = streamer(built, variables, Way(1, keep), devices=4)
        assert run.mesh.size == 4
        same(run(IMAGE), one)


def test_8_bits_in_are_8_bits_out_and_rounded_once():
    built, variables, _ = build()
    image = (IMAGE * 255).astype(np.uint8)
    run = streamer(built, variables)
    found, _ = run(image)
    expected, _ = run(image / np.float32(255))
    assert found.dtype == np.uint8
    exact = np.clip(expected, 0, 1) * 255
    assert np.abs(found - exact).max() < 0.501


def failing(run, part, times):
    """`run` whose part runs out of memory `times` times after its first success."""
    get, calls = run._program, []

    def program(name, arguments):
        compiled = get(name, arguments)

        def maybe(*args):
            if name == part:
                calls.append(jax.tree.leaves(args)[-1].shape)
                if 1 < len(calls) < 2 + times:
                    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return compiled(*args)

        return maybe

    run._program = program
    return run


@pytest.mark.parametrize("part", ["look", "finish"])
def test_running_out_of_memory_halves_the_batch_and_changes_no_pixel(part):
    built, variables, _ = build()
    expected = streamer(built, variables)(IMAGE)
    run = failing(streamer(built, variables, Way(4, True)), part, 2)
    same(run(IMAGE), expected)
    assert run.way == Way(1, True)


def test_maps_are_given_up_before_the_image_is():
    built, variables, _ = build()
    expected = streamer(built, variables)(IMAGE)
    run = failing(streamer(built, variables, Way(1, True)), "look", 1)
    same(run(IMAGE), expected)
    assert run.way == Way(1, False)
    crowded = failing(streamer(built, variables, Way(2, False)), "look", 9)
    with pytest.raises(errors.InputError, match="out of memory with one tile at a time"):
        crowded(IMAGE)


def test_another_error_is_no_lack_of_memory():
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        stream.fewer(Way(4, True), jax.errors.JaxRuntimeError("INTERNAL: broken"))


def test_an_image_that_is_not_finite_is_refused():
    built, variables, _ = build()
    variables["params"]["backbone"] = jax.tree.map(
        lambda x: x * jnp.nan, variables["params"]["backbone"]
    )
    with pytest.raises(errors.InputError, match="output is not finite"):
        streamer(built, variables)(IMAGE)


def test_tables_are_computed_once_a_checkpoint_and_are_what_they_replace():
    built, variables, _ = build()
    prepared = parts.tables(built, variables)
    assert parts.tables(built, prepared)["tables"] is prepared["tables"]
    spoilt = jax.tree_util.tree_map_with_path(
        lambda path, x: x * jnp.nan if "cpb_" in str(path) else x, prepared["params"]
    )
    tiles = jnp.asarray(IMAGE[None, :32, :32])
    plain = parts.look(built, variables, 0, tiles)["tokens"]
    read = parts.look(built, {**prepared, "params": spoilt}, 0, tiles)["tokens"]
    np.testing.assert_allclose(read, plain, atol=1e-5)


def test_kept_maps_come_back_in_their_batches_or_in_others():
    batches = [np.arange(6.0).reshape(3, 2), np.arange(6.0, 12).reshape(3, 2)]
    for on_device in (False, True):
        maps = stream.Maps(on_device)
        maps.put(range(0, 3), [jnp.asarray(batches[0])])
        maps.put(range(3, 5), [jnp.asarray(batches[1])])  # its third row is padding
        whole = maps.get(range(0, 3), 3)[0]
        assert isinstance(whole, jax.Array) == on_device
        np.testing.assert_array_equal(whole, batches[0])
        np.testing.assert_array_equal(maps.get(range(3, 5), 3)[0][:2], batches[1][:2])
        crossing = maps.get(range(2, 4), 4)[0]
        np.testing.assert_array_equal(crossing, [[4, 5], [6, 7], [0, 0], [0, 0]])
        maps.put(range(5, 7), [])  # a network without skips
        assert maps.get(range(5, 6), 1) == []
        maps.drop(range(0, 3))
        with pytest.raises(KeyError):
            maps.get(range(0, 3), 3)
