"""Codes of a data set's items, by networks that tell what they were given."""

from types import SimpleNamespace

import keras
import numpy as np

from gch.data.generated import generate
from gch.evaluation.encoding import encode

PAIRS = generate(items=30, image_size=8)
FEATURES = np.arange(30, dtype=np.float32)[:, None]


def telling(size: int, *, own: bool) -> keras.Model:
    """An encoder whose code is the position that it was given, or else its first input."""
    inputs, positions = keras.Input((size,)), keras.Input((), dtype="int32")
    if own:
        return keras.Model(inputs, {"code": keras.ops.take(inputs, [0], axis=1)})
    given = keras.ops.expand_dims(keras.ops.cast(positions, "float32"), 1)
    return keras.Model([inputs, positions], {"code": given + 0 * keras.ops.take(inputs, [0], axis=1)})


def method(**changes) -> SimpleNamespace:
    words = PAIRS.texts.shape[1]
    encoders = {
        f"encoders{end}": {"image": telling(1, own=own), "text": telling(words, own=own)}
        for end, own in (("", True), ("_without_own", False))
    }
    return SimpleNamespace(**(encoders | {"encoding_batch": 4} | changes))


def test_training_items_are_known_by_their_rows_and_others_by_none():
    rows, training = np.array([29, 7, 3, 20, 8, 0]), np.array([3, 8, 20, 25])
    found = encode(method(), PAIRS, FEATURES, rows, left_out=training)
    for codes in found.codes.values():
        assert codes[:, 0].tolist() == [-1, -1, 0, 2, 1, -1]
    np.testing.assert_array_equal(found.rows, rows)


def test_unless_entries_are_left_out_the_encoders_see_items_alone():
    rows = np.array([29, 7, 3])
    for made, left_out in ((method(), None), (method(encoders_without_own={}), rows)):
        assert encode(made, PAIRS, FEATURES, rows, left_out).codes["image"][:, 0].tolist() == [29, 7, 3]
