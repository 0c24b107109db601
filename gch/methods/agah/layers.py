"""The layers between the features of AGAH and its codes: their scale, and attention by the feature map."""

import keras
import tensorflow as tf

SHARPNESS = 5.0  # of the attention's mask


def attend(features: tf.Tensor, feature_map: tf.Tensor, share: float) -> tf.Tensor:
    """F' = share f + (1 - share) m Z / sum m with the mask m = sigmoid(5 f Z^T) over the labels.

    Args:
      features: float (B, E).
      feature_map: float (C, E), the feature Z of every label.
      share: of the features themselves, in [0, 1].

    Returns:
      float (B, E).
    """
    mask = tf.sigmoid(SHARPNESS * tf.matmul(features, feature_map, transpose_b=True))
    seen = tf.matmul(mask, feature_map) / tf.reduce_sum(mask, axis=1, keepdims=True)
    return share * features + (1 - share) * seen


@keras.saving.register_keras_serializable(package="gch")
class LabelAttention(keras.layers.Layer):
    """`attend` as a layer, which holds the feature map: zeros at first, under which it only scales.

    Maps (B, E) to (B, E).
    """

    def __init__(self, labels: int, share: float, **kwargs):
        super().__init__(**kwargs)
        self.labels = labels
        self.share = share

    def build(self, input_shape):
        """Creates the feature map (C, E), which training sets and no gradient changes."""
        self.feature_map = self.add_weight(
            name="feature_map", shape=(self.labels, input_shape[-1]), initializer="zeros", trainable=False
        )

    def call(self, inputs):
        """Attends from features (B, E)."""
        return attend(inputs, tf.convert_to_tensor(self.feature_map), self.share)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

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

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape
