"""Losses of relaxed codes: how they rank items of known or expected similarity, and their balance."""

import tensorflow as tf

SERIES = 4  # terms of -log(1 - x)


def average_precision_loss(inner: tf.Tensor, similar: tf.Tensor, counted: tf.Tensor, bins: int) -> tf.Tensor:
    """1 - AP of the ranking of M items for each of B queries, relaxed so that it has a gradient.

    The distances fall into a histogram whose neighbouring bins share an item linearly. With h, h+ the items
    and the similar items of a bin and H, H+ those of all nearer bins,

        AP = 1 / N+ sum over bins of h+ (H+ + (h+ + 1) / 2) / (H + (h + 1) / 2).

    Ranks start at 1, so a tie of h items has its middle at H + (h + 1) / 2 (He et al., CVPR 2018; the
    relaxation: Cakir et al., CVPR 2019).

    Args:
      inner: float (B, M), inner products of relaxed codes divided by their length, in [-1, 1].
      similar: float (B, M) in [0, 1].
      counted: float (B, M), 0 for a pair that is left out, such as an item with itself, else 1.
      bins: number of bins, at least 2.

    Returns the mean over the queries, in [0, 1]; one without a similar item counts 1.
    """
    distance = (1 - inner) / 2 * (bins - 1)
    share = tf.nn.relu(1 - tf.abs(distance[:, :, None] - tf.range(bins, dtype=distance.dtype)))
    # One product for both histograms: a third faster than two sums over (B, M, bins).
    items, relevant = tf.unstack(tf.matmul(tf.stack([counted, counted * similar], axis=1), share), axis=1)
    ranked = tf.cumsum(items, axis=1) + (1 - items) / 2
    found = tf.cumsum(relevant, axis=1) + (1 - relevant) / 2
    gained = tf.reduce_sum(relevant * found / ranked, axis=1)
    return 1 - tf.reduce_mean(tf.math.divide_no_nan(gained, tf.reduce_sum(relevant, axis=1)))


def expected_similarity(probabilities: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """The probability of sharing a label, 1 - prod_c (1 - p_c q_c), of labels that are independent.

    With x = p_c q_c, log(1 - x) is -(x + x^2 / 2 + ...), here its first four terms: products of matrices.
    From p (B, C) and q (M, C) in [0, 1] to float (B, M) in [0, 1); of one label .875 at most, by the cut.
    """
    powers = range(1, SERIES + 1)
    left = tf.concat([probabilities**power / power for power in powers], axis=1)
    right = tf.concat([others**power for power in powers], axis=1)
    return 1 - tf.exp(-tf.matmul(left, right, transpose_b=True))


def imbalance(codes: tf.Tensor) -> tf.Tensor:
    """Mean over the bits of |mean over the items| of relaxed codes (B, K): 0 where every bit halves them."""
    return tf.reduce_mean(tf.abs(tf.reduce_mean(codes, axis=0)))
