import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranked import distances, random_items

from gch.evaluation import counts
from gch.evaluation.codes import CodedItems
from gch.evaluation.counts import most_labels, ranked_shared_labels, shared_label_counts
from gch.evaluation.counts_numba import count as count_by_numba

ENGINES = {"numba": count_by_numba, "numpy": counts.count_by_numpy}


def shared_labels(queries: CodedItems, database: CodedItems) -> np.ndarray:
    """Numbers of shared labels (Q, N)."""
    return (queries.labels[:, None] & database.labels).sum(axis=2, dtype=int)


def plain_counts(queries: CodedItems, database: CodedItems, most: int) -> np.ndarray:
    counts = np.zeros((len(queries), queries.bits + 1, most + 1), int)
    shared = np.minimum(shared_labels(queries, database), most)
    np.add.at(counts, (np.arange(len(queries))[:, None], distances(queries, database), shared), 1)
    return counts


@pytest.mark.parametrize("engine", ENGINES)
@given(
    seed=st.integers(0, 1000),
    queries=st.integers(1, 20),
    items=st.integers(1, 40),
    bits=st.sampled_from([1, 5, 8, 16, 63, 64, 65, 130]),
    labels=st.sampled_from([1, 3, 24, 65, 81]),
)
def test_every_engine_counts_what_comparing_bit_by_bit_counts(engine, seed, queries, items, bits, labels):
    sets = random_items(seed, queries, bits, labels), random_items(seed + 1, items, bits, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "_engine", lambda: ENGINES[engine])
        for most in (1, most_labels(sets[0])):
            np.testing.assert_array_equal(shared_label_counts(*sets, most), plain_counts(*sets, most))


def test_tiles_make_no_difference():
    sets = random_items(0, 37, 16, 5), random_items(1, 4500, 16, 5)
    np.testing.assert_array_equal(shared_label_counts(*sets, 5), plain_counts(*sets, 5))


def test_numba_counts_where_it_is_installed(monkeypatch):
    assert counts._engine() is count_by_numba
    monkeypatch.setitem(sys.modules, "gch.evaluation.counts_numba", None)
    assert counts._engine() is counts.count_by_numpy


def test_ties_are_ranked_in_the_order_of_the_database():
    sets = random_items(2, 5, 8, 3), random_items(3, 200, 8, 3)
    order = np.argsort(distances(*sets), axis=1, kind="stable")
    expected = np.take_along_axis(shared_labels(*sets), order, axis=1)
    np.testing.assert_array_equal(ranked_shared_labels(*sets), expected)
