"""Federated averaging, the search over fusion blocks, pruning: their parts, and a run of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import reid
from wxjax import errors, files
from wxjax.systems.reid import training
from wxjax.systems.reid.data.pedestrians import Pedestrians
from wxjax.systems.reid.studies import architecture, federate, shrink

TREE = {
    "backbone": {"kernel": jnp.arange(6.0).reshape(3, 2)},
    "bank": {"experts": jnp.ones((3, 2))},
}


def test_an_average_of_equal_clients_is_each_of_them():
    same = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), TREE)
    own = jax.tree.map(lambda _: False, TREE)
    found = federate.average(same, own, jnp.array([1.0, 5.0, 2.0]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, same)


def test_an_average_is_weighted_and_leaves_what_is_private():
    own = {"backbone": {"kernel": False}, "bank": {"experts": True}}
    marked = {**TREE, "bank": {"experts": jnp.arange(6.0).reshape(3, 2)}}
    found = federate.average(marked, own, jnp.array([1.0, 2.0, 1.0]))
    # Rows (0, 1), (2, 3), (4, 5): (0 + 2*2 + 4) / 4 = 2, (1 + 2*3 + 5) / 4 = 3.
    np.testing.assert_allclose(found["backbone"]["kernel"], [[2.0, 3.0]] * 3)
    np.testing.assert_array_equal(found["bank"]["experts"], marked["bank"]["experts"])
    part = federate.average(marked, own, jnp.ones(3), jnp.array([True, False, True]))
    np.testing.assert_allclose(part["backbone"]["kernel"], [[2.0, 3.0]] * 3)


def test_patterns_name_whole_parameters():
    own = federate.private(TREE, (".*bank/experts",))
    assert own == {"backbone": {"kernel": False}, "bank": {"experts": True}}
    with pytest.raises(errors.InputError, match="names no parameter"):
        federate.private(TREE, ("experts",))


def test_clients_are_cameras_or_shards():
    people = Pedestrians("train", identities=12, takes=4)
    by_camera = federate.clients(people, "camera", 0, 0)
    assert [set(c.cameras) for c in by_camera][:2] == [{0}, {1}]
    shards = federate.clients(people, "identity", 2, 0)
    assert not set(shards[0].pids) & set(shards[1].pids)
    assert sum(map(len, shards)) == len(people)
    with pytest.raises(errors.InputError, match="has 1 identities with two shots"):
        federate.clients(people, "identity", 12, 0)
    with pytest.raises(errors.InputError, match="camera, identity"):
        federate.clients(people, "city", 6, 0)


def test_the_front_holds_what_nothing_beats():
    rows = [dict(map=m, flops=f) for m, f in ((0.5, 3), (0.6, 3), (0.4, 1), (0.6, 5), (0.3, 2))]
    assert architecture.pareto(rows) == [rows[2], rows[1]]


def test_mutations_change_one_choice_and_stay_in_the_space():
    rng = np.random.default_rng(0)
    for _ in range(50):
        one = architecture.draw(rng)
        other = architecture.mutate(one, rng)
        changed = [name for name in architecture.CHOICES if one[name] != other[name]]
        assert len(changed) <= 2  # fewer scales may also mean that all experts are kept
        assert other["kept"] < len(other["scales"]) or other["kept"] == 0
        config = architecture.configured(reid.get_config(), other)
        assert tuple(config.model.scales) == other["scales"]


class Quick:
    """A trainer whose score is known: the more scales the better, and time tells nothing."""

    def __init__(self):
        self.rows = []

    def score(self, candidate, steps, stage):
        value = len(candidate["scales"]) + 0.01 * candidate["ratio"]
        row = {**candidate, "steps": steps, "map": value, "flops": candidate["ratio"]}
        self.rows.append({**row, "stage": stage})
        return row


def test_halving_gives_more_steps_to_fewer():
    trainer, plan = Quick(), reid.get_config().search
    plan.update(configs=9, eta=3, steps=10)
    left = architecture.halve(trainer, plan, np.random.default_rng(1))
    counts = [sum(row["steps"] == s for row in trainer.rows) for s in (10, 30, 90)]
    assert counts == [9, 3, 1]
    best = max(row["map"] for row in trainer.rows if row["steps"] == 10)
    assert len(left[0]["scales"]) + 0.01 * left[0]["ratio"] == pytest.approx(best)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A trained tiny network of one variant, without its report."""
    config = reid.get_config("tiny")
    config.data.size, config.model.features, config.model.scales = (64, 32), 8, (2, 4)
    config.study.variants = ("moe",)
    folder = tmp_path_factory.mktemp("studies")
    config.data.takes = 4
    load = lambda split: training.shots.open(config.data, split)
    small = lambda split: Resized(load(split), (64, 32))
    training.train(config, folder, "moe", 0, small)
    training.ship(config, folder)
    return config, folder


class Resized:
    """Shots at another size."""

    def __init__(self, source, size):
        self._source, self._size = source, size
        self.pids, self.cameras = source.pids, source.cameras
        self.roles, self.items = source.roles, source.items

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        from wxjax.systems.reid.data.identities import resized

        shot = self._source[index]
        return {**shot, "image": np.stack([resized(b, self._size) for b in shot["image"]])}

    def __repr__(self):
        return repr(self._source)


@pytest.fixture
def small(place, monkeypatch):
    config, folder = place
    opened = training.shots.open
    monkeypatch.setattr(
        training.shots, "open", lambda data, split: Resized(opened(data, split), (64, 32))
    )
    return config, folder


@pytest.mark.nightly
def test_shrinking_says_what_it_costs(small):
    config, folder = small
    made = shrink.run(config, folder)
    rows = made["rows"]
    assert rows["pruned 0"]["share"] == 1 and rows["pruned 0.5"]["share"] < 0.75
    assert rows["pruned 0.5, tuned"]["fine_tuned"] == 2
    fewer = [name for name in rows if name.startswith("experts ") and not name.endswith("tuned")]
    assert len(fewer) == 1 and rows[fewer[0]]["share"] == 0.5
    assert rows[f"{fewer[0]}, tuned"]["fine_tuned"] == 2
    sizes = rows["int8 weights"]["bytes"]
    assert sizes["int8"] < sizes["float32"]
    assert all(np.isfinite(row["ms_a_shot"]) and 0 <= row["map"] <= 1 for row in rows.values())
    assert files.read_json(folder / "shrink.json")["rows"].keys() == rows.keys()


@pytest.mark.nightly
def test_federated_methods_are_compared(small):
    config, folder = small
    made = federate.run(config, folder)
    assert set(made["methods"]) == set(federate.METHODS)
    assert made["methods"]["local"]["bytes_a_round"] == 0
    sent = {name: entry["bytes_a_round"] for name, entry in made["methods"].items()}
    assert sent["fedavg"] > sent["private"] > 0
    assert len(made["methods"]["fedavg"]["history"]) == 2
