"""The parts of an image's time and work add up to the whole."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.evaluate.test_stream import plug
from tests.systems.moei.test_engine import build
from wxjax.evaluate import breakdown, stream
from wxjax.evaluate.stream import Way

IMAGE = np.random.default_rng(0).integers(0, 256, (75, 110, 3), np.uint8)


@pytest.fixture(scope="module")
def run():
    built, variables, _ = build()
    settings = ConfigDict(built.tiles.as_configdict().to_dict())
    return breakdown.Clocked(plug(built), variables, settings, Way(2, True))


@pytest.fixture(scope="module")
def plain():
    built, variables, _ = build()
    settings = ConfigDict(built.tiles.as_configdict().to_dict())
    return stream.Streamer(plug(built), variables, settings, Way(2, True))


def test_rows_add_up_and_shares_follow_from_them(run):
    made = breakdown.measure(run, IMAGE, repeats=1)
    total = made["parts"].pop("total")
    assert list(made["parts"]) == ["encoder", "bottleneck", "decoder", "assembly"]
    for key in ("flops_g", "seconds", "cpu_seconds"):
        assert sum(row[key] for row in made["parts"].values()) == pytest.approx(total[key])
    share = total["flops_g"] / total["seconds"] / made["matmul_gflops"]
    assert total["efficiency"] == pytest.approx(share)
    assert made["parts"]["assembly"]["flops_g"] == 0


def test_work_grows_with_the_tiles_and_not_with_the_batch(run):
    small, large = (breakdown.operations(run, run.cover(64, 32 * n)) for n in (1, 2))
    assert large["look"] == 2 * small["look"] and large["finish"] == 2 * small["finish"]
    run.way = Way(1, True)
    assert breakdown.operations(run, run.cover(64, 64)) == large


def test_looking_again_is_counted_with_the_decoder(run):
    cover = run.cover(64, 64)
    run.way = Way(2, True)
    kept = breakdown.operations(run, cover)
    run.way = Way(2, False)
    anew = breakdown.operations(run, cover)
    assert anew["finish"] == pytest.approx(kept["finish"] + kept["look"])


def test_a_clocked_image_is_the_streamed_one(run, plain):
    run.way = Way(2, True)
    np.testing.assert_array_equal(run(IMAGE)[0], plain(IMAGE)[0])
