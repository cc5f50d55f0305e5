"""What a run promises: repeatability, averages, freezing, accumulation, clear ends."""

import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.train import toy
from wxjax import errors
from wxjax import mesh as meshes
from wxjax.train import checkpoint, loop, optimizer
from wxjax.train.state import TrainState
from wxjax.train.step import averaging, compile_step, train_step
from wxjax.train.window import TrainingDiverged


def same(a, b, **tolerance):
    for x, y in zip(toy.arrays(a), toy.arrays(b), strict=True):
        if tolerance:
            np.testing.assert_allclose(x, y, **tolerance)
        else:
            np.testing.assert_array_equal(x, y)


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_logs_and_evaluates_when_due(tmp_path):
    state = toy.run(tmp_path, num_steps=12)
    assert int(state.step) == 12
    train = {r["step"]: r for r in rows(tmp_path) if "loss" in r}
    assert list(train) == [5, 10, 12] and train[12]["loss"] < train[5]["loss"]
    assert [r["step"] for r in rows(tmp_path) if "eval/size" in r] == [4, 8, 12]
    assert rows(tmp_path)[-1]["eval/size"] == pytest.approx(
        toy.evaluate(state.variables, 12)["size"]
    )
    events = EventAccumulator(str(tmp_path)).Reload()
    written = [(e.step, pytest.approx(e.value)) for e in events.Scalars("loss")]
    assert written == [(s, r["loss"]) for s, r in train.items()]
    timing = [json.loads(x) for x in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert timing[0]["to_step"] == 12 and timing[0]["compile_seconds"] > 0
    assert not (tmp_path / "run.lock").exists()


def test_a_finished_run_returns_at_once(tmp_path, monkeypatch):
    first = toy.run(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    monkeypatch.setattr(loop, "_run", lambda *_: pytest.fail("a finished run trained again"))
    same(first, toy.run(tmp_path))
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_a_log_line_is_the_mean_of_the_steps_since_the_last(tmp_path):
    toy.run(tmp_path / "every", num_steps=6, log_every=1)
    toy.run(tmp_path / "third", num_steps=6, log_every=3)
    single = [r["mse"] for r in rows(tmp_path / "every") if "mse" in r]
    means = [r["mse"] for r in rows(tmp_path / "third") if "mse" in r]
    np.testing.assert_allclose(means, [np.mean(single[:3]), np.mean(single[3:])], rtol=1e-5)


def test_one_device_and_four_agree(tmp_path):
    ends = [toy.run(tmp_path / str(n), devices=n, noise=0.0) for n in (1, 4)]
    same(*ends, atol=1e-5)


def test_a_run_of_four_devices_goes_on_with_one(tmp_path):
    straight = toy.run(tmp_path / "a", devices=1, num_steps=12)
    toy.run(tmp_path / "b", devices=4, num_steps=12, **{"checkpoint.keep": 9})
    for step in (9, 12):
        (tmp_path / "b" / "checkpoints" / str(step) / "manifest.json").unlink()
    resumed = toy.run(tmp_path / "b", devices=1, num_steps=12)
    assert all(len(x.devices()) == 1 for x in jax.tree.leaves(resumed))
    same(straight, resumed, atol=1e-5)


def test_two_micro_batches_of_four_are_one_batch_of_eight(tmp_path):
    ends = [toy.run(tmp_path / str(n), accumulate=n, noise=0.0) for n in (1, 2)]
    same(*ends, atol=1e-6)
    with pytest.raises(errors.InputError, match="accumulate=3: expected a divisor of .* 8"):
        toy.run(tmp_path / "3", accumulate=3)


def test_frozen_parameters_stay_and_cost_no_optimizer_state(tmp_path):
    given = toy.task().init(jax.random.key(9), {"image": jnp.zeros((1, 4, 4, 3))})
    config = toy.config(**{"optimizer.frozen": ("stem/.*",)})
    state = loop.train(toy.task(), config, toy.batches(), tmp_path, variables=given)
    for name in ("kernel", "bias"):
        start = given["params"]["stem"][name]  # still alive: donation took a copy
        np.testing.assert_array_equal(state.params["stem"][name], start)
        np.testing.assert_array_equal(state.ema["stem"][name], start)
    assert np.abs(state.params["head"]["kernel"] - given["params"]["head"]["kernel"]).max() > 1e-3
    moments = {x.shape for x in jax.tree.leaves(state.opt_state)}
    assert (8, 3) in moments and (3, 8) not in moments


def compiled(frozen, width=8):
    net = toy.Net(width)
    task = toy.task(net)
    config = toy.config()
    batch = {"image": jnp.ones((8, 4, 4, 3)), "target": jnp.ones((8, 4, 4, 3))}
    variables = task.init(jax.random.key(0), batch)
    mask = optimizer.frozen(variables["params"], frozen)
    tx, rate = optimizer.make(config.optimizer, 10)
    mesh = meshes.make(1)
    state = TrainState.create(variables, tx, mask)
    constants = dict(task=task, tx=tx, rate=rate, frozen=mask, seed=0, ema_decay=0.9)
    step = compile_step(mesh, meshes.shardings(state, mesh), **constants)
    return step, state, batch, constants


def test_the_backward_pass_of_frozen_parameters_is_never_built():
    flops = []
    for frozen in ((), ("stem/.*",)):
        step, state, batch, _ = compiled(frozen, width=64)
        flops.append(step.lower(state, batch).compile().cost_analysis()["flops"])
    assert flops[1] < 0.85 * flops[0]


def test_a_pattern_that_freezes_nothing_names_its_neighbours():
    params = {"stem": {"kernel": 1.0}, "head": {"kernel": 2.0}}
    assert optimizer.frozen(params, ("stem/.*",)) == {
        "stem": {"kernel": True},
        "head": {"kernel": False},
    }
    with pytest.raises(errors.InputError, match=r"steam/\.\*.*Close to it: stem"):
        optimizer.frozen(params, ("steam/.*",))
    with pytest.raises(errors.InputError, match="not a regular expression"):
        optimizer.frozen(params, ("(",))
    with pytest.raises(errors.InputError, match="one parameter left to train"):
        optimizer.frozen(params, (".*",))


def test_the_old_state_is_donated():
    step, state, batch, _ = compiled(())
    step(state, batch)
    assert state.params["stem"]["kernel"].is_deleted()


def test_the_moving_average_has_its_closed_form():
    _, state, batch, constants = compiled(())
    expected = np.asarray(state.ema["head"]["bias"], np.float64)
    for n in range(4):
        state, _ = train_step(state, batch, **constants)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * np.asarray(state.params["head"]["bias"])
        np.testing.assert_allclose(state.ema["head"]["bias"], expected, atol=1e-7)
    assert float(averaging(10_000, 0.9)) == pytest.approx(0.9)


def test_weight_decay_pulls_on_kernels_alone():
    config = toy.config(**{"optimizer.weight_decay": 1.0, "optimizer.warmup_steps": 0})
    tx, _ = optimizer.make(config.optimizer, 10)
    params = {n: jnp.ones((2, 2)) for n in ("kernel", "bias", "gate", "table")}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zeros, tx.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -config.optimizer.learning_rate, rtol=1e-6)
    assert not any(updates[name].any() for name in ("bias", "gate", "table"))


def test_schedules_by_hand():
    def make(**changes):
        config = toy.config(**{f"optimizer.{k}": v for k, v in changes.items()})
        return optimizer.schedule(config.optimizer, 10)

    cosine = make(learning_rate=1.0, warmup_steps=2, end_value=0.1)
    expected = [0, 0.5, 1, 0.55, 0.1]  # half-way down a cosine lies the mean of its ends
    np.testing.assert_allclose([cosine(n) for n in (0, 1, 2, 6, 10)], expected, atol=1e-6)
    constant = make(learning_rate=1.0, warmup_steps=2, schedule="constant")
    np.testing.assert_allclose([constant(n) for n in (0, 1, 2, 9)], [0, 0.5, 1, 1])
    assert float(make(learning_rate=1.0, warmup_steps=0)(0)) == 1
    with pytest.raises(errors.InputError, match="warmup_steps=10: expected 0 <= it < num_steps=10"):
        make(warmup_steps=10)
    with pytest.raises(errors.InputError, match="Did you mean 'cosine'"):
        make(schedule="cosin")


def test_gradients_are_clipped_by_their_global_norm():
    config = toy.config(**{"optimizer.clip_norm": 1.0}).optimizer
    tx, _ = optimizer.make(config, 10)
    grads = {"a": jnp.full((3,), 300.0), "b": jnp.full((1,), -400.0)}
    adam = tx.update(grads, tx.init(grads), grads)[1]
    first = next(
        s for s in jax.tree.leaves(adam, is_leaf=lambda s: hasattr(s, "mu")) if hasattr(s, "mu")
    )
    assert float(optax.tree.norm(first.mu)) == pytest.approx(1 - config.b1, rel=1e-5)


def test_a_poisoned_example_stops_the_run_and_is_named(tmp_path):
    # Sixteen examples, eight a batch: the poison comes within the first two steps.
    with pytest.raises(TrainingDiverged, match=r"at step [12]: .*loss=nan.*examples .*5") as info:
        toy.run(tmp_path, toy.Source(poisoned=5), **{"checkpoint.every_steps": 1})
    assert "grad_norm=nan" in str(info.value)
    for step in checkpoint.steps(tmp_path / "checkpoints"):
        saved = checkpoint.load_variables(tmp_path, step)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(saved))


def test_statistics_that_overflow_are_never_saved(tmp_path):
    """A finite loss beside a parameter that is not: the check before a save sees it."""
    good = toy.task()

    def init(key, batch):
        return {**good.init(key, batch), "stats": {"seen": jnp.float32(0)}}

    def loss(variables, batch, key, step):
        scalar, (metrics, _) = good.loss({"params": variables["params"]}, batch, key, step)
        seen = jnp.where(step >= 4, jnp.inf, 0.0)
        return scalar, (metrics, {"stats": {"seen": seen}})

    bad = good._replace(init=init, loss=loss)
    with pytest.raises(TrainingDiverged, match="at step 6: parameters=nan.*Checkpoint 3 is the"):
        loop.train(bad, toy.config(), toy.batches(), tmp_path)
    assert checkpoint.steps(tmp_path / "checkpoints") == [3]


def test_a_growing_crop_compiles_once_a_size(tmp_path, capfd):
    batches = toy.batches()
    plain, count = type(batches).__next__, [0]

    class Iterator:
        source = None

        def get_state(self):
            return {}

        def set_state(self, state):
            count[0] = 0

        def __next__(self):
            count[0] += 1
            batch = plain(batches)
            size = 2 if count[0] <= 4 else 4
            return {k: v[:, :size, :size] if v.ndim == 4 else v for k, v in batch.items()}

        async def save(self, directory):
            return await batches.save(directory)

        async def load(self, directory):
            return await batches.load(directory)

    state = loop.train(toy.task(), toy.config(num_steps=8), Iterator(), tmp_path)
    assert int(state.step) == 8
    assert capfd.readouterr().err.count("compiling:") == 2


def test_large_leaves_are_split_by_the_size_rule():
    mesh = meshes.make(4)
    tree = {
        "large": jax.ShapeDtypeStruct((3, 1024, 2048), jnp.float32),
        "odd": jax.ShapeDtypeStruct((1001, 2049), jnp.float32),
        "small": jax.ShapeDtypeStruct((1024, 1024), jnp.float32),
    }
    specs = jax.tree.map(lambda s: tuple(s.spec), meshes.shardings(tree, mesh, True))
    assert specs == {"large": (None, None, "data"), "odd": (), "small": ()}
    assert all(s.is_fully_replicated for s in jax.tree.leaves(meshes.shardings(tree, mesh, False)))


def test_split_parameters_train_and_restore_as_whole_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, "LARGE", 20)  # the toy's kernels count as large
    split = toy.run(tmp_path / "a", devices=4, noise=0.0, **{"mesh.fsdp": True})
    kernel = split.params["stem"]["kernel"]
    assert tuple(kernel.sharding.spec) == (None, "data")
    assert kernel.addressable_shards[0].data.shape == (3, 2)
    whole = toy.run(tmp_path / "b", devices=4, noise=0.0)
    same(split, whole, atol=1e-6)
    same(split, toy.run(tmp_path / "a", devices=1, noise=0.0))


def test_the_mesh_fits_the_batch_and_says_what_does_not():
    assert meshes.make().size == 4 and meshes.make(batch_size=6).size == 2
    with pytest.raises(errors.InputError, match="mesh.devices=9: expected 0 .all. to 4"):
        meshes.make(9)
    with pytest.raises(errors.InputError, match="batch_size=6: expected a multiple of the 4"):
        meshes.put({"image": np.zeros((6, 2))}, meshes.make(4))
    batch = meshes.put({"x": np.zeros((4, 2)), "id": np.array(["a"] * 4)}, meshes.make(4))
    assert batch["id"][0] == "a" and len(batch["x"].sharding.device_set) == 4


def test_statistics_flow_through_accumulation():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, name="head")(nn.BatchNorm(use_running_average=False)(x))

    net = Normed()

    def loss(variables, batch, key, step):
        out, stats = net.apply(variables, batch["image"], mutable=["batch_stats"])
        return jnp.mean((out - batch["target"]) ** 2), ({}, stats)

    batch = {
        k: np.random.default_rng(0).random((8, 4, 4, 3), np.float32) for k in ("image", "target")
    }
    variables = net.init(jax.random.key(0), batch["image"])
    mask = optimizer.frozen(variables["params"], ())
    tx, rate = optimizer.make(toy.config().optimizer, 10)
    task = toy.task()._replace(loss=loss)
    state = TrainState.create(variables, tx, mask)
    constants = dict(task=task, tx=tx, rate=rate, frozen=mask, seed=0, ema_decay=0.9)
    after, metrics = train_step(state, batch, accumulate=2, **constants)
    mean = np.zeros(3)
    for half in (0, 1):  # micro-batches are every second row
        mean = 0.99 * mean + 0.01 * batch["image"][half::2].mean((0, 1, 2))
    np.testing.assert_allclose(after.stats["batch_stats"]["BatchNorm_0"]["mean"], mean, atol=1e-6)
    assert math.isfinite(metrics["loss"])
