"""The input of the graph network: image and text features that attend to each other (paper section 3.2)."""

import tensorflow as tf


def fuse(image_features: tf.Tensor, text_features: tf.Tensor) -> tf.Tensor:
    """X = 1/2 (P^T / max P) F_img + 1/2 (P / max P) F_txt with P = F_img F_txt^T.

    Args:
      image_features: float (B, E).
      text_features: float (B, E), of the same items.

    Returns:
      float (B, E).
    """
    attention = tf.matmul(image_features, text_features, transpose_b=True)
    attention = attention / tf.reduce_max(attention)
    return 0.5 * tf.matmul(attention, image_features, transpose_a=True) + 0.5 * tf.matmul(
        attention, text_features
    )
