"""Binary codes of relaxed ones, on the device."""

import tensorflow as tf


def sign(relaxed: tf.Tensor) -> tf.Tensor:
    """The sign of every entry, +1 for 0.

    Args:
      relaxed: floating tensor of any shape, usually (N, K) in [-1, 1].

    Returns:
      Tensor of the same shape and dtype, each entry -1 or +1.
    """
    one = tf.ones_like(relaxed)
    return tf.where(relaxed >= 0, one, -one)
