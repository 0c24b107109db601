"""Local response normalisation across channels, as VGG-F uses it."""

import keras
import numpy as np
from keras import ops


def local_response_normalization(
    x: keras.KerasTensor,
    depth_radius: int = 2,
    bias: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> keras.KerasTensor:
    """Divides every value by a power of the energy of its neighbours in channel order.

        y_c = x_c * (bias + alpha * sum of x_j^2 over |j - c| <= depth_radius) ^ -beta

    Source: Krizhevsky et al. 2012, section 3.3; the defaults are those of VGG-F (Chatfield et al. 2014).
    `tf.nn.local_response_normalization` computes the same. The sum over neighbours is a product with a
    banded (C, C) matrix of ones, for which forward and backward pass together need half the time of that
    operation on a CPU.

    Args:
      x: float tensor (..., C), C known. Computed in float32 whatever the dtype, since squares overflow
        float16 above 255.
      depth_radius: number of neighbours on each side, 0 or more.
      bias: positive.
      alpha: 0 or more.
      beta: any number.

    Returns:
      Tensor of the shape and dtype of `x`.
    """
    channels = x.shape[-1]
    position = np.arange(channels)
    band = (np.abs(position[:, None] - position) <= depth_radius).astype("float32")

    values = ops.cast(x, "float32")
    # A matrix product of rank 2: one large product instead of one for each image row.
    energy = ops.matmul(ops.reshape(ops.square(values), (-1, channels)), alpha * band)
    # exp(-beta log s) rather than s ** -beta: the general power, and its gradient, is twice as slow.
    scale = ops.exp(-beta * ops.log(bias + energy))
    return ops.cast(values * ops.reshape(scale, ops.shape(values)), x.dtype)


@keras.saving.register_keras_serializable(package="gch")
class LocalResponseNormalization(keras.layers.Layer):
    """`local_response_normalization` as a layer; maps (B, H, W, C) to (B, H, W, C)."""

    def __init__(
        self, depth_radius: int = 2, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **kwargs
    ):
        super().__init__(**kwargs)
        self.depth_radius = depth_radius
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Normalises `inputs` (B, H, W, C)."""
        return local_response_normalization(inputs, self.depth_radius, self.bias, self.alpha, self.beta)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
