"""The layers of VGG-F that Keras lacks, or that XLA compiles badly: mean image, normalisation, pooling."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from gch.networks.parts import compiled_by_xla

BIAS = 2.0  # of the normalisation


@keras.saving.register_keras_serializable(package="gch")
class SubtractMeanImage(keras.layers.Layer):
    """RGB images (B, H, W, 3), uint8 or float, 0..255, less a mean image, a weight; float32."""

    def __init__(self, dtype: str = "float32", **kwargs):
        # Not under a mixed precision policy: half precision would round the pixels before the subtraction.
        super().__init__(dtype=dtype, **kwargs)

    def build(self, input_shape: tuple) -> None:
        """Creates the weight `mean` (H, W, 3), zero until `set_mean`."""
        self.mean = self.add_weight(
            name="mean", shape=input_shape[1:], initializer="zeros", trainable=False, dtype="float32"
        )

    def set_mean(self, mean: np.ndarray) -> None:
        """Takes a mean image (H, W, 3) or a mean colour (3,)."""
        self.mean.assign(np.broadcast_to(np.asarray(mean, "float32"), self.mean.shape))

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """The differences."""
        return keras.ops.cast(inputs, "float32") - self.mean


@keras.saving.register_keras_serializable(package="gch")
class BlockConvolution(keras.layers.Conv2D):
    """A convolution of maps (B, H, W, C) with a stride s, without padding, that XLA compiles to a fast one.

    Every s x s pixels become one with s^2 C channels, and the kernel likewise, so that the stride is 1. The
    products are the same. Matrix units want many channels, and a picture has three.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution of `inputs` with `kernel` (k, k, C, filters)."""
        if not compiled_by_xla():
            return super().convolution_op(inputs, kernel)
        stride, (height, width, channels, filters) = self.strides[0], kernel.shape
        across = -(-height // stride)  # blocks of a kernel, in rows and in columns
        shape = self.compute_output_shape(inputs.shape)
        rows, columns = (stride * (outputs + across - 1) for outputs in shape[1:3])
        used = inputs[:, :rows, :columns]
        beyond = [[0, 0], [0, rows - used.shape[1]], [0, columns - used.shape[2]], [0, 0]]
        blocks = tf.nn.space_to_depth(tf.pad(used, beyond), stride)
        whole = tf.pad(kernel, [[0, across * stride - height], [0, across * stride - width], [0, 0], [0, 0]])
        parts = tf.reshape(whole, (across, stride, across, stride, channels, filters))
        depth = stride * stride * channels
        parts = tf.reshape(tf.transpose(parts, (0, 2, 1, 3, 4, 5)), (across, across, depth, filters))
        return tf.nn.conv2d(blocks, parts, 1, "VALID")


@keras.saving.register_keras_serializable(package="gch")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides every value by a power of the energy of its neighbours in channel order.

        y_c = x_c * s_c^-0.75,  s_c = 2 + alpha * sum of x_j^2 over -before <= j - c <= after

    Source: Krizhevsky et al. 2012, section 3.3; the defaults are those of VGG-F (Chatfield et al. 2014).
    `tf.nn.local_response_normalization` computes the same. Here value and gradient are one pass over memory
    each, always compiled with XLA (`benchmarks/vggf_step.py` measures the gain), and
    computed in float32, since squares overflow float16 above 255. `window` is neighbours before and after.
    """

    def __init__(self, window: Sequence[int] = (2, 2), alpha: float = 1e-4, **kwargs):
        super().__init__(**kwargs)
        self._window, self._alpha = tuple(window), alpha

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalises `inputs` float (..., C); the dtype stays."""
        return _normalized(tf.convert_to_tensor(inputs), self._window, self._alpha)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape


# TensorFlow never frees a graph that holds a custom gradient. A function has a graph of its own, so that of
# the training step can go.
@tf.function(jit_compile=True)
def _normalized(x, window, alpha):
    @tf.custom_gradient
    def normalize(x):
        values = tf.cast(x, tf.float32)
        root = _inverse_root(values, window, alpha)
        y = tf.cast(values * root * tf.sqrt(root), x.dtype)
        return y, lambda dy: _normalized_gradient(x, dy, window, alpha)

    return normalize(x)


@tf.function(jit_compile=True)
def _normalized_gradient(x, dy, window, alpha):
    """dy_c s_c^-0.75 - 1.5 alpha x_c sum of dy_j x_j s_j^-1.75 over the j whose neighbour c is."""
    values, gradient = tf.cast(x, tf.float32), tf.cast(dy, tf.float32)
    root = _inverse_root(values, window, alpha)
    scaled = gradient * root * tf.sqrt(root)
    shared = _neighbours(values * scaled * root * root, *reversed(window))
    return tf.cast(scaled - 1.5 * alpha * values * shared, x.dtype)


def _inverse_root(values: tf.Tensor, window: tuple[int, int], alpha: float) -> tf.Tensor:
    """s^-0.5. Its products with itself and its root are the other powers, faster than exp and log."""
    return tf.math.rsqrt(BIAS + alpha * _neighbours(values * values, *window))


def _neighbours(x: tf.Tensor, earlier: int, later: int) -> tf.Tensor:
    channels = x.shape[-1]
    padded = tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[earlier, later]])
    return tf.add_n([padded[..., shift : shift + channels] for shift in range(earlier + later + 1)])


@keras.saving.register_keras_serializable(package="gch")
class MaxPooling(keras.layers.MaxPooling2D):
    """Maximum over 3 x 3 with stride 2 of maps (B, H, W, C), all but B known.

    `tf.nn.max_pool2d` with another gradient under XLA: XLA's own adds in no fixed order on a
    GPU, so that TensorFlow refuses it under determinism, and is slow on a CPU. Outside XLA the built-in
    gradient is the fastest, and repeats. Where values of a window are equal, the gradient goes to the first
    in rows of columns, as the built-in one does on a CPU.
    """

    def __init__(self, padding: str = "valid", pool_size=3, strides=2, **kwargs):
        super().__init__(pool_size, strides=strides, padding=padding, **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pools `inputs` (B, H, W, C)."""
        padding = self.padding.upper()
        return _pooled(inputs, padding) if compiled_by_xla() else tf.nn.max_pool2d(inputs, 3, 2, padding)


@tf.function
def _pooled(x, padding):
    @tf.custom_gradient
    def pool(x):
        return tf.nn.max_pool2d(x, 3, 2, padding), lambda dy: max_pool_gradient(x, dy)

    return pool(x)


def max_pool_gradient(x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """The gradient of `MaxPooling`, of comparisons and of sums in a fixed order.

    Every entry of the map `x` (B, H, W, C) gets the sum of `dy` (B, h, w, C) over the windows, at most four,
    whose maximum it is.
    """
    (height, width), (rows, columns) = x.shape[1:3], dy.shape[1:3]
    beyond = [[0, 0], [0, max(0, 2 * rows + 1 - height)], [0, max(0, 2 * columns + 1 - width)], [0, 0]]
    padded = tf.pad(x, beyond, constant_values=x.dtype.min)
    places = [
        padded[:, row : row + 2 * rows : 2, column : column + 2 * columns : 2]
        for row in range(3)
        for column in range(3)
    ]
    best, winner = places[0], tf.zeros_like(places[0], tf.int8)
    for number, place in enumerate(places[1:], 1):
        winner = tf.where(place > best, tf.constant(number, tf.int8), winner)
        best = tf.maximum(place, best)

    def part(row: int, column: int) -> tf.Tensor:
        """What entries get from the windows in which they are at a place; at even places 2 of an axis, from
        the window before.
        """
        won = tf.where(winner == 3 * row + column, dy, tf.zeros([], dy.dtype))
        return tf.pad(won, [[0, 0], [row // 2, 1 - row // 2], [column // 2, 1 - column // 2], [0, 0]])

    # Entries of even and odd rows and columns apart, as they are in other windows.
    even = tf.stack([part(0, 0) + part(0, 2) + part(2, 0) + part(2, 2), part(0, 1) + part(2, 1)], axis=3)
    odd = tf.stack([part(1, 0) + part(1, 2), part(1, 1)], axis=3)
    shape = (-1, 2 * rows + 2, 2 * columns + 2, x.shape[3])
    return tf.reshape(tf.stack([even, odd], axis=2), shape)[:, :height, :width]
