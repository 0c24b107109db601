import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gch.methods.gch.neighbours import NeighbourLabels, blend, nearest_others

VECTORS = np.array([[1, 0], [3, 0.3], [0, 2], [-1, 0]], np.float32)
LABELS = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.float32)


def test_blend_by_hand():
    labels = tf.constant([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 0.0]]])
    cosines = tf.constant([[1.0, 0.5], [0.5, 0.0]])
    # Weights of the first item: 1 and e^-1, of their sum; the second has one neighbour only.
    near = 1 / (1 + np.exp(-1))
    blended = blend(labels, cosines, tf.constant(2.0))
    np.testing.assert_allclose(blended, [[near, 1 - near], [1, 1]], rtol=1e-6)


def test_an_item_with_nothing_in_common_gets_no_labels():
    blended = blend(tf.ones((1, 3, 2)), tf.constant([[0.0, -0.2, 0.0]]), tf.constant(10.0))
    assert blended.numpy().tolist() == [[0.0, 0.0]]


@settings(deadline=None)
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
    between = float(VECTORS[0] @ VECTORS[1] / np.linalg.norm(VECTORS[1]))
    np.testing.assert_allclose(cosines[0, 2], between, rtol=1e-5)


def test_nearest_others_of_many_items_are_those_of_a_plain_search():
    vectors = np.random.default_rng(0).normal(size=(1500, 6)).astype(np.float32)  # more than a block
    positions, cosines = nearest_others(vectors, 5)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    plain = unit @ unit.T
    np.fill_diagonal(plain, 2)
    np.testing.assert_array_equal(positions, np.argsort(-plain, axis=1)[:, :6])
    np.testing.assert_allclose(cosines[:, 0], 1, atol=1e-5)


def layer(count: int = 1) -> NeighbourLabels:
    made = NeighbourLabels(items=4, features=2, labels=2, count=count)
    made.set_items(VECTORS, LABELS)
    return made


def test_the_layer_gives_a_training_item_its_own_labels():
    np.testing.assert_array_equal(layer()(VECTORS), LABELS)


def test_the_layer_blends_for_a_new_item():
    new = np.array([[2.0, 2.0]], np.float32)
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    cosines = (unit @ new[0] / np.linalg.norm(new))[[1, 0, 2]]
    weights = np.exp(10 * cosines)
    expected = weights @ LABELS[[1, 0, 2]] / weights.sum()
    np.testing.assert_allclose(layer(count=3)(new)[0], expected, rtol=1e-5)


def test_an_item_may_be_left_out_by_its_position_and_its_double_stays():
    made = NeighbourLabels(items=3, features=2, labels=2, count=1)
    made.set_items(VECTORS[[0, 0, 1]], LABELS[[0, 2, 1]])  # the first two have one vector
    own = np.array([0, 1, 2, -1], np.int32)
    found = made(VECTORS[[0, 0, 1, 0]], own).numpy()
    np.testing.assert_array_equal(found[:2], LABELS[[2, 0]])
    np.testing.assert_array_equal(found[2:], LABELS[[0, 0]])


def test_an_item_that_is_left_out_is_no_neighbour_even_where_all_are_taken():
    made = layer(count=4)
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    weights = np.exp(10 * (unit @ unit[1]))[[0, 2]]
    expected = weights @ LABELS[[0, 2]] / weights.sum()
    np.testing.assert_allclose(made(VECTORS[[1]], np.array([1], np.int32))[0], expected, rtol=1e-5)


@pytest.mark.parametrize("count", [0, 2])
def test_no_neighbours_or_no_vector_gives_zeros(count):
    assert layer(count)(np.zeros((2, 2), np.float32)).numpy().tolist() == [[0, 0], [0, 0]]
    assert not layer(0)(VECTORS).numpy().any()


def test_only_the_sharpness_is_trained():
    made = layer()
    assert [weight.shape for weight in made.trainable_variables] == [()]
    assert len(made.non_trainable_variables) == 2


def test_a_saved_layer_knows_its_items(tmp_path):
    inputs = keras.Input((2,))
    keras.Model(inputs, layer(2)(inputs)).save(tmp_path / "layer.keras")
    again = keras.saving.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(again(VECTORS), layer(2)(VECTORS))
