"""The layers of VGG-F that Keras lacks, or that XLA compiles badly: mean image, normalisation, pooling."""

import keras
import numpy as np
import tensorflow as tf

from gch.networks.parts import compiled_by_xla


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
        return keras.ops.cast(inputs, "float32") - self.mean


@keras.saving.register_keras_serializable(package="gch")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides every value by a power of the energy of its neighbours in channel order.

        y_c = x_c * s_c^-beta,  s_c = bias + alpha * sum of x_j^2 over -depth_radius <= j - c <= later

    Source: Krizhevsky et al. 2012, section 3.3; the defaults are those of VGG-F (Chatfield et al. 2014).
    `tf.nn.local_response_normalization` computes the same. Here value and gradient are one pass over memory
    each, compiled with XLA whatever surrounds them: `benchmarks/vggf_step.py` shows what that is worth.

    Maps float (..., C) to the same shape and dtype. Computes in float32, since squares overflow float16 above
    255.

    Args:
      depth_radius: number of neighbours on each side, 0 or more.
      bias: positive.
      alpha: 0 or more.
      beta: any number.
      later: number of the neighbours after c, where it is another; None: depth_radius.
    """

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
        self._window = (depth_radius, depth_radius if later is None else later)
        self._power = (bias, alpha, beta)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalises `inputs` (..., C)."""

        @tf.custom_gradient
        def normalize(x):
            y = _normalized(x, self._window, *self._power)
            return y, lambda dy: _normalized_gradient(x, dy, self._window, *self._power)

        return normalize(tf.convert_to_tensor(inputs))

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape


@tf.function(jit_compile=True)
def _normalized(x, window, bias, alpha, beta):
    values = tf.cast(x, tf.float32)
    energy = bias + alpha * _neighbours(values * values, *window)
    return tf.cast(values * tf.exp(-beta * tf.math.log(energy)), x.dtype)


@tf.function(jit_compile=True)
def _normalized_gradient(x, dy, window, bias, alpha, beta):
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
class MaxPooling(keras.layers.MaxPooling2D):
    """Maximum over 3 x 3 with stride 2, with a gradient that repeats to the bit under XLA too.

    `tf.nn.max_pool2d`, but that XLA compiles another gradient for it: XLA's own adds in no fixed order on a
    GPU, so that TensorFlow refuses it under determinism, and is slow on a CPU. Outside XLA the built-in
    gradient is the fastest, and repeats. Where values of a window are equal, the gradient goes to the first
    in rows of columns, as the built-in one does on a CPU.

    Maps float (B, H, W, C), all but B known, to (B, h, w, C) of the same dtype.

    Args:
      padding: "valid", or "same" for maps of even size: one row below and one column at the right.
    """

    def __init__(self, padding: str = "valid", pool_size=3, strides=2, **kwargs):
        super().__init__(pool_size, strides=strides, padding=padding, **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pools `inputs` (B, H, W, C)."""

        def pool(x):
            return tf.nn.max_pool2d(x, 3, 2, self.padding.upper())

        @tf.custom_gradient
        def pool_under_xla(x):
            return pool(x), lambda dy: max_pool_gradient(x, dy)

        return pool_under_xla(inputs) if compiled_by_xla() else pool(inputs)


def max_pool_gradient(x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """The gradient of `MaxPooling` by comparisons and sums of a fixed order.

    Args:
      x: (B, H, W, C), what was pooled.
      dy: (B, h, w, C), gradient of the maxima.

    Returns:
      (B, H, W, C): every entry is the sum of `dy` over the windows (at most four) whose maximum it is.
    """
    (height, width, channels), (rows, columns) = x.shape[1:], dy.shape[1:3]
    seen = 2 * rows + 1, 2 * columns + 1  # by the windows: more than the map where it is padded
    beyond = [[0, 0], [0, max(0, seen[0] - height)], [0, max(0, seen[1] - width)], [0, 0]]
    padded = tf.pad(x[:, : seen[0], : seen[1]], beyond, constant_values=x.dtype.min)
    # What lies at each of the nine places of all windows, as a strided slice.
    places = [
        {
            "begin": [0, row, column, 0],
            "end": [0, row + 2 * rows, column + 2 * columns, 0],
            "strides": [1, 2, 2, 1],
            "begin_mask": 0b1001,
            "end_mask": 0b1001,
        }
        for row in range(3)
        for column in range(3)
    ]
    best = tf.strided_slice(padded, **places[0])
    winner = tf.zeros_like(best, tf.int8)
    for number, place in enumerate(places[1:], 1):
        value = tf.strided_slice(padded, **place)
        winner = tf.where(value > best, tf.constant(number, tf.int8), winner)
        best = tf.maximum(value, best)

    shape = [tf.shape(x)[0], *seen, channels]
    zero = tf.zeros([], dy.dtype)
    dx = tf.add_n(
        [
            tf.raw_ops.StridedSliceGrad(shape=shape, dy=tf.where(winner == number, dy, zero), **place)
            for number, place in enumerate(places)
        ]
    )
    unseen = [[0, 0], [0, max(0, height - seen[0])], [0, max(0, width - seen[1])], [0, 0]]
    return tf.pad(dx[:, :height, :width], unseen)
