import numpy as np
import pytest
import tensorflow as tf

from gch.methods.gch.students import CodeMemory
from gch.settings import load_settings

LABELS = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
CODES = np.linspace(-0.9, 0.8, 32, dtype=np.float32).reshape(4, 8)
BATCH = tf.constant([2, 1])
SIMILAR = [[1, 0], [1, 1], [1, 1], [0, 0]]


@pytest.fixture
def memory(repository):
    def build(**changes):
        settings = load_settings(repository / "setting.py", {"bit": 8, **changes})
        made = CodeMemory(settings, LABELS, "codes")
        made.update(tf.constant([3, 0, 1, 2]), tf.constant(CODES[[3, 0, 1, 2]]))
        return made

    return build


def test_an_update_replaces_the_codes_of_the_batch(memory):
    np.testing.assert_array_equal(memory().codes, CODES)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_update_leaves_the_other_items_alone(memory, jit_compile):
    made = memory()
    tf.function(made.update, jit_compile=jit_compile)(BATCH, tf.constant(-CODES[:2]))
    np.testing.assert_array_equal(made.codes, [CODES[0], -CODES[1], -CODES[0], CODES[3]])


@pytest.mark.parametrize(("kind", "expected"), [("sign", np.where(CODES >= 0, 1, -1)), ("relaxed", CODES)])
def test_a_batch_is_compared_with_signs_or_relaxed_codes_of_all_items(memory, kind, expected):
    codes, similar = memory(memory=kind, pair_items=0).pairs(tf.zeros((2, 8)), BATCH)
    np.testing.assert_array_equal(codes, expected)
    assert similar.numpy().tolist() == SIMILAR


def test_targets_take_the_place_of_the_memory(memory):
    targets = tf.Variable(-CODES)
    codes, _ = memory(memory="sign", pair_items=0).pairs(tf.zeros((2, 8)), BATCH, targets)
    np.testing.assert_array_equal(codes, -CODES)


def test_a_batch_compared_with_itself(memory):
    own = tf.constant(CODES[1:3] / 2)
    codes, similar = memory(memory="batch").pairs(own, BATCH, tf.Variable(CODES))
    np.testing.assert_array_equal(codes, own)
    assert similar.numpy().tolist() == [[1, 1], [1, 1]]
    _, similar = memory(memory="batch").pairs(own, tf.constant([0, 1]))
    assert similar.numpy().tolist() == [[1, 0], [0, 1]]


def test_drawn_items_keep_their_similarities(memory):
    codes, similar = memory(memory="relaxed", pair_items=3).pairs(tf.zeros((2, 8)), BATCH)
    assert codes.shape == (3, 8)
    rows = [int(np.flatnonzero((code == CODES).all(axis=1))[0]) for code in codes.numpy()]
    assert similar.numpy().tolist() == [SIMILAR[row] for row in rows]
