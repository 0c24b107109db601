"""The graph convolution as a Keras layer."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="gch")
class GraphConvolution(keras.layers.Layer):
    """A_hat X W, without bias (Kipf and Welling, ICLR 2017, equation 2, before its activation).

    Called with [X (B, D), A_hat (B, B)]; returns (B, units).
    """

    def __init__(self, units: int, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        """Creates W (D, units)."""
        features, _ = input_shape
        self.kernel = self.add_weight(
            name="kernel", shape=(features[-1], self.units), initializer=self.kernel_initializer
        )

    def call(self, inputs):
        """Multiplies by W first: units is never larger than D here."""
        features, affinity = inputs
        return tf.matmul(affinity, tf.matmul(features, self.kernel))

    def compute_output_shape(self, input_shape):
        """(B, units)."""
        features, _ = input_shape
        return (features[0], self.units)

    def get_config(self):
        """Arguments of the constructor."""
        return super().get_config() | {
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
