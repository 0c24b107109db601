"""Every measure, under every policy, against its definition on all orders of the ties."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gch.evaluation import measures
from gch.evaluation.rankings import grouped, ranked

MOST = 2  # labels shared
databases = st.lists(st.tuples(st.integers(0, 2), st.integers(0, MOST)), min_size=1, max_size=7)
cutoffs = st.integers(1, 8)


def precisions(ranking):
    """The precision at the rank of each relevant item."""
    ranks = [rank for rank, shared in enumerate(ranking, 1) if shared]
    return [found / rank for found, rank in enumerate(ranks, 1)]


def mean(values) -> float:
    return sum(values) / len(values) if values else 0.0


def discounted(ranking, cutoff) -> float:
    return sum((2**shared - 1) / math.log2(1 + rank) for rank, shared in enumerate(ranking[:cutoff], 1))


DEFINITIONS = {
    "average_precision": lambda ranking, cutoff: mean(precisions(ranking)),
    "average_precision_truncated": lambda ranking, cutoff: mean(precisions(ranking[:cutoff])),
    "average_precision_relevant": lambda ranking, cutoff: mean(precisions(ranking)[:cutoff]),
    "precision_at": lambda ranking, cutoff: mean([shared > 0 for shared in ranking[:cutoff]]),
    "recall_at": lambda ranking, cutoff: (
        sum(shared > 0 for shared in ranking[:cutoff]) / max(1, sum(shared > 0 for shared in ranking))
    ),
    "average_cumulative_gain": lambda ranking, cutoff: mean(ranking[:cutoff]),
    "normalized_discounted_gain": lambda ranking, cutoff: (
        discounted(ranking, cutoff) / (discounted(sorted(ranking, reverse=True), cutoff) or 1)
    ),
}


def counts_of(database) -> np.ndarray:
    counts = np.zeros((1, 3, MOST + 1), np.int64)
    for distance, shared in database:
        counts[0, distance, shared] += 1
    return counts


def orders(database):
    """All rankings that the distances allow."""
    groups = [[shared for distance, shared in database if distance == d] for d in range(3)]
    return [
        list(itertools.chain(*order)) for order in itertools.product(*map(itertools.permutations, groups))
    ]


def measured(name, groups, cutoff) -> float:
    arguments = (groups,) if name == "average_precision" else (groups, cutoff)
    return getattr(measures, name)(*arguments)[0]


def in_order(ranking):
    """The groups of a ranking without ties."""
    by_shared = np.bincount(ranking, minlength=MOST + 1)
    return ranked(np.array([ranking], np.uint8), by_shared[None, None])


@pytest.mark.parametrize("name", DEFINITIONS)
@given(database=databases, cutoff=cutoffs)
def test_every_policy_measures_the_orders_that_it_says(name, database, cutoff):
    shared = [shared for _, shared in database]
    best, worst = (
        [item[1] for item in sorted(database, key=lambda item: (item[0], sign * item[1]))] for sign in (-1, 1)
    )
    counts = counts_of(database)
    for groups, rankings in (
        (grouped(counts, "tie-aware"), orders(database)),
        (grouped(counts, "optimistic"), [best]),
        (grouped(counts, "pessimistic"), [worst]),
        (in_order(shared), [shared]),
    ):
        expected = np.mean([DEFINITIONS[name](ranking, cutoff) for ranking in rankings])
        assert measured(name, groups, cutoff) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["average_precision_truncated", "average_precision_relevant"])
def test_in_large_ties_the_expectation_is_what_drawing_orders_gives(name):
    # Ties of hundreds, where sums of probabilities could lose their digits.
    counts, random = np.random.default_rng(0).integers(0, 300, (1, 5, MOST + 1)), np.random.default_rng(1)
    ties = [np.repeat(np.arange(MOST + 1), group) for group in counts[0]]
    draws = [
        measured(name, in_order(np.concatenate([random.permutation(tie) for tie in ties])), 500)
        for _ in range(400)
    ]
    found = measured(name, grouped(counts, "tie-aware"), 500)
    assert found == pytest.approx(np.mean(draws), abs=5 * np.std(draws) / np.sqrt(len(draws)))


def test_precision_where_a_share_of_the_relevant_items_is_found_and_within_radii():
    # Distance 0: a relevant item; 1: two relevant ones of four; 2: the last relevant of two.
    groups = grouped(np.array([[[0, 1], [2, 2], [1, 1]]]), "tie-aware")
    found = measures.precision_at_recall(groups, np.array([0.25, 0.5, 0.75, 1.0]))[0]
    # Half of the items of the tie, two, hold half of its relevant items, one.
    np.testing.assert_allclose(found, [1, 2 / 3, 3 / 5, 4 / 7])
    precision, recall = measures.precision_recall_of_radii(groups)
    np.testing.assert_allclose(precision, [[1, 3 / 5, 4 / 7]])
    np.testing.assert_allclose(recall, [[1 / 4, 3 / 4, 1]])
    without = grouped(np.array([[[0, 0], [3, 0], [2, 0]]]), "tie-aware")
    assert measures.precision_at_recall(without, np.array([0.5]))[0] == 0
    np.testing.assert_allclose(measures.precision_recall_of_radii(without)[0], [[np.nan, 0, 0]])
