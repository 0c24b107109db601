"""The normalised affinity graph of a batch (paper section 3.2)."""

import tensorflow as tf


def normalized_affinity(labels: tf.Tensor) -> tf.Tensor:
    """A_hat = D^-1/2 A D^-1/2 of the label affinity A = L L^T, D the row sums of A.

    A counts shared labels, as the original does; an item without labels gets a row of zeros
    (the original: infinities).

    Args:
      labels: float (B, C), multi-hot.

    Returns:
      float (B, B), symmetric, entries in [0, 1].
    """
    affinity = tf.matmul(labels, labels, transpose_b=True)
    degree = tf.reduce_sum(affinity, axis=1)
    scale = tf.where(degree > 0, tf.math.rsqrt(tf.maximum(degree, 1)), tf.zeros_like(degree))
    return scale[:, None] * affinity * scale[None, :]
