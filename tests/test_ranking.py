import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gch.evaluation import ranking
from gch.evaluation.ranking import distance_histograms, mean_average_precision, tie_aware_average_precision

QUERY_CODES = np.array([[1, -1, 1, 1], [-1, -1, -1, 1], [1, 1, -1, 1], [1, 1, 1, -1]], np.int8)
DATABASE_CODES = np.array(
    [[1, -1, 1, -1], [-1, -1, 1, -1], [-1, -1, 1, -1], [1, 1, -1, -1], [-1, 1, -1, -1], [1, 1, -1, 1]],
    np.int8,
)
QUERY_LABELS = np.array([[0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1]], np.uint8)
DATABASE_LABELS = np.array(
    [[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]], np.uint8
)


def average_precision(relevant) -> float:
    """By the definition: the mean over the relevant items of the precision at their ranks."""
    ranks = [rank for rank, hit in enumerate(relevant, 1) if hit]
    return sum(found / rank for found, rank in enumerate(ranks, 1)) / len(ranks) if ranks else 0.0


def test_the_toy_case():
    quality = mean_average_precision(QUERY_CODES, DATABASE_CODES, QUERY_LABELS, DATABASE_LABELS)
    assert quality.mean_average_precision == pytest.approx(0.601302, abs=5e-7)
    assert quality.queries == 4
    assert quality.queries_without_relevant == 0


def test_histograms_by_hand():
    items, relevant = distance_histograms(QUERY_CODES[:1], DATABASE_CODES, QUERY_LABELS[:1], DATABASE_LABELS)
    # Distances of [1,-1,1,1] are 1 2 2 3 4 2; the second and third item share its label.
    assert items.tolist() == [[0, 1, 3, 1, 1]]
    assert relevant.tolist() == [[0, 0, 2, 0, 0]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=7))
def test_the_closed_form_is_the_mean_over_all_orders_of_ties(database):
    groups = [[hit for distance, hit in database if distance == d] for d in range(3)]
    orders = itertools.product(*(itertools.permutations(group) for group in groups))
    expected = np.mean([average_precision(itertools.chain(*order)) for order in orders])
    items = np.array([[len(group) for group in groups]])
    relevant = np.array([[sum(group) for group in groups]])
    assert tie_aware_average_precision(items, relevant)[0] == pytest.approx(expected, abs=1e-12)


def test_without_ties_it_is_the_plain_average_precision():
    random = np.random.default_rng(0)
    hits = random.random((5, 40)) < 0.3
    found = tie_aware_average_precision(np.ones_like(hits, int), hits.astype(int))
    np.testing.assert_allclose(found, [average_precision(row) for row in hits])


@pytest.mark.parametrize("case", range(6))
def test_it_lies_near_the_originals_figure_whose_order_of_ties_is_arbitrary(golden, case):
    data = golden("gch_calc_map")
    codes = data[f"qB_{case}"], data[f"rB_{case}"]
    labels = data[f"qL_{case}"], data[f"rL_{case}"]
    quality = mean_average_precision(*codes, *labels)
    assert quality.queries_without_relevant == data[f"no_relevant_{case}"]
    bits = codes[0].shape[1]
    distances = (bits - codes[0].astype(int) @ codes[1].T.astype(int)) // 2
    relevant = labels[0].astype(int) @ labels[1].T.astype(int) > 0
    bounds = []
    for worst in (True, False):
        keys = [
            np.lexsort((hits if worst else ~hits, row)) for row, hits in zip(distances, relevant, strict=True)
        ]
        ordered = [average_precision(hits[key]) for key, hits in zip(keys, relevant, strict=True)]
        bounds.append(np.mean(ordered))
    assert bounds[0] <= quality.mean_average_precision <= bounds[1]
    assert bounds[0] - 1e-9 <= data[f"map_stable_{case}"] <= bounds[1] + 1e-9


def test_the_order_of_the_database_does_not_matter():
    random = np.random.default_rng(1)
    codes, labels = random.choice([-1, 1], (60, 8)), random.random((60, 5)) < 0.3
    order = random.permutation(50)
    first = mean_average_precision(codes[50:], codes[:50], labels[50:], labels[:50])
    second = mean_average_precision(codes[50:], codes[:50][order], labels[50:], labels[:50][order])
    assert first.mean_average_precision == pytest.approx(second.mean_average_precision, abs=1e-12)


def test_blocks_do_not_change_the_figures(monkeypatch):
    random = np.random.default_rng(2)
    codes, labels = random.choice([-1, 1], (40, 16)), random.random((40, 4)) < 0.4
    whole = distance_histograms(codes[:10], codes[10:], labels[:10], labels[10:])
    monkeypatch.setattr(ranking, "QUERY_BLOCK_ENTRIES", 70)
    for one, other in zip(
        whole, distance_histograms(codes[:10], codes[10:], labels[:10], labels[10:]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_query_without_relevant_items_counts_0_and_is_reported():
    labels = np.array([[1, 0], [0, 1]])
    codes = np.array([[1, 1], [1, -1]])
    quality = mean_average_precision(codes, codes[:1], labels, labels[:1])
    assert quality == (0.5, 2, 1)
