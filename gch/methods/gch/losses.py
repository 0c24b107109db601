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


def average_precision_loss(inner: tf.Tensor, similar: tf.Tensor, counted: tf.Tensor, bins: int) -> tf.Tensor:
    """1 - AP of the ranking of M items for each of B queries, relaxed so that it has a gradient.

    The distances fall into a histogram whose neighbouring bins share an item linearly. With h, h+ the items
    and the similar items of a bin and H, H+ those of all nearer bins,

        AP = 1 / N+ sum over bins of h+ (H+ + (h+ + 1) / 2) / (H + (h + 1) / 2).

    Ranks start at 1, so a tie of h items has its middle at H + (h + 1) / 2 (He, Cakir, Bargal and Sclaroff,
    CVPR 2018; the relaxation: Cakir, He, Xia, Kulis and Sclaroff, CVPR 2019).

    Args:
      inner: float (B, M), inner products of relaxed codes divided by their length, in [-1, 1].
      similar: float (B, M), 1 for similar pairs, else 0.
      counted: float (B, M), 0 for a pair that is left out, such as an item with itself, else 1.
      bins: number of bins, at least 2.

    Returns:
      Float scalar in [0, 1], the mean over the queries; one without a similar item counts 1.
    """
    distance = (1 - inner) / 2 * (bins - 1)
    share = tf.nn.relu(1 - tf.abs(distance[:, :, None] - tf.range(bins, dtype=distance.dtype)))
    # One product for both histograms: a third faster than two sums over (B, M, bins).
    items, relevant = tf.unstack(tf.matmul(tf.stack([counted, counted * similar], axis=1), share), axis=1)
    ranked = tf.cumsum(items, axis=1) + (1 - items) / 2
    found = tf.cumsum(relevant, axis=1) + (1 - relevant) / 2
    gained = tf.reduce_sum(relevant * found / ranked, axis=1)
    return 1 - tf.reduce_mean(tf.math.divide_no_nan(gained, tf.reduce_sum(relevant, axis=1)))


def imbalance(codes: tf.Tensor) -> tf.Tensor:
    """Mean over the bits of |mean over the items|, in [0, 1]; 0 where every bit is +1 for half of the items.

    Args:
      codes: float (B, K), relaxed codes.
    """
    return tf.reduce_mean(tf.abs(tf.reduce_mean(codes, axis=0)))


def squared_error(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Mean over all entries of the squared difference of two tensors of one shape."""
    return tf.reduce_mean(tf.math.squared_difference(first, second))


def squared_label_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean squared error of sigmoid(logits) (B, C) from labels (B, C) in [0, 1]."""
    return squared_error(tf.sigmoid(logits), labels)


def label_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean sigmoid cross-entropy of logits (B, C) against labels (B, C) in [0, 1]."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
