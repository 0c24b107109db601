"""Which items are similar."""

import tensorflow as tf


def similarity(labels: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """S_ij = 1 where two items share at least one label, else 0.

    Args:
      labels: float (N, C), multi-hot.
      others: float (B, C), multi-hot.

    Returns:
      float (N, B) of zeros and ones.
    """
    return tf.cast(tf.matmul(labels, others, transpose_b=True) > 0, labels.dtype)
