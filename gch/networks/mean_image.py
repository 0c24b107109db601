"""Subtraction of a mean image, the preprocessing of the VGG-F family."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="gch")
class SubtractMeanImage(keras.layers.Layer):
    """Maps RGB images to their difference from a mean image.

    Input (B, H, W, 3), uint8 or float, 0..255; output float32 of the same shape. The mean image is the
    non-trainable weight `mean` (H, W, 3), zero until `set_mean`, so that it travels with a saved model.
    """

    def __init__(self, dtype: str = "float32", **kwargs):
        # Not under a mixed precision policy: half precision would round the pixels before the subtraction.
        super().__init__(dtype=dtype, **kwargs)

    def build(self, input_shape: tuple) -> None:
        """Creates the weight; H and W must be known."""
        self.mean = self.add_weight(
            name="mean", shape=input_shape[1:], initializer="zeros", trainable=False, dtype="float32"
        )

    def set_mean(self, mean: np.ndarray) -> None:
        """Takes a mean image (H, W, 3), or anything that broadcasts to it, such as a mean colour (3,)."""
        self.mean.assign(np.broadcast_to(np.asarray(mean, "float32"), self.mean.shape))

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Subtracts the mean image from `inputs`."""
        return ops.cast(inputs, "float32") - self.mean
