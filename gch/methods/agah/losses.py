"""The losses of AGAH as pure functions.

Each returns a float scalar, a sum over the items of the batch; those of the discriminators are means, as in
the original. Codes are relaxed ones, float (B, K); labels float (B, C) in [0, 1]; features float (B, E).
"""

from collections.abc import Callable

import tensorflow as tf

from gch.methods.batch import sign
from gch.networks.parts import compiled_by_xla

PENALTY = 10.0  # weight of the gradient penalty, that of Gulrajani et al., NIPS 2017
Discriminator = Callable[[tf.Tensor], tf.Tensor]  # features (B, E) to scores (B, 1)


def cosine_distances(codes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """max(0, 1 - cos) of every pair of (A, K) and (B, K), float (A, B) in [0, 2]."""
    unit, other_unit = tf.math.l2_normalize(codes, axis=1), tf.math.l2_normalize(others, axis=1)
    return tf.maximum(1 - tf.matmul(unit, other_unit, transpose_b=True), 0)


def all_triplets(distances: tf.Tensor, similar: tf.Tensor, margin: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The sum of max(0, d(a, p) - d(a, n) + margin) over all triplets, and how many of these hinges are open.

    A triplet is an anchor a, an item p that shares a label with it, and one n that does not. Written out,
    that is a tensor (A, B, B). But for one anchor the hinge of p is open for just those dissimilar items that
    are nearer than d(a, p) + margin: their number and the sum of their distances are read off the sorted
    distances. So the loss takes O(B^2 log B) time and O(B^2) memory, and its gradient is made of the same
    counts. Under XLA they are counted by comparisons.

    Takes distances float32 (A, B) of each anchor to each item, and `similar` (A, B), more than 0 where the
    two share a label. The sum has a gradient for the distances, the number has none.
    """
    similar, infinity = similar > 0, float("inf")
    fixed = tf.stop_gradient(distances)
    reach = tf.where(similar, fixed + margin, -infinity)
    rivals = tf.where(similar, infinity, fixed)
    # By item: nearer dissimilar ones, the sum of their distances, similar items that reach it.
    count = _compared if compiled_by_xla() else _sorted
    opened, before, reaching = count(reach, rivals)
    total = tf.reduce_sum(tf.where(similar, opened * (fixed + margin) - before, 0.0))
    # Added as 0, for its gradient: after `tf.custom_gradient` TensorFlow would never free the graph.
    slope = tf.reduce_sum(tf.where(similar, opened, -reaching) * distances)
    return total + (slope - tf.stop_gradient(slope)), tf.reduce_sum(opened)


def _sorted(reach: tf.Tensor, rivals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    ranked = tf.sort(rivals, axis=1)
    nearer = tf.searchsorted(ranked, reach, side="left")
    before = tf.cumsum(tf.where(tf.math.is_finite(ranked), ranked, 0.0), axis=1)
    before = tf.gather(tf.pad(before, [[0, 0], [1, 0]]), nearer, batch_dims=1)
    further = tf.searchsorted(tf.sort(reach, axis=1), rivals, side="right")
    reaching = tf.shape(reach)[1] - further
    return tf.cast(nearer, reach.dtype), before, tf.cast(reaching, reach.dtype)


def _compared(reach: tf.Tensor, rivals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The same by comparing all with all: (A, B, B) comparisons, which XLA sums without storing them."""
    within = rivals[:, None, :] < reach[:, :, None]
    hits = tf.cast(within, reach.dtype)
    before = tf.reduce_sum(tf.where(within, rivals[:, None, :], 0.0), axis=2)
    return tf.reduce_sum(hits, axis=2), before, tf.reduce_sum(hits, axis=1)


def balance(codes: tf.Tensor) -> tf.Tensor:
    """Sum of 1 / (1 + e^c), c = cos(|h|, 1): it pulls all bits of an item equally far from 0."""
    size = tf.abs(codes)
    norm = tf.maximum(tf.norm(size, axis=1), 1e-8) * codes.shape[1] ** 0.5
    return tf.reduce_sum(tf.sigmoid(-tf.reduce_sum(size, axis=1) / norm))


def quantization(codes: tf.Tensor) -> tf.Tensor:
    """Sum (h - sign h)^2."""
    return tf.reduce_sum(tf.math.squared_difference(codes, tf.stop_gradient(sign(codes))))


def code_map_loss(codes: tf.Tensor, code_map: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Sum (h Q^T - K (2 l - 1))^2: a code agrees with the codes of its labels and disagrees with the others'.

    Q is the code map, float (C, K), a code of -1 and +1 for every label.
    """
    inner = tf.matmul(codes, code_map, transpose_b=True)
    return tf.reduce_sum(tf.math.squared_difference(inner, codes.shape[1] * (2 * labels - 1)))


def label_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Sum of the cross-entropies of sigmoid(logits) (B, C) with the labels."""
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def critic_loss(discriminator: Discriminator, real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Mean D(fake) - mean D(real), `real` features being of the discriminator's own modality."""
    return tf.reduce_mean(discriminator(fake)) - tf.reduce_mean(discriminator(real))


def gradient_penalty(
    discriminator: Discriminator, real: tf.Tensor, fake: tf.Tensor, mixing: tf.Tensor
) -> tf.Tensor:
    """10 mean (|grad D(x)| - 1)^2 at x = a real + (1 - a) fake (Gulrajani et al. 2017).

    `mixing` holds the a, float (B, E) in [0, 1], one for each element.
    """
    between = mixing * real + (1 - mixing) * fake
    with tf.GradientTape() as tape:
        tape.watch(between)
        score = discriminator(between)
    slope = tape.gradient(score, between)
    # Where the discriminator is flat, the norm has no gradient; 0 is used, as in PyTorch.
    norm = tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(slope), axis=1), 1e-24))
    return PENALTY * tf.reduce_mean(tf.square(norm - 1))
