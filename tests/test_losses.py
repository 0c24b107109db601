"""The losses that the original has not; those that it has are in test_gch_parity.py."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from gch.evaluation.measures import average_precision
from gch.evaluation.rankings import grouped
from gch.methods.gch.ranking import average_precision_loss, imbalance

ALL = tf.ones((1, 4))
TOLERANCE = 0.15  # a tie counts as ranked in its middle, which is a little less than the expectation


def loss(inner, similar, counted=ALL, bins=5) -> float:
    return float(average_precision_loss(tf.constant([inner]), tf.constant([similar]), counted, bins))


def test_average_precision_by_hand():
    # Distances 0, 1/4, 1/2, 1 of the range, each in a bin of its own: ranks 1 to 4.
    inner = [1.0, 0.5, 0.0, -1.0]
    assert loss(inner, [1.0, 1.0, 0.0, 0.0]) == pytest.approx(0.0, abs=1e-6)
    assert loss(inner, [1.0, 0.0, 1.0, 0.0]) == pytest.approx(1 - (1 + 2 / 3) / 2)
    assert loss(inner, [0.0, 0.0, 0.0, 1.0]) == pytest.approx(1 - 1 / 4)
    # Without the first item the second is at the top.
    assert loss(inner, [0.0, 1.0, 0.0, 0.0], tf.constant([[0.0, 1.0, 1.0, 1.0]])) == pytest.approx(
        0.0, abs=1e-6
    )


def test_a_tie_of_two_is_ranked_in_its_middle():
    # One bin of two items, one of them similar: rank 3/2, of which 1 is similar.
    assert loss([1.0, 1.0, -1.0, -1.0], [1.0, 0.0, 0.0, 0.0]) == pytest.approx(1 - 1 / 1.5)


def test_a_query_without_similar_items_counts_one_and_has_no_gradient():
    inner = tf.Variable([[0.3, 0.1]])
    with tf.GradientTape() as tape:
        value = average_precision_loss(inner, tf.zeros((1, 2)), tf.ones((1, 2)), 5)
    assert float(value) == 1.0
    assert not np.any(tape.gradient(value, inner))


@pytest.mark.parametrize("relevant", [1, 5, 200])
def test_on_binary_codes_it_is_close_to_the_exact_figure(relevant):
    """200 queries of 16 bits; `relevant` of 512 items are similar, and lie nearer."""
    random, bits, queries = np.random.default_rng(relevant), 16, 200
    similar = np.tile(np.arange(512) < relevant, (queries, 1))
    distances = random.binomial(bits, np.where(similar, 0.35, 0.5))
    exact = average_precision(grouped(counts(distances, similar, bits), "tie-aware")).mean()
    inner = tf.constant(1 - 2 * distances / bits, tf.float32)
    every = tf.ones((queries, 512))
    relaxed = 1 - float(average_precision_loss(inner, tf.cast(similar, tf.float32), every, bits + 1))
    assert relaxed == pytest.approx(exact, rel=TOLERANCE)


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_without_ties_it_is_the_exact_figure(seed, items):
    random = np.random.default_rng(seed)
    distances = random.permutation(items)[None]
    similar = random.random((1, items)) < 0.5
    exact = average_precision(grouped(counts(distances, similar, items), "tie-aware")).mean()
    inner = tf.constant(1 - 2 * distances / items, tf.float32)
    relaxed = average_precision_loss(inner, tf.cast(similar, tf.float32), tf.ones((1, items)), items + 1)
    assert 1 - float(relaxed) == pytest.approx(exact, abs=1e-5)


def counts(distances: np.ndarray, similar: np.ndarray, bits: int) -> np.ndarray:
    """Items at each distance (Q, bits + 1, 2), dissimilar and similar."""
    at = distances[:, :, None] == np.arange(bits + 1)
    return np.stack([(at & ~similar[:, :, None]).sum(axis=1), (at & similar[:, :, None]).sum(axis=1)], axis=2)


def test_imbalance_by_hand():
    # Means of the bits: 1, 0 and -1/2.
    assert float(imbalance(tf.constant([[1.0, 1.0, -1.0], [1.0, -1.0, 0.0]]))) == pytest.approx(0.5)
