"""Where queries rank the other half of their own pair."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranked import distances, random_items, signs
from sources import refusal

from gch.errors import SettingError
from gch.evaluation import asymmetric, counts
from gch.evaluation.codes import CodedItems
from gch.evaluation.evaluate import evaluate
from gch.evaluation.own_half import own_half, own_halves, own_ranks
from gch.evaluation.rankings import POLICIES

# Distances of the three pictures from the three texts: 0 1 1; 2 1 3; 1 2 0. Own halves are on the diagonal.
PICTURES = np.array([[1, 1, 1], [1, -1, -1], [1, 1, -1]])
TEXTS = np.array([[1, 1, 1], [-1, -1, -1], [1, 1, -1]])


def halves_of(seed: int, count: int, bits: int) -> CodedItems:
    return random_items(seed, count, bits, labels=0, steps=8)


@pytest.mark.parametrize("form", ["signs", "bits"])
def test_by_hand(form):
    # Texts from picture 0 [1 1 1]: 0, 3, 1: rank 1. From picture 1 [1 -1 -1]: 2, 1, 1: its own ties with the
    # third, rank 1 or 2. From picture 2: its own at 0: rank 1.
    pictures, texts = (PICTURES > 0, TEXTS > 0) if form == "bits" else (PICTURES, TEXTS)
    found = evaluate(pictures, texts)
    assert found == pytest.approx({"recall@1": 2.5 / 3, "recall@5": 1, "recall@10": 1, "median_rank": 1})
    # Pictures from text 0 [1 1 1]: 0, 2, 1: rank 1. From text 1 [-1 -1 -1]: 3, 1, 2: rank 1.
    # From text 2 [1 1 -1]: 1, 1, 0: rank 1.
    assert evaluate(texts, pictures)["recall@1"] == 1


def test_relaxed_queries_by_hand():
    # Scores of the three texts [1 1], [-1 1], [1 -1] by (.5, .25): .75, -.25, .25; by (.25, -.5): -.25, -.75,
    # .75; by (-.5, .25) twice the same as its signs rank them.
    pictures = np.array([[0.5, 0.25], [0.25, -0.5], [-0.5, 0.25]])
    texts = np.array([[1, 1], [-1, 1], [1, -1]])
    found = evaluate(pictures, texts)
    # Ranks: 1; 3; the own score is -.75, those of the others -.25 and .75: 3.
    assert found["recall_asymmetric@1"] == pytest.approx(1 / 3)
    assert found["median_rank_asymmetric"] == 3
    # By signs: distances 0 1 1: rank 1; [1 -1]: 1 2 0: rank 3; [-1 1]: 1 0 2: rank 3.
    assert (found["recall@1"], found["median_rank"]) == (pytest.approx(1 / 3), 3)


@given(seed=st.integers(0, 2**20), count=st.integers(1, 5), bits=st.integers(1, 3))
def test_tie_aware_is_the_mean_over_all_orders_of_the_ties(seed, count, bits):
    queries, halves = halves_of(seed, count, bits), halves_of(seed + 1, count, bits)
    found = {ties: own_half(queries, halves, ties).values for ties in POLICIES}
    for ending, codes in {"": signs(queries), "_asymmetric": queries.relaxed}.items():
        scores = (codes.astype(float) @ signs(halves).T).round(4)
        for query, own in enumerate(scores):
            # The first order is that of the pairs; sorting leaves ties in the order that is drawn.
            orders = itertools.permutations(range(count))
            rankings = [sorted(order, key=lambda half: -own[half]) for order in orders]
            ranks = np.array([ranking.index(query) + 1 for ranking in rankings])
            for rank in (1, 5, 10):
                value = found["tie-aware"][f"recall{ending}@{rank}"][query]
                assert value == pytest.approx((ranks <= rank).mean(), abs=1e-12)
            expected = (ranks.mean(), ranks[0], ranks.min(), ranks.max())
            medians = [found[ties][f"median_rank{ending}"][query] for ties in POLICIES]
            assert medians == pytest.approx(expected)


def test_blocks_and_many_bits_change_nothing(monkeypatch):
    queries, halves = halves_of(0, 60, 200), halves_of(1, 60, 200)
    whole, away = own_half(queries, halves), distances(queries, halves)
    np.testing.assert_array_equal(whole.ranks.before, (away < np.diag(away)[:, None]).sum(axis=1))
    monkeypatch.setattr(counts, "DISTANCES", 130)
    monkeypatch.setattr(asymmetric, "SCORES", 130)
    again = own_half(queries, halves)
    for name, values in whole.values.items():
        np.testing.assert_array_equal(again.values[name], values, err_msg=name)


def test_own_halves_may_lie_anywhere_among_others():
    queries, halves = halves_of(0, 5, 16), halves_of(1, 30, 16)
    own = np.array([29, 3, 0, 17, 8])
    found, away = own_ranks(queries, halves, own), distances(queries, halves)
    nearest = away[np.arange(5), own][:, None]
    np.testing.assert_array_equal(found.before, (away < nearest).sum(axis=1))
    np.testing.assert_array_equal(found.tied, (away == nearest).sum(axis=1))


def test_figures_have_intervals_and_a_curve():
    pictures, texts = halves_of(0, 40, 24), halves_of(1, 40, 24)
    measured = own_halves({"image": pictures, "text": texts})
    for direction, queries, halves in (("I->T", pictures, texts), ("T->I", texts, pictures)):
        figures = measured[direction].figures()
        assert (figures["bits"], figures["queries"], figures["ties"]) == (24, 40, "tie-aware")
        expected = own_half(queries, halves).values
        assert figures["measures"].keys() == expected.keys()
        for name, value in figures["measures"].items():
            centre = np.median if "median" in name else np.mean
            assert value["mean"] == pytest.approx(centre(expected[name]))
            assert value["low"] <= value["mean"] <= value["high"]
        recall, median = (figures["measures"][name] for name in ("recall@10", "median_rank"))
        assert recall["low"] < recall["high"] < 1 < median["low"] < median["high"]
        assert figures["rank"]["rank"] == [1, 2, 5, 10, 20]
        at = dict(zip(*figures["rank"].values(), strict=True))
        assert at[10] == pytest.approx(recall["mean"])
        assert at[1] <= at[2] <= at[5] <= at[10] <= at[20]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((PICTURES, TEXTS[:2]), "database_codes has 2 items, query_codes 3; without labels row i of both"),
        ((PICTURES, TEXTS[:, :2]), "database_codes has codes of 2 bits, query_codes of 3"),
        ((PICTURES, TEXTS, [0, 1, 2]), "database_labels is None; expected labels of both sides, or None"),
        ((PICTURES, TEXTS, None, [0, 1, 2]), "query_labels is None; expected labels of both sides"),
        ((PICTURES * 3, TEXTS), r"query_codes holds 3 \(item 0, bit 0\); expected -1 and \+1, 0 and 1"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, words):
    with refusal(words):
        evaluate(*arguments)
    with refusal("ties is 'x'", fault=SettingError):
        evaluate(PICTURES, TEXTS, ties="x")
