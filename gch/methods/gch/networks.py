"""The networks of GCH as Keras models: label (teacher), text and image (students), graph (fusion).

Each returns a dictionary: `code` (B, K) in (-1, 1), `label` logits (B, C) and, but for the graph networks,
`feature` (B, E); the students also return the `vector` that they read, words (B, D) or the backbone's
features (B, F). All of these are float32 under every precision.
"""

import keras

from gch.methods.gch.layers import GraphConvolution
from gch.networks.parts import dense, drop, float32, initializer

LEAK = 0.2
LABEL_GRAPH_WIDTH = 256
LABEL_GRAPH_SHARPNESS = 4.0
BATCH_NORM_MOMENTUM = 0.9  # a stage can be as short as a hundred steps


def label_network(labels: int, bits: int, embedding: int, start: str) -> keras.Model:
    """C -> E -> E, each with batch norm and leaky ReLU; E -> K tanh; K -> C.

    Args:
      labels: number of labels C.
      bits: length of a code K.
      embedding: size of the features E.
      start: 'glorot', or 'normal' for N(0, 1) weights and biases.
    """
    inputs = keras.Input((labels,), name="labels")
    hidden = _block(inputs, embedding, start, "hidden")
    feature = float32(_block(hidden, embedding, start, "feature"), "feature")
    code = dense(feature, bits, start, "code", activation="tanh", dtype="float32")
    label = dense(code, labels, start, "label", dtype="float32")
    return keras.Model(inputs, {"code": code, "feature": feature, "label": label}, name="label")


def text_network(
    words: int,
    labels: int,
    bits: int,
    embedding: int,
    start: str,
    dropout: float,
    word_dropout: float = 0.0,
) -> keras.Model:
    """D -> E -> E -> E, each with batch norm and leaky ReLU; E -> K tanh; E -> C.

    Args:
      words: size of the vocabulary D.
      labels: number of labels C.
      bits: length of a code K.
      embedding: size of the features E.
      start: 'glorot' or 'normal'.
      dropout: rate after each of the first two layers, in [0, 1).
      word_dropout: rate on the words, in [0, 1).
    """
    inputs = keras.Input((words,), name="texts")
    hidden = drop(inputs, word_dropout, "dropout_words")
    hidden = drop(_block(hidden, embedding, start, "hidden_1"), dropout, "dropout_1")
    hidden = drop(_block(hidden, embedding, start, "hidden_2"), dropout, "dropout_2")
    feature = float32(_block(hidden, embedding, start, "feature"), "feature")
    code = dense(feature, bits, start, "code", activation="tanh", dtype="float32")
    label = dense(feature, labels, start, "label", dtype="float32")
    outputs = {"code": code, "feature": feature, "label": label, "vector": float32(inputs, "vector")}
    return keras.Model(inputs, outputs, name="text")


def image_head(
    features: int, labels: int, bits: int, embedding: int, start: str, dropout: float
) -> keras.Model:
    """F -> E with batch norm and leaky ReLU; E -> K batch norm tanh; E -> C.

    Args:
      features: size of the backbone's features F.
      labels: number of labels C.
      bits: length of a code K.
      embedding: size of the features E.
      start: 'glorot' or 'normal'.
      dropout: rate on the backbone's features and on the embedding that the code is made of, in [0, 1).
    """
    inputs = keras.Input((features,), name="image_features")
    feature = float32(_block(drop(inputs, dropout, "dropout_1"), embedding, start, "feature"), "feature")
    dropped = drop(feature, dropout, "dropout_2")
    code = dense(dropped, bits, start, "code_dense", dtype="float32")
    code = _batch_norm(code, "code_norm", dtype="float32")
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(code)
    label = dense(dropped, labels, start, "label", dtype="float32")
    outputs = {"code": code, "feature": feature, "label": label, "vector": float32(inputs, "vector")}
    return keras.Model(inputs, outputs, name="image_head")


def graph_network(embedding: int, labels: int, bits: int, start: str, batch_norm: bool) -> keras.Model:
    """E -> E ReLU -> K tanh, both graph convolutions; K -> C.

    Called with [X (B, E), A_hat (B, B)].

    Args:
      embedding: size of the fused features E.
      labels: number of labels C.
      bits: length of a code K.
      start: 'glorot' or 'normal'.
      batch_norm: normalise X and the hidden layer; without it g takes nearly one value per batch.
    """
    fused = keras.Input((embedding,), name="fused")
    affinity = keras.Input((None,), name="affinity")
    hidden = _batch_norm(fused, "fused_norm") if batch_norm else fused
    initial = initializer(start, embedding)
    hidden = GraphConvolution(embedding, initial, name="convolution_1")([hidden, affinity])
    if batch_norm:
        hidden = _batch_norm(hidden, "hidden_norm")
    hidden = keras.layers.ReLU(name="hidden")(hidden)
    code = GraphConvolution(bits, initial, name="convolution_2", dtype="float32")([hidden, affinity])
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(code)
    label = dense(code, labels, start, "label", dtype="float32")
    return keras.Model([fused, affinity], {"code": code, "label": label}, name="graph")


def label_graph_network(labels: int, bits: int, start: str, name: str) -> keras.Model:
    """2C -> 256 -> 256, each with batch norm and leaky ReLU; 256 -> K tanh: codes over items and labels.

    The first layer is the graph convolution [P, A L] Z: an item is tied to the labels by their probabilities
    P (B, C), and by way of its neighbours, A (B, N), to the labels L (N, C) of those. Z (2C, 256) are the
    features of the label nodes, one set for each kind of tie.

    Args:
      labels: number of labels C.
      bits: length of a code K.
      start: 'glorot' or 'normal'.
      name: of the model.
    """
    probabilities = keras.Input((labels,), name="probabilities")
    neighbours = keras.Input((labels,), name="neighbours")
    # float32 under every precision: it is small, and a CPU has no float16 for its batches.
    ties = keras.layers.Concatenate(name="ties", dtype="float32")([probabilities, neighbours])
    hidden = _block(ties, LABEL_GRAPH_WIDTH, start, "convolution", "float32")
    hidden = _block(hidden, LABEL_GRAPH_WIDTH, start, "hidden", "float32")
    code = dense(hidden, bits, start, "code_dense", dtype="float32")
    # Scaled, so that relaxed codes are nearly signs from the start: the ranking is of signs in the end.
    code = keras.layers.Rescaling(LABEL_GRAPH_SHARPNESS, name="sharpened", dtype="float32")(code)
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(code)
    return keras.Model([probabilities, neighbours], {"code": code}, name=name)


def encoder(
    student: keras.Model, neighbours: keras.layers.Layer, graph: keras.Model, *, own: bool = True
) -> keras.Model:
    """What the student reads to the graph network's `code` (B, K), and the student's `label` logits (B, C).

    Args:
      student: the image or the text network.
      neighbours: `NeighbourLabels` of what the student's vectors are compared with.
      graph: a `label_graph_network`.
      own: whether a training item is its own neighbour. Without, the encoder takes a second input, the
        position (B,) of each item among the training items, or -1, and leaves that neighbour out.
    """
    output = student(student.input)
    probabilities = keras.layers.Activation("sigmoid", name="probabilities", dtype="float32")(output["label"])
    positions = [] if own else [keras.Input((), dtype="int32", name="positions")]
    code = graph([probabilities, neighbours(output["vector"], *positions)])["code"]
    return keras.Model(
        [student.input, *positions] if positions else student.input,
        {"code": code, "label": output["label"]},
        name=f"{student.name}_encoder" if own else f"{student.name}_encoder_without_own",
    )


def _batch_norm(inputs, name: str, dtype=None):
    return keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=1e-3, name=name, dtype=dtype
    )(inputs)


def _block(inputs, units: int, start: str, name: str, dtype=None):
    hidden = _batch_norm(dense(inputs, units, start, f"{name}_dense", dtype=dtype), f"{name}_norm", dtype)
    return keras.layers.LeakyReLU(LEAK, name=f"{name}_relu", dtype=dtype)(hidden)
