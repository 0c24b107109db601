"""Local response normalisation across channels, as VGG-F uses it."""

import keras
import tensorflow as tf


def local_response_normalization(
    x: tf.Tensor,
    depth_radius: int = 2,
    bias: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    later: int | None = None,
) -> tf.Tensor:
    """Divides every value by a power of the energy of its neighbours in channel order.

        y_c = x_c * s_c^-beta,  s_c = bias + alpha * sum of x_j^2 over -depth_radius <= j - c <= later

    Source: Krizhevsky et al. 2012, section 3.3; the defaults are those of VGG-F (Chatfield et al. 2014).
    `tf.nn.local_response_normalization` computes the same. Here value and gradient are one pass over memory
    each, compiled with XLA whatever surrounds them: `benchmarks/vggf_step.py` shows what that is worth.

    Args:
      x: float tensor (..., C), C known. Computed in float32 whatever the dtype, since squares overflow
        float16 above 255.
      depth_radius: number of neighbours on each side, 0 or more.
      later: number of the neighbours after c, where it is another; None: depth_radius.
      bias: positive.
      alpha: 0 or more.
      beta: any number.

    Returns:
      Tensor of the shape and dtype of `x`.
    """
    window = (depth_radius, depth_radius if later is None else later)

    @tf.custom_gradient
    def normalize(x):
        y = _value(x, window, bias, alpha, beta)
        return y, lambda dy: _gradient(x, dy, window, bias, alpha, beta)

    return normalize(tf.convert_to_tensor(x))


@tf.function(jit_compile=True)
def _value(x, window, bias, alpha, beta):
    values = tf.cast(x, tf.float32)
    energy = bias + alpha * _neighbours(values * values, *window)
    return tf.cast(values * tf.exp(-beta * tf.math.log(energy)), x.dtype)


@tf.function(jit_compile=True)
def _gradient(x, dy, window, bias, alpha, beta):
    """dy_c s_c^-beta - 2 alpha beta x_c sum of dy_j x_j s_j^(-beta - 1) over the j whose neighbour c is."""
    values, gradient = tf.cast(x, tf.float32), tf.cast(dy, tf.float32)
    energy = bias + alpha * _neighbours(values * values, *window)
    scaled = gradient * tf.exp(-beta * tf.math.log(energy))
    shared = _neighbours(values * scaled / energy, *reversed(window))
    return tf.cast(scaled - 2 * alpha * beta * values * shared, x.dtype)


def _neighbours(x: tf.Tensor, earlier: int, later: int) -> tf.Tensor:
    """Sums over each channel with those before and after it, as shifted slices."""
    channels = x.shape[-1]
    padded = tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[earlier, later]])
    return tf.add_n([padded[..., shift : shift + channels] for shift in range(earlier + later + 1)])


@keras.saving.register_keras_serializable(package="gch")
class LocalResponseNormalization(keras.layers.Layer):
    """`local_response_normalization` as a layer; maps (B, H, W, C) to (B, H, W, C)."""

    def __init__(
        self,
        depth_radius: int = 2,
        bias: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        later: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.depth_radius = depth_radius
        self.bias = bias
        self.alpha = alpha
        self.beta = beta
        self.later = later

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalises `inputs` (B, H, W, C)."""
        return local_response_normalization(
            inputs, self.depth_radius, self.bias, self.alpha, self.beta, self.later
        )

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
            "later": self.later,
        }
