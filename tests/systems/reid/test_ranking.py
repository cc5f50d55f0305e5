"""Ranking metrics: hand-worked, against a slow reference, and a public formula derived anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wxjax import errors
from wxjax.systems.reid import ranking
from wxjax.systems.reid.ranking import Side


def side(feature, pid, place):
    return Side(np.asarray(feature, np.float32), np.asarray(pid), np.asarray(place))


def on_a_line(query, gallery, **options):
    """Queries and gallery as (position, identity, camera)."""
    split = lambda rows: side([[r[0]] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
    return ranking.rank(split(query), split(gallery), **options)


def reference(query, gallery, itself=None):
    """The loop of the public evaluation code, one query at a time.

    Public form (strong baselines and their successors): with `matches` the kept list,
    orig_cmc = matches.cumsum(); cmc = orig_cmc > 0;
    tmp_cmc[i] = orig_cmc[i] / (i + 1); AP = sum(tmp_cmc * matches) / matches.sum().
    tmp_cmc[i] is precision at i + 1 and matches[i] picks the ranks of true matches, so AP is
    the mean, over true matches, of (true matches so far) / (rank): the formula of the module.
    """
    found = []
    for i in range(len(query.pid)):
        distance = ((gallery.feature - query.feature[i]) ** 2).sum(1)
        order = np.argsort(distance, kind="stable")
        drop = (gallery.pid == query.pid[i]) & (gallery.place == query.place[i])
        drop |= gallery.pid == -1
        if itself is not None and itself[i] >= 0:
            drop[itself[i]] = True
        kept = [j for j in order if not drop[j]]
        matches = (gallery.pid[kept] == query.pid[i]).astype(int)
        if not matches.sum():
            found.append((False, 0.0, 0.0, 0))
            continue
        so_far = matches.cumsum() / np.arange(1, len(matches) + 1)
        ranks = np.flatnonzero(matches) + 1
        ap = (so_far * matches).sum() / matches.sum()
        found.append((True, ap, matches.sum() / ranks[-1], ranks[0]))
    return found


def test_average_precision_by_hand():
    # Matches at ranks 1, 3, 4 of 5: (1/1 + 2/3 + 3/4) / 3.
    gallery = [(1, 7, 1), (2, 8, 1), (3, 7, 1), (4, 7, 2), (5, 9, 1)]
    found = on_a_line([(0, 7, 0)], gallery)
    assert found.valid.tolist() == [True] and found.first.tolist() == [1]
    assert found.ap[0] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert found.inp[0] == pytest.approx(3 / 4)
    assert found.order[0].tolist() == [0, 1, 2, 3, 4]


def test_the_same_camera_and_junk_are_removed_and_distractors_stay():
    # Own camera (0) and junk vanish: the match at position 4 has rank 2 behind distractor 0.
    gallery = [(1, 7, 0), (2, -1, 1), (3, 0, 1), (4, 7, 1)]
    found = on_a_line([(0, 7, 0)], gallery)
    assert found.first[0] == 2 and found.ap[0] == pytest.approx(1 / 2)
    assert found.order[0].tolist() == [2, 3, -1, -1]


def test_the_scene_rule_is_the_same_rule_with_scenes():
    # One identity in scenes 5 and 6: with the query's scene 5 only the shot of scene 6 counts.
    gallery = [(1, 7, 5), (2, 8, 6), (3, 7, 6)]
    found = on_a_line([(0, 7, 5)], gallery)
    assert found.first[0] == 2 and found.ap[0] == pytest.approx(1 / 2)


def test_a_query_without_a_true_match_is_not_counted():
    gallery = [(1, 7, 0), (2, 8, 1)]
    found = on_a_line([(0, 7, 0), (0, 8, 0)], gallery)
    assert found.valid.tolist() == [False, True]
    scores = ranking.scores(found, max_rank=5)
    assert scores["queries"] == 2 and scores["valid"] == 1
    # Nothing is removed for the second query: its match, farther than the other shot, has rank 2.
    assert scores["map"] == pytest.approx(1 / 2)
    nobody = ranking.scores(on_a_line([(0, 7, 0)], [(1, 7, 0)]))
    assert nobody["valid"] == 0 and nobody["map"] is None


def test_ties_keep_the_order_of_the_gallery():
    same = [(3, 8, 1), (3, 7, 1), (3, 9, 1), (3, 7, 1)]
    found = on_a_line([(3, 7, 0)], same)
    # All distances equal: matches at ranks 2 and 4.
    assert found.ap[0] == pytest.approx((1 / 2 + 2 / 4) / 2) and found.first[0] == 2


def test_the_curve_goes_on_where_a_gallery_is_short():
    found = on_a_line([(0, 7, 0), (0, 8, 0)], [(1, 9, 1), (2, 7, 1), (3, 8, 1)])
    scores = ranking.scores(found, max_rank=10)
    assert scores["cmc"] == [0, 0.5] + [1.0] * 8
    assert scores["rank1"] == 0 and scores["rank5"] == 1


def test_the_trapezoid_form_by_hand():
    # Matches at ranks 1 and 3: steps of recall 1/2 with ends (1, 1) and (1/2, 2/3).
    gallery = [(1, 7, 1), (2, 8, 1), (3, 7, 1)]
    found = on_a_line([(0, 7, 0)], gallery, form="trapz")
    assert found.ap[0] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_equal_to_the_slow_reference(seed, coarse):
    rng = np.random.default_rng(seed)
    # One shape, so that one program is compiled; coarse features make ties.
    feature = rng.normal(size=(40, 3))
    feature = np.round(feature) if coarse else feature
    pid, place = rng.integers(-1, 6, 40), rng.integers(0, 3, 40)
    query = side(feature[:13], np.abs(pid[:13]), place[:13])
    gallery = side(feature[10:], pid[10:], place[10:])
    itself = np.array([i - 10 if i >= 10 else -1 for i in range(13)])
    found = ranking.rank(query, gallery, itself=itself, chunk=5)
    for i, (valid, ap, inp, first) in enumerate(reference(query, gallery, itself)):
        assert found.valid[i] == valid and found.first[i] == first
        assert found.ap[i] == pytest.approx(ap, abs=1e-6)
        assert found.inp[i] == pytest.approx(inp, abs=1e-6)


def test_reranking_brings_neighbours_of_neighbours_up():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 8))
    feature = np.concatenate([c + 0.25 * rng.normal(size=(10, 8)) for c in centres])
    feature /= np.linalg.norm(feature, axis=1, keepdims=True)
    pid, place = np.repeat(np.arange(6), 10), np.tile(np.arange(10) % 2, 6)
    query, gallery = (side(feature[s], pid[s], place[s]) for s in (slice(0, 60, 5), slice(0, 60)))
    plain = ranking.rank(query, gallery, chunk=12)
    distance = ranking.rerank(query.feature, gallery.feature, k1=8, k2=3)
    again = ranking.rank(query, gallery, distance=distance, chunk=12)
    assert distance.shape == (12, 60) and (distance >= 0).all() and (distance <= 1 + 1e-6).all()
    assert again.ap.mean() >= plain.ap.mean()
    unchanged = ranking.rerank(query.feature, gallery.feature, k1=8, k2=3, weight=1.0)
    same = ranking.rank(query, gallery, distance=unchanged, chunk=12)
    np.testing.assert_allclose(same.ap, plain.ap, atol=1e-6)


def test_intervals_are_over_identities():
    # Ten pictures of each of two identities that agree with themselves: two samples, not 20.
    values, pid = np.repeat([0.0, 1.0], 10), np.repeat([3, 9], 10)
    found = ranking.by_identity(values, pid, resamples=500)
    assert found["n"] == 2 and found["mean"] == 0.5
    assert (found["low"], found["high"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: on_a_line([(0, 1, 1)], [(0, 1, 0)], form="area"), "expected one of plain, trapz"),
        (lambda: ranking.rerank(np.ones((1, 2)), np.ones((2, 2)), k1=2, k2=3), "k2 <= k1"),
        (lambda: ranking.rerank(np.ones((1, 2)), np.ones((2, 2)), weight=2), "from 0 to 1"),
        (lambda: ranking.by_identity(np.zeros(0), np.zeros(0)), "at least one query"),
    ],
)
def test_slips_are_named(call, message):
    with pytest.raises(errors.InputError, match=message):
        call()


def test_sides_must_fit():
    with pytest.raises(errors.InputError, match=r"\(1, 2\) and \(1, 3\)"):
        ranking.rank(side([[0, 0]], [1], [0]), side([[0, 0, 0]], [1], [1]))
