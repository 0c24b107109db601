"""The networks of AGAH as Keras models, and the attention between their features and their codes.

The image and the text network return a dictionary: `code` (B, K) in (-1, 1), `label` logits (B, C) and
`feature` (B, E), normalised, before the attention. All of these are float32 under every precision.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from gch.networks.parts import dense

DISCRIMINATOR_WIDTH = 256
SHARPNESS = 5.0  # of the attention's mask


@keras.saving.register_keras_serializable(package="gch")
class LabelAttention(keras.layers.Layer):
    """Features f (B, E) to share f + (1 - share) m Z / sum m, with the mask m = sigmoid(5 f Z^T) over the
    labels. The feature map Z (C, E) is zeros at first, with which the layer only scales.
    """

    def __init__(self, labels: int, share: float, **kwargs):
        super().__init__(**kwargs)
        self.labels, self.share = labels, share

    def build(self, input_shape):
        """Creates the feature map (C, E), which training sets and no gradient changes."""
        self.feature_map = self.add_weight(
            name="feature_map", shape=(self.labels, input_shape[-1]), initializer="zeros", trainable=False
        )

    def call(self, inputs):
        """Attends from features (B, E)."""
        feature_map = tf.convert_to_tensor(self.feature_map)
        mask = tf.sigmoid(SHARPNESS * tf.matmul(inputs, feature_map, transpose_b=True))
        seen = tf.matmul(mask, feature_map) / tf.reduce_sum(mask, axis=1, keepdims=True)
        return self.share * inputs + (1 - self.share) * seen

    def get_config(self):
        """Arguments of the constructor."""
        return super().get_config() | {"labels": self.labels, "share": self.share}


@keras.saving.register_keras_serializable(package="gch")
class BatchNormalized(keras.layers.Layer):
    """Features (B, E) divided by the Frobenius norm of the batch, which counts as a constant.

    The original's: the code of an item depends on the others in its batch, and on how many they are.
    """

    def call(self, inputs):
        """Divides features (B, E)."""
        return inputs / tf.stop_gradient(tf.maximum(tf.norm(inputs), 1e-12))


def network(
    name: str,
    inputs: int,
    widths: Sequence[int],
    *,
    bits: int,
    labels: int,
    embedding: int,
    start: str,
    feature_norm: str,
    attention: LabelAttention,
) -> keras.Model:
    """Vectors -> widths -> E, each with ReLU, normalised; attention; E -> K tanh; E -> C.

    The original's hidden widths are 8192 and 4096 for texts, none for images. Both networks share the
    `attention`. `feature_norm` is 'item', which gives features unit length, or 'batch', those of a batch
    together; `start` is that of `gch.networks.parts.initializer`.
    """
    vectors = keras.Input((inputs,), name="vectors")
    hidden = vectors
    for number, width in enumerate(widths, start=1):
        hidden = dense(hidden, width, start, f"hidden_{number}", activation="relu")
    # ReLU in float32: where all features of an item are 0, their norm has a gradient of 1e12.
    feature = keras.layers.Activation("relu", name="feature_raw", dtype="float32")(
        dense(hidden, embedding, start, "feature_dense")
    )
    norm = BatchNormalized if feature_norm == "batch" else keras.layers.UnitNormalization
    feature = norm(name="feature", dtype="float32")(feature)
    attended = attention(feature)
    code = dense(attended, bits, start, "code", activation="tanh", dtype="float32")
    label = dense(attended, labels, start, "label", dtype="float32")
    return keras.Model(vectors, {"code": code, "label": label, "feature": feature}, name=name)


def discriminator(embedding: int, start: str, name: str) -> keras.Model:
    """E -> E -> 256 -> 1, with ReLU between: features (B, E) to scores (B, 1), in float32."""
    inputs = keras.Input((embedding,), name="features")
    hidden = dense(inputs, embedding, start, "hidden_1", activation="relu", dtype="float32")
    hidden = dense(hidden, DISCRIMINATOR_WIDTH, start, "hidden_2", activation="relu", dtype="float32")
    return keras.Model(inputs, dense(hidden, 1, start, "score", dtype="float32"), name=name)
