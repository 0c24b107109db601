import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.python.eager.context import context

from gch.evaluation import counts, counts_numba, counts_tensorflow
from gch.evaluation.coded import CodedItems, coded_items
from gch.evaluation.counts import most_labels, ranked_shared_labels, shared_label_counts

ENGINES = {"numba": counts_numba, "tensorflow": counts_tensorflow}


def random_items(seed: int, items: int, bits: int, labels: int) -> CodedItems:
    random = np.random.default_rng(seed)
    return coded_items(random.choice([-1, 1], (items, bits)), random.random((items, labels)) < 0.4)


def signs(items: CodedItems) -> np.ndarray:
    return 2 * np.unpackbits(items.codes, axis=1, count=items.bits).astype(int) - 1


def plain_counts(queries: CodedItems, database: CodedItems) -> np.ndarray:
    counts = np.zeros((len(queries), queries.bits + 1, most_labels(queries) + 1), np.int64)
    for query, (code, labels) in enumerate(zip(signs(queries), queries.labels, strict=True)):
        for other, other_labels in zip(signs(database), database.labels, strict=True):
            counts[query, (code != other).sum(), (labels & other_labels).sum()] += 1
    return counts


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    queries=st.integers(1, 20),
    items=st.integers(1, 40),
    bits=st.sampled_from([1, 5, 8, 16, 63, 64, 65, 130]),
    labels=st.sampled_from([1, 3, 24, 65, 81]),
)
def test_every_engine_counts_what_comparing_one_by_one_counts(engine, seed, queries, items, bits, labels):
    asked = random_items(seed, queries, bits, labels)
    database = random_items(seed + 1, items, bits, labels)
    expected, most = plain_counts(asked, database), most_labels(asked)
    found = ENGINES[engine].shared_label_counts(asked, database, most)
    np.testing.assert_array_equal(found, expected)
    found = ENGINES[engine].shared_label_counts(asked, database, 1)
    np.testing.assert_array_equal(found[:, :, 0], expected[:, :, 0])
    np.testing.assert_array_equal(found[:, :, 1], expected[:, :, 1:].sum(axis=2))


@pytest.mark.parametrize("engine", ENGINES)
def test_tiles_and_blocks_make_no_difference(engine, monkeypatch):
    asked, database = random_items(0, 37, 16, 5), random_items(1, 4500, 16, 5)
    monkeypatch.setattr(counts_tensorflow, "BLOCK_ENTRIES", 10_000)
    found = ENGINES[engine].shared_label_counts(asked, database, most_labels(asked))
    distances = (16 - signs(asked) @ signs(database).T) // 2
    shared = asked.labels.astype(int) @ database.labels.T.astype(int)
    for query in range(len(asked)):
        expected = np.zeros(found.shape[1:], int)
        np.add.at(expected, (distances[query], shared[query]), 1)
        np.testing.assert_array_equal(found[query], expected)


def test_tensorflow_counts_on_the_cpu(monkeypatch):
    """It has no deterministic bincount on a GPU. Soft placement lets the CPU stand for a missing one."""
    asked = []
    bincount = tf.math.bincount

    def watched(cells, **arguments):
        asked.append(context().device_name)
        return bincount(cells, **arguments)

    monkeypatch.setattr(tf.math, "bincount", watched)
    with tf.device("GPU:0"):
        counts_tensorflow.shared_label_counts(random_items(0, 3, 8, 2), random_items(1, 9, 8, 2), 1)
    assert asked[0].endswith("/device:CPU:0")


def test_numba_counts_where_it_is_installed_even_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["GPU:0"])
    assert counts._engine() is counts_numba
    monkeypatch.setitem(sys.modules, "gch.evaluation.counts_numba", None)
    monkeypatch.delattr("gch.evaluation.counts_numba")
    assert counts._engine() is counts_tensorflow


def test_counts_by_hand():
    queries = coded_items(np.array([[1, -1, 1, 1]]), np.array([[1, 1, 0]]))
    database = coded_items(
        np.array([[1, -1, 1, 1], [1, -1, 1, -1], [1, -1, -1, 1], [-1, 1, -1, -1]]),
        np.array([[1, 1, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    )
    expected = np.zeros((1, 5, 3), int)
    expected[0, 0, 2] = expected[0, 1, 0] = expected[0, 1, 1] = expected[0, 4, 1] = 1
    np.testing.assert_array_equal(shared_label_counts(queries, database, 2), expected)
    relevant = np.stack([expected[:, :, 0], expected[:, :, 1:].sum(axis=2)], axis=2)
    np.testing.assert_array_equal(shared_label_counts(queries, database, 1), relevant)
    assert ranked_shared_labels(queries, database).tolist() == [[2, 0, 1, 1]]


def test_ties_are_ranked_in_the_order_of_the_database():
    asked, database = random_items(2, 5, 8, 3), random_items(3, 200, 8, 3)
    distances = (8 - signs(asked) @ signs(database).T) // 2
    shared = asked.labels.astype(int) @ database.labels.T.astype(int)
    order = np.argsort(distances, axis=1, kind="stable")
    np.testing.assert_array_equal(ranked_shared_labels(asked, database), np.take_along_axis(shared, order, 1))
