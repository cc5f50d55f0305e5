"""A plan says what will happen, and a budget is kept."""

import numpy as np
import pytest

from tests.evaluate.test_stream import streamer
from tests.systems.moei.test_engine import build
from wxjax import errors
from wxjax.evaluate import plan
from wxjax.evaluate.stream import Way


@pytest.fixture(scope="module")
def run():
    built, variables, _ = build(batch_size=8)
    return streamer(built, variables)


@pytest.mark.parametrize(
    "text, count",
    [("8GiB", 8 * 2**30), ("500 MB", 500_000_000), ("1.5kib", 1536), ("2e9", 2_000_000_000)],
)
def test_sizes_are_read_as_they_are_written(text, count):
    assert plan.parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "lots", "8 GiBs", "0", "-3GiB", "1..5GB", "1e999"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(errors.InputError, match="--memory"):
        plan.parse_bytes(text)


def test_the_law_counts_pixels_tokens_and_maps(run):
    run.way = Way(2, True)
    cover = run.cover(320, 640)
    kept = plan.memory(run, cover, np.uint8)
    run.way = Way(2, False)
    anew = plan.memory(run, cover, np.uint8)
    # 8x8x8 and 4x4x16 float32 a tile of 32 pixels, 200 tiles of them
    assert kept.maps == 200 * 4 * (8 * 8 * 8 + 4 * 4 * 16) and anew.maps == 0
    assert kept.tokens == 4096 * 16 * 4  # 40 x 80 tokens, in a bucket
    assert kept.pixels == 2 * 320 * 640 * 3 + 3 * 32 * 640 * 3 * 4  # and rows of floats
    assert kept.total >= kept.here + kept.pixels + kept.tokens + kept.maps + kept.work


def test_a_budget_takes_the_batch_first_then_the_maps_then_gives_up(run):
    cover = run.cover(320, 640)
    sizes = []
    for run.way in (Way(8, True), Way(1, True), Way(1, False)):
        need = plan.memory(run, cover, np.uint8)
        sizes.append(need.maps + need.work)
    assert sizes == sorted(sizes, reverse=True)
    plan.choose(run, cover, np.uint8, 2**45)
    assert run.way == Way(8, True)
    with pytest.raises(errors.InputError, match=r"memory=0\.00GiB: 640x320 takes"):
        plan.choose(run, cover, np.uint8, 2**20)


@pytest.mark.parametrize("way", [Way(4, True), Way(1, True), Way(2, False), Way(1, False)])
def test_the_way_that_fits_is_taken(run, monkeypatch, way):
    def law(run, *_):  # maps are as large as 20 tiles at work
        return plan.Memory(100, 0, 0, 0, 200 * run.way.keep, 10 * run.way.batch)

    monkeypatch.setattr(plan, "memory", law)
    run.way = way
    plan.choose(run, run.cover(320, 640), np.uint8, sum(law(run)))
    assert run.way == way


def test_a_plan_reads_like_one(run):
    made = plan.predict(run, 96, 128, np.uint8, 2**45)
    text = "\n".join(made.lines("photo.jpg"))
    assert text.startswith("photo.jpg: 128x96, 12 tiles, 192 tokens")
    assert "memory" in text and "s/MP" in text and "maps kept" in text
    assert set(made.seconds) == {"look", "mix", "finish"} and min(made.seconds.values()) > 0


def test_time_of_many_tokens_follows_from_two_measured_lengths(run, monkeypatch):
    spent = {}
    monkeypatch.setattr(plan, "PROBE", 1024)
    monkeypatch.setattr(plan, "timed", lambda fn: (fn(), next(clock))[1])
    clock = iter([512 * 3.0 + 512**2 * 0.25, 1024 * 3.0 + 1024**2 * 0.25])
    spent = plan.mix_seconds(run, run.cover(640, 640), 6400)
    assert spent == pytest.approx(6400 * 3.0 + 6400**2 * 0.25)
