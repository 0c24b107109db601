"""Max pooling over 3 x 3 with stride 2, whose gradient repeats to the bit under XLA too."""

import keras
import tensorflow as tf

from gch.networks.xla import compiled_by_xla

OFFSETS = tuple((row, column) for row in range(3) for column in range(3))


def max_pool(x: tf.Tensor, padding: str = "valid") -> tf.Tensor:
    """Maximum over 3 x 3 with stride 2.

    `tf.nn.max_pool2d`, but that XLA compiles another gradient for it: XLA's own adds in no fixed order on a
    GPU, so that TensorFlow refuses it under determinism, and is slow on a CPU. Outside XLA the built-in
    gradient is the fastest, and repeats.

    Args:
      x: float (B, H, W, C), all but B known.
      padding: "valid", or "same" for maps of even size: one row below and one column at the right.

    Returns:
      (B, h, w, C) of the dtype of `x`. Where values of a window are equal, the gradient goes to the first
      in rows of columns, as the built-in one does on a CPU.
    """

    @tf.custom_gradient
    def pool(x):
        y = tf.nn.max_pool2d(x, 3, 2, padding.upper())
        return y, lambda dy: max_pool_gradient(x, dy)

    if compiled_by_xla():
        return pool(tf.convert_to_tensor(x))
    return tf.nn.max_pool2d(x, 3, 2, padding.upper())


def max_pool_gradient(x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """The gradient of `max_pool` by comparisons and sums of a fixed order.

    Args:
      x: (B, H, W, C), what was pooled.
      dy: (B, h, w, C), gradient of the maxima.

    Returns:
      (B, H, W, C): every entry is the sum of `dy` over the windows (at most four) whose maximum it is.
    """
    (height, width, channels), (rows, columns) = x.shape[1:], dy.shape[1:3]
    reached = 2 * rows + 1, 2 * columns + 1  # what the windows see: more than the map where it is padded
    beyond = [[0, 0], [0, max(0, reached[0] - height)], [0, max(0, reached[1] - width)], [0, 0]]
    padded = tf.pad(x[:, : reached[0], : reached[1]], beyond, constant_values=x.dtype.min)

    def slice_of(row: int, column: int) -> dict:
        return {
            "begin": [0, row, column, 0],
            "end": [0, row + 2 * rows, column + 2 * columns, 0],
            "strides": [1, 2, 2, 1],
            "begin_mask": 0b1001,
            "end_mask": 0b1001,
        }

    best = tf.strided_slice(padded, **slice_of(0, 0))
    winner = tf.zeros_like(best, tf.int8)
    for number, offset in enumerate(OFFSETS[1:], 1):
        value = tf.strided_slice(padded, **slice_of(*offset))
        winner = tf.where(value > best, tf.constant(number, tf.int8), winner)
        best = tf.maximum(value, best)

    shape = [tf.shape(x)[0], *reached, channels]
    zero = tf.zeros([], dy.dtype)
    dx = tf.add_n(
        [
            tf.raw_ops.StridedSliceGrad(shape=shape, dy=tf.where(winner == number, dy, zero), **slice_of(*at))
            for number, at in enumerate(OFFSETS)
        ]
    )
    left_out = [[0, 0], [0, max(0, height - reached[0])], [0, max(0, width - reached[1])], [0, 0]]
    return tf.pad(dx[:, :height, :width], left_out)


@keras.saving.register_keras_serializable(package="gch")
class MaxPooling(keras.layers.MaxPooling2D):
    """`max_pool` as a layer; maps (B, H, W, C) to (B, h, w, C)."""

    def __init__(self, padding: str = "valid", pool_size=3, strides=2, **kwargs):
        super().__init__(pool_size, strides=strides, padding=padding, **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pools `inputs` (B, H, W, C)."""
        return max_pool(inputs, self.padding)
