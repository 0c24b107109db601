"""mAP where the relaxed codes of queries rank the bits of a database."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranked import random_items, signs
from sources import refusal

from gch.evaluation import asymmetric
from gch.evaluation.evaluate import evaluate, evaluate_items
from gch.evaluation.rankings import POLICIES

# Scores 1.25, 1.75, .25, -.75 and 1.25; the first and the third item are relevant.
QUERY = np.array([[0.5, -0.25, 1.0]])
DATABASE = np.array([[1, 1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, -1], [1, 1, 1]])
LABELS = [[1, 0]], [[1, 0], [0, 1], [1, 1], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("ties", "expected"),  # ranks 2 and 3 tie, and one of the two is relevant; the other relevant one has 4
    [
        ("tie-aware", ((1 / 2 + 1 / 3) / 2 + 2 / 4) / 2),
        ("stable", (1 / 2 + 2 / 4) / 2),
        ("optimistic", (1 / 2 + 2 / 4) / 2),
        ("pessimistic", (1 / 3 + 2 / 4) / 2),
    ],
)
@pytest.mark.parametrize("form", ["signs", "bits", "relaxed"])
def test_by_hand(ties, expected, form):
    database = {
        "signs": DATABASE,
        "bits": (DATABASE > 0).astype(np.uint8),
        "relaxed": DATABASE * [0.125, 1.0, 0.5],  # of which the signs count
    }
    found = evaluate(QUERY, database[form], *LABELS, ties=ties, cutoffs=[1])
    assert found["mAP_asymmetric"] == pytest.approx(expected, abs=1e-12)
    # The distances are those of the signs.
    del found["mAP_asymmetric"]
    assert found == evaluate(np.sign(QUERY), DATABASE, *LABELS, ties=ties, cutoffs=[1])


@pytest.mark.parametrize("without_relevant", ["zero", "skip"])
def test_queries_without_relevant_items_count_as_in_map(without_relevant):
    queries, labels = np.repeat(QUERY, 2, axis=0), [*LABELS[0], [0, 0]]
    found = evaluate(queries, DATABASE, labels, LABELS[1], without_relevant=without_relevant)
    share = 1 if without_relevant == "skip" else 0.5
    assert found["mAP_asymmetric"] == pytest.approx(share * 11 / 24)


@given(seed=st.integers(0, 2**20), bits=st.integers(1, 40), items=st.integers(1, 40))
def test_hard_codes_rank_as_by_hamming_distance(seed, bits, items):
    queries, database = random_items(seed, 4, bits), random_items(seed + 1, items, bits)
    hard = dataclasses.replace(queries, relaxed=np.where(queries.relaxed >= 0, 1, -1).astype(np.float32))
    for policy in POLICIES:
        found = evaluate_items(hard, database, cutoffs=(), ties=policy, policies=()).values
        np.testing.assert_allclose(found["mAP_asymmetric"], found["mAP"], atol=1e-12, err_msg=policy)


@pytest.mark.parametrize("bits", [1, 7, 64, 100])
def test_it_is_the_order_of_the_scores(bits, monkeypatch):
    queries, database = random_items(0, 9, bits), random_items(1, 300, bits)
    found = {policy: asymmetric.average_precision(queries, database, policy) for policy in POLICIES}
    relevant = (queries.labels @ database.labels.T) > 0
    for row, scores in enumerate(queries.relaxed.astype(float) @ signs(database).T):
        ranked = relevant[row, np.argsort(-scores.round(9), kind="stable")]
        precision = np.cumsum(ranked) / np.arange(1, 301)
        expected = precision[ranked].sum() / max(1, ranked.sum())
        assert found["stable"][row] == pytest.approx(expected, abs=1e-9)
        assert found["pessimistic"][row] - 1e-9 <= found["tie-aware"][row] <= found["optimistic"][row] + 1e-9
    # Scores are exact: neither blocks nor the order of the database change a digit, unless it breaks ties.
    monkeypatch.setattr(asymmetric, "SCORES", 700)
    monkeypatch.setattr(asymmetric, "ITEMS", 37)
    shuffled = database.only(np.random.default_rng(2).permutation(300))
    for policy in ("tie-aware", "optimistic", "pessimistic"):
        again = asymmetric.average_precision(queries, shuffled, policy)
        np.testing.assert_array_equal(again, found[policy], err_msg=policy)
    again = asymmetric.average_precision(queries, database, "stable")
    np.testing.assert_array_equal(again, found["stable"])


@pytest.mark.parametrize(
    ("query", "database", "words"),
    [
        ([[0.5, -0.2, np.nan]], DATABASE, r"query_codes holds nan \(item 0, bit 2\); .* in \[-1, 1\]"),
        ([[0.5, -0.2, 1.5]], DATABASE, r"query_codes holds 1.5 \(item 0, bit 2\); expected -1 and \+1, 0"),
        ([[0.5, -0.2, -np.inf]], DATABASE, r"query_codes holds -inf \(item 0, bit 2\)"),
        ([[0.5, -0.5, 0.5]], DATABASE, r"query_codes holds 0.5 .* relaxed codes, .* more than two values"),
        ([[1, 0, -1]], DATABASE, r"query_codes holds 0 \(item 0, bit 1\)"),  # relaxed codes are floats
        (QUERY, DATABASE * [[0.5, np.nan, 1]], r"database_codes holds nan \(item 0, bit 1\)"),
        (QUERY, DATABASE * [[0.5, 2, 1]], r"database_codes holds 2.0 \(item 0, bit 1\)"),
        (np.sign(QUERY), DATABASE * 0.5 * QUERY, r"database_codes holds 0.25 .* packed codes as uint8$"),
    ],
)
def test_what_is_neither_signs_nor_relaxed_is_refused(query, database, words):
    with refusal(words):
        evaluate(np.array(query), database, *LABELS)
