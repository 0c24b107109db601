"""Neighbours among the training items, and the labels that they propagate."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gch.methods.gch import neighbours
from gch.methods.gch.neighbours import NeighbourLabels, blend, nearest, nearest_others, unit_length

VECTORS = np.array([[1, 0], [3, 0.3], [0, 2], [-1, 0]], np.float32)
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
LABELS = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.float32)


def test_blend_by_hand():
    labels = tf.constant([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    cosines = tf.constant([[1.0, 0.5], [0.5, 0.0], [0.0, -0.2]])
    # Weights of the first item: 1 and e^-1, of their sum; the second has one neighbour, the third none.
    near = 1 / (1 + np.exp(-1))
    blended = blend(labels, cosines, tf.constant(2.0))
    np.testing.assert_allclose(blended, [[near, 1 - near], [1, 1], [0, 0]], rtol=1e-6)


@given(
    arrays(np.float32, (3, 4), elements=st.floats(-1, 1, width=32)),
    arrays(np.float32, (3, 4, 2), elements=st.sampled_from([0.0, 1.0])),
    st.floats(0, 50),
)
def test_a_blend_lies_between_the_labels(cosines, labels, sharpness):
    blended = blend(tf.constant(labels), tf.constant(cosines), tf.constant(sharpness, tf.float32)).numpy()
    assert np.isfinite(blended).all()
    assert (blended >= 0).all()
    assert (blended <= labels.max(axis=1) + 1e-5).all()


def test_nearest_others_begin_with_the_item_itself_even_among_duplicates():
    vectors = np.repeat(VECTORS[:3], 2, axis=0)
    positions, cosines = nearest_others(vectors, 2)
    assert positions[:, 0].tolist() == list(range(6))
    assert positions[:, 1].tolist() == [1, 0, 3, 2, 5, 4]
    np.testing.assert_allclose(cosines[:, :2], 1, atol=1e-6)
    np.testing.assert_allclose(cosines[0, 2], UNIT[0] @ UNIT[1], rtol=1e-5)


def test_nearest_others_of_many_items_are_those_of_a_plain_search_that_shows_its_progress(
    monkeypatch, capsys
):
    vectors = np.random.default_rng(0).normal(size=(1500, 6)).astype(np.float32)  # more than QUERIES
    positions, _ = nearest_others(vectors, 5)
    assert not capsys.readouterr().out
    monkeypatch.setattr(neighbours, "BLOCK", 1000)
    np.testing.assert_array_equal(nearest_others(vectors, 5)[0], positions)
    assert "  1,500 of 1,500 items" in capsys.readouterr().out
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    plain = unit @ unit.T
    np.fill_diagonal(plain, 2)
    np.testing.assert_array_equal(positions, np.argsort(-plain, axis=1)[:, :6])


def few_directions(total: int, seed: int) -> np.ndarray:
    """Unit vectors (total, 3) with many duplicates, whose cosines are exact in any order of summation."""
    return np.eye(3, dtype=np.float32)[np.random.default_rng(seed).integers(3, size=total)]


@given(st.data())
def test_blocks_find_what_the_whole_finds_ties_too(data):
    total = data.draw(st.integers(1, 23))
    count = data.draw(st.integers(0, total))
    items = few_directions(total, data.draw(st.integers(0, 99)))
    vectors = few_directions(5, data.draw(st.integers(0, 99))) * [[1], [1], [-1], [1], [0]]
    own = data.draw(st.sampled_from([None, np.array([-1, 0, total - 1, total // 2, -1], np.int32)]))
    score = data.draw(st.sampled_from([-1.0, 2.0]))
    # NumPy's stable sort, of equal scores, also takes the first.
    cosines = vectors @ items.T
    scores = cosines if own is None else np.where(np.arange(total) == own[:, None], score, cosines)
    plain = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    for block in (total, data.draw(st.integers(1, total))):
        found = nearest(vectors.astype(np.float32), tf.constant(items), count, own, score, block=block)
        np.testing.assert_array_equal(found.positions, plain)
        np.testing.assert_array_equal(found.scores, np.take_along_axis(scores, plain, axis=1))
        np.testing.assert_array_equal(found.cosines, np.take_along_axis(cosines, plain, axis=1))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_blocks_compile_for_any_number_of_vectors(jit_compile):
    items = tf.constant(few_directions(23, seed=1))

    @tf.function(jit_compile=jit_compile, input_signature=[tf.TensorSpec((None, 3))])
    def search(vectors):
        return nearest(vectors, items, 6, block=5)

    for size in (1, 4):
        vectors = few_directions(size, seed=2)
        np.testing.assert_array_equal(search(vectors).positions, nearest(vectors, items, 6).positions)


def test_blocks_hold_the_cosines_of_one_block():
    items = tf.constant(few_directions(23, seed=1))

    def program(block: int) -> str:
        search = tf.function(lambda vectors: nearest(vectors, items, 2, block=block), jit_compile=True)
        return search.experimental_get_compiler_ir(tf.zeros((4, 3)))(stage="hlo")

    assert "f32[4,23]" in program(block=23)
    assert "f32[4,5]" in program(block=5)
    assert "f32[4,23]" not in program(block=5)


def layer(count: int = 1) -> NeighbourLabels:
    made = NeighbourLabels(items=4, features=2, labels=2, count=count)
    made.set_items(VECTORS, LABELS)
    return made


def weighted(query: np.ndarray, rows: list[int]) -> np.ndarray:
    """The labels that these items propagate, written out."""
    weights = np.exp(10 * UNIT[rows] @ (query / np.linalg.norm(query)))
    return weights @ LABELS[rows] / weights.sum()


def test_the_layer_gives_a_training_item_its_own_labels_and_blends_for_a_new_one():
    np.testing.assert_array_equal(layer()(VECTORS), LABELS)
    new = np.array([2.0, 2.0], np.float32)
    np.testing.assert_allclose(layer(count=3)(new[None])[0], weighted(new, [1, 0, 2]), rtol=1e-5)


def test_an_item_may_be_left_out_by_its_position_and_its_double_stays():
    made = NeighbourLabels(items=3, features=2, labels=2, count=1)
    made.set_items(VECTORS[[0, 0, 1]], LABELS[[0, 2, 1]])  # the first two have one vector
    own = np.array([0, 1, 2, -1], np.int32)
    found = made(VECTORS[[0, 0, 1, 0]], own).numpy()
    np.testing.assert_array_equal(found, LABELS[[2, 0, 0, 0]])
    # Even where all items are taken.
    alone = layer(count=4)(VECTORS[[1]], np.array([1], np.int32))
    np.testing.assert_allclose(alone[0], weighted(VECTORS[1], [0, 2]), rtol=1e-5)


@pytest.mark.parametrize("count", [0, 2])
def test_no_neighbours_or_no_vector_gives_zeros(count):
    assert layer(count)(np.zeros((2, 2), np.float32)).numpy().tolist() == [[0, 0], [0, 0]]
    assert not layer(0)(VECTORS).numpy().any()


def test_only_the_sharpness_is_trained():
    made = layer()
    assert [weight.shape for weight in made.trainable_variables] == [()]
    assert len(made.non_trainable_variables) == 2


@pytest.mark.parametrize("kind", ["keras", "SavedModel"])
def test_a_saved_layer_knows_its_items_and_searches_in_blocks(kind, tmp_path, monkeypatch):
    whole = layer(3)(VECTORS).numpy()
    monkeypatch.setattr(neighbours, "nearest", functools.partial(nearest, block=3))
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layer(3)(inputs))
    if kind == "keras":
        model.save(tmp_path / "layer.keras")
        again = keras.saving.load_model(tmp_path / "layer.keras")
    else:
        model.export(tmp_path / "layer", verbose=False)
        loaded = tf.saved_model.load(tmp_path / "layer")
        again = loaded.serve
    np.testing.assert_allclose(again(VECTORS), whole, rtol=1e-6)


def test_vectors_are_normalized_alike_in_slices(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(700, 33)).astype(np.float32)
    vectors[5] = 0
    whole = tf.math.l2_normalize(tf.constant(vectors), axis=1)
    monkeypatch.setattr(neighbours, "BLOCK", 256)
    np.testing.assert_array_equal(unit_length(vectors), whole)
