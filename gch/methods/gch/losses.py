"""The losses of GCH as pure functions. Each averages over all entries and returns a float scalar."""

import tensorflow as tf

SIMILAR_WEIGHT = 0.999  # the original's factor on S in the squared pair loss


def squared_pair_loss(codes: tf.Tensor, others: tf.Tensor, similar: tf.Tensor) -> tf.Tensor:
    """mean((0.999 S theta - log(1 + e^theta))^2), theta = codes others^T: the original's pair loss.

    Args:
      codes: float (N, K), relaxed codes.
      others: float (B, K), relaxed codes.
      similar: float (N, B), 1 for similar pairs, else 0.
    """
    theta = tf.matmul(codes, others, transpose_b=True)
    return tf.reduce_mean(tf.square(SIMILAR_WEIGHT * similar * theta - tf.nn.softplus(theta)))


def likelihood_pair_loss(
    codes: tf.Tensor, others: tf.Tensor, similar: tf.Tensor, scale: float = 0.0
) -> tf.Tensor:
    """mean(log(1 + e^theta) - S theta), the negative log-likelihood of the similarities (paper equation 1).

    p(S_ij = 1) = sigmoid(theta_ij), theta = scale / K codes others^T; with scale 0, the paper's 1/2 codes
    others^T, under which long codes need to agree in a small share of their bits only.
    Other arguments as of `squared_pair_loss`.
    """
    factor = scale / codes.shape[1] if scale else 0.5
    theta = factor * tf.matmul(codes, others, transpose_b=True)
    return tf.reduce_mean(tf.nn.softplus(theta) - similar * theta)


def squared_error(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Mean over all entries of the squared difference of two tensors of one shape."""
    return tf.reduce_mean(tf.math.squared_difference(first, second))


def squared_label_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean squared error of sigmoid(logits) (B, C) from labels (B, C) in [0, 1]."""
    return squared_error(tf.sigmoid(logits), labels)


def label_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean sigmoid cross-entropy of logits (B, C) against labels (B, C) in [0, 1]."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
