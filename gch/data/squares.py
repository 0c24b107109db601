"""Scaling pictures to squares: one TensorFlow function for preparing, encoding and exported models."""

import functools
from collections.abc import Callable

import numpy as np

from gch.terminal import quiet_stderr

with quiet_stderr():
    import tensorflow as tf

LETTERBOX_FILL = (124, 116, 104)  # The mean colour of ImageNet, rounded.


def squared(pictures: tf.Tensor, size: int | tf.Tensor, fit: str) -> tf.Tensor:
    """Scales pictures to squares, bicubic and antialiased; works in any graph.

    Args:
      pictures: uint8 (B, H, W, 3).
      size: side of the result in pixels, 1 or more.
      fit: 'crop' takes the square in the centre; 'letterbox' takes all, and fills the rest evenly.

    Returns:
      uint8 (B, size, size, 3); `pictures` where they have this size.
    """
    shape = tf.shape(pictures)[1:3]
    if fit == "crop":
        side = tf.reduce_min(shape)
        top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
        return _scaled(pictures[:, top : top + side, left : left + side], tf.stack([size, size]))
    exact = tf.cast(shape, tf.float64) * tf.cast(size, tf.float64)
    exact /= tf.cast(tf.reduce_max(shape), tf.float64)
    wanted = tf.maximum(tf.cast(tf.round(exact), tf.int32), 1)
    before = (size - wanted) // 2
    margins = tf.pad(tf.stack([before, size - wanted - before], axis=1), [[1, 1], [0, 0]])
    fill = tf.constant(LETTERBOX_FILL, tf.int32)
    return tf.cast(tf.pad(tf.cast(_scaled(pictures, wanted), tf.int32) - fill, margins) + fill, tf.uint8)


def _scaled(pictures: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    scaled = tf.image.resize(pictures, wanted, "bicubic", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(scaled), 0, 255), tf.uint8)


def square(picture: np.ndarray, size: int, fit: str) -> np.ndarray:
    """`squared` for one picture, an array uint8 (H, W, 3); several threads may call it."""
    return _session(fit)(picture[None], size)[0]


@functools.cache
def _session(fit: str) -> Callable[[np.ndarray, int], np.ndarray]:
    # Eager TensorFlow would take the GPUs, and fix how devices are used before training configures them.
    graph = tf.Graph()
    with graph.as_default():
        pictures = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3))
        size = tf.compat.v1.placeholder(tf.int32, ())
        result = squared(pictures, size, fit)
    config = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
    return tf.compat.v1.Session(graph=graph, config=config).make_callable(result, [pictures, size])
