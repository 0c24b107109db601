"""The networks of GCH as Keras models: label (teacher), text and image (students).

Each returns a dictionary: `code` (B, K) in (-1, 1), `label` logits (B, C) and `feature` (B, E); the students
also return the `vector` that they read, words (B, D) or the backbone's features (B, F). All of these are
float32 under every precision. `start` is 'glorot', or 'normal' for N(0, 1) weights and biases; dropout rates
are in [0, 1).
"""

import keras

from gch.networks.parts import dense, drop, float32

LEAK = 0.2
BATCH_NORM_MOMENTUM = 0.9  # not .99: a stage can be as short as a hundred steps


def label_network(labels: int, bits: int, embedding: int, start: str) -> keras.Model:
    """C -> E -> E, each with batch norm and leaky ReLU; E -> K tanh; K -> C."""
    inputs = keras.Input((labels,), name="labels")
    hidden = block(inputs, embedding, start, "hidden")
    feature = float32(block(hidden, embedding, start, "feature"), "feature")
    code = dense(feature, bits, start, "code", activation="tanh", dtype="float32")
    label = dense(code, labels, start, "label", dtype="float32")
    return keras.Model(inputs, {"code": code, "feature": feature, "label": label}, name="label")


def text_network(
    words: int, labels: int, bits: int, embedding: int, start: str, dropout: float, word_dropout: float = 0.0
) -> keras.Model:
    """D -> E -> E -> E, each with batch norm and leaky ReLU; E -> K tanh; E -> C. Dropout is on the words,
    and after the first two layers.
    """
    inputs = keras.Input((words,), name="texts")
    hidden = drop(inputs, word_dropout, "dropout_words")
    hidden = drop(block(hidden, embedding, start, "hidden_1"), dropout, "dropout_1")
    hidden = drop(block(hidden, embedding, start, "hidden_2"), dropout, "dropout_2")
    feature = float32(block(hidden, embedding, start, "feature"), "feature")
    code = dense(feature, bits, start, "code", activation="tanh", dtype="float32")
    label = dense(feature, labels, start, "label", dtype="float32")
    outputs = {"code": code, "feature": feature, "label": label, "vector": float32(inputs, "vector")}
    return keras.Model(inputs, outputs, name="text")


def image_head(
    features: int, labels: int, bits: int, embedding: int, start: str, dropout: float
) -> keras.Model:
    """F -> E with batch norm and leaky ReLU; E -> K batch norm tanh; E -> C. Dropout is on the features, and
    on the embedding that code and labels are computed from.
    """
    inputs = keras.Input((features,), name="image_features")
    feature = float32(block(drop(inputs, dropout, "dropout_1"), embedding, start, "feature"), "feature")
    dropped = drop(feature, dropout, "dropout_2")
    code = dense(dropped, bits, start, "code_dense", dtype="float32")
    code = batch_norm(code, "code_norm", dtype="float32")
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(code)
    label = dense(dropped, labels, start, "label", dtype="float32")
    outputs = {"code": code, "feature": feature, "label": label, "vector": float32(inputs, "vector")}
    return keras.Model(inputs, outputs, name="image_head")


def batch_norm(inputs, name: str, dtype=None):
    """Batch norm of a Keras tensor (B, F)."""
    return keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=1e-3, name=name, dtype=dtype
    )(inputs)


def block(inputs, units: int, start: str, name: str, dtype=None):
    """Dense layer, batch norm and leaky ReLU on a Keras tensor (B, F)."""
    hidden = batch_norm(dense(inputs, units, start, f"{name}_dense", dtype=dtype), f"{name}_norm", dtype)
    return keras.layers.LeakyReLU(LEAK, name=f"{name}_relu", dtype=dtype)(hidden)
