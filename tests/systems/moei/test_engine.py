"""The tiled engine is the plain network, whatever the route, the size or the tiles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.moei import get_config
from tests import drawn
from wxjax import errors
from wxjax.nn import experts
from wxjax.ops import tile
from wxjax.systems.moei import decoder, engine, reading, router, task

KEY = jax.random.key(0)


def at_length(value):
    return pytest.param(value, marks=pytest.mark.nightly)


def build(where="decoder", shell="adapter", kind="mlp", **tiles):
    """An engine at the test size and random variables, with each expert's whole tree."""
    config = get_config("tiny")
    config.model.shell.update(kind=shell, where=where)
    config.router.kind = kind
    config.tiles.update(dict(tile=32, overlap=0, blend="hann", mode="global", batch_size=2) | tiles)
    built = task.make_engine(config)
    flat = experts.flatten(drawn.variables(built.shelled.init, KEY, jnp.zeros((1, 32, 32, 3))))
    flat = {name.removeprefix("params/"): leaf for name, leaf in flat.items()}
    owned = experts.differing(list(flat), ["decoder/output/.*"])
    whole = [
        experts.unflatten({n: x * (0.5 + k) if n in owned else x for n, x in flat.items()})
        for k in range(4)
    ]
    empty = {"vector": np.zeros((1, reading.features([8, 16]))), "grid": np.zeros((1, 8, 8, 16))}
    gate = drawn.variables(lambda: task.init_router(built.router, KEY, empty), noise=0.5)
    shared = experts.unflatten({n: x for n, x in flat.items() if "/shell" not in n})
    variables = {
        "params": {
            "backbone": shared,
            "experts": experts.stack(whole, owned),
            "router": gate["params"]["router"],
        },
        "calibration": router.uncalibrated(),
    }
    return built, variables, whole


def plainly(built, params, image, said=False):
    """The whole network on one image, without the engine."""
    return jax.jit(built.shelled.apply, static_argnums=2)({"params": params}, image[None], said)


def agree(found, expected):
    """To 2e-5 of the largest value: random weights make large ones."""
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def program(built, variables):
    compiled = jax.jit(functools.partial(engine.restore_tiles, built))
    call = functools.partial(compiled, variables)  # as an argument: XLA folds constants slowly

    def run(image, force=-1):
        size = dict(tile=built.tiles.tile, overlap=built.tiles.overlap, blend=built.tiles.blend)
        return tile.through(call, np.asarray(image), **size, force=np.int32(force))

    run.compiled = compiled
    return run


@pytest.mark.parametrize("shell", ["adapter", "lora", "film"])
def test_every_route_equals_the_whole_network_and_compiles_once(shell):
    built, variables, whole = build(shell=shell)
    run = program(built, variables)
    image = jax.random.uniform(KEY, (96, 64, 3))
    for index, params in enumerate(whole):
        expected, vector = plainly(built, params, image, True)
        found, said = run(image, index)
        agree(found, expected[0])
        assert int(said["route"][0]) == index
        mean = said["vector"][:, : vector.shape[1]]  # then statistics, see test_signs.py
        np.testing.assert_allclose(mean, vector, rtol=1e-4, atol=1e-4)
    assert run.compiled._cache_size() == 1


@pytest.mark.parametrize("where", ["all", at_length("bottleneck_decoder")])
def test_shells_before_the_decoder_take_a_second_pass(where):
    built, variables, whole = build(where=where)
    image = jax.random.uniform(KEY, (64, 64, 3))
    found, _ = program(built, variables)(image, 2)
    expected = plainly(built, whole[2], image)
    agree(found, expected[0])


@pytest.mark.parametrize("kind", ["mlp", "tiny_vit", at_length("convnext_t")])
def test_the_router_decides_alike_for_images_and_tiles(kind):
    built, variables, _ = build(kind=kind)
    images = jax.random.uniform(KEY, (2, 96, 64, 3)) * jnp.array([1.0, 0.3])[:, None, None, None]
    together = jax.jit(functools.partial(engine.restore_images, built))(variables, images)
    for i in range(2):
        alone, said = program(built, variables)(images[i])
        agree(alone, together["image"][i])
        np.testing.assert_allclose(said["weights"][0], together["weights"][i], atol=1e-5)
        assert int(said["route"][0]) == 1 + int(np.argmax(said["weights"]))
        np.testing.assert_allclose(np.sum(said["weights"]), 1, rtol=1e-5)


def test_a_threshold_above_every_probability_gives_dense():
    built, variables, whole = build()
    variables["calibration"]["threshold"] = jnp.float32(1.1)
    image = jax.random.uniform(KEY, (32, 32, 3))
    found, said = program(built, variables)(image)
    assert said["abstained"][0] and int(said["route"][0]) == 0
    expected = plainly(built, whole[0], image)
    agree(found, expected[0])


@pytest.mark.parametrize("mode", ["global", at_length("local")])
def test_two_hundred_sizes_need_a_handful_of_programs(mode):
    built, variables, _ = build(tile=64, overlap=16, mode=mode, batch_size=1)
    run = program(built, variables)
    rng = np.random.default_rng(0)
    for h, w in [(1, 1), (1, 97), (63, 64), (64, 65)]:
        restored, said = run(rng.random((h, w, 3), np.float32))
        assert restored.shape == (h, w, 3)
        assert np.isfinite(restored).all() and np.isfinite(said["weights"]).all()
    assert run.compiled._cache_size() == 2
    shapes = set()

    def same(batch):
        shapes.add(str(jax.tree.map(np.shape, batch)))
        return {"tiles": batch["tiles"]}

    for h, w in rng.integers(1, 200, (200, 2)):
        image = rng.random((h, w, 3), np.float32)
        restored, _ = tile.through(same, image, tile=64, overlap=16, blend=built.tiles.blend)
        np.testing.assert_allclose(restored, image, atol=1e-6)
    assert len(shapes) <= 8


def test_local_mode_is_each_tile_alone():
    built, variables, whole = build(mode="local")
    image = jax.random.uniform(KEY, (64, 32, 3))
    found, _ = program(built, variables)(image, 1)
    for place in (np.s_[:32], np.s_[32:]):
        alone = plainly(built, whole[1], image[place])
        agree(found[place], alone[0])


def test_an_8_bit_image_reads_as_its_floats():
    built, variables, _ = build()
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    run = program(built, variables)
    agree(run(image)[0], run(image / np.float32(255))[0])


def test_an_int8_router_keeps_the_decisions_of_a_confident_one():
    built, variables, _ = build()
    vectors = jax.random.normal(KEY, (64, reading.features(built.bare.model.dims)))
    grids = jnp.zeros((64, 8, 8, 16))
    params = variables["params"]["router"]
    full = router.logits(built.router, params, vectors, grids)
    small = router.logits(built.router, params, vectors, grids, int8=True)
    assert np.mean(full.argmax(-1) == small.argmax(-1)) > 0.9
    error, size = (np.sqrt(np.mean(np.square(x))) for x in (full - small, full))
    assert error < 0.04 * size
    assert all(
        leaf.dtype == jnp.int8 or leaf.ndim < 3
        for leaf in jax.tree.leaves(router.quantize(params["net"]))
    )


def test_pooling_a_token_grid_by_hand():
    tokens = jnp.arange(16.0).reshape(16, 1)
    position = np.stack(np.mgrid[:4, :4], -1).reshape(-1, 2)
    grid = router.pool_grid(tokens, jnp.asarray(position), jnp.ones(16), np.array([4, 4]))
    assert float(grid[0, 0, 0]) == 0.0 and float(grid[6, 6, 0]) == 15.0
    assert float(grid[1, 1, 0]) == 7.5  # an empty cell takes the mean


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(tile=40), "config.tiles.tile=40: expected a multiple of the model's region of 32 px"),
        (dict(overlap=3), "config.tiles.overlap=3: expected a multiple of 8 px"),
        (dict(mode="globl"), "config.tiles.mode='globl'.*Did you mean 'global'"),
    ],
)
def test_tiles_that_do_not_fit_the_model_are_refused(change, message):
    config = get_config("tiny")
    tiles = FrozenConfigDict(config.tiles.to_dict() | change)
    with pytest.raises(errors.InputError, match=message):
        engine.check_tiles(config.model, tiles)


def test_the_pixel_head_adds_nothing_at_first_and_repeats_the_border():
    head = decoder.PixelHead(width=4)
    x, image = (jax.random.uniform(jax.random.fold_in(KEY, i), (1, 8, 8, 3)) for i in (0, 1))
    fresh = head.init(KEY, x, image)
    np.testing.assert_array_equal(head.apply(fresh, x, image), 0)
    noisy = jax.tree.map(lambda a: a + jax.random.normal(KEY, a.shape), fresh)
    flat = head.apply(noisy, jnp.full_like(x, 0.3), jnp.full_like(image, 0.7))
    np.testing.assert_allclose(flat, jnp.broadcast_to(flat[:, :1, :1], flat.shape), atol=1e-4)


def test_an_unknown_head_is_named():
    config = get_config("tiny")
    config.model.decoder.head = "cubic"
    net = task.make_engine(config).bare
    with pytest.raises(errors.InputError, match="model.decoder.head"):
        jax.eval_shape(net.init, KEY, jnp.zeros((1, 32, 32, 3)))
