"""The losses of AGAH as pure functions. Each sums over the items of the batch and returns a float scalar,
but for those of the discriminators, which are means, as in the original.
"""

from collections.abc import Callable

import tensorflow as tf

from gch.methods.sign import sign

PENALTY = 10.0  # weight of the gradient penalty, that of Gulrajani et al., NIPS 2017


def balance(codes: tf.Tensor) -> tf.Tensor:
    """Sum over the items of 1 / (1 + e^c), c = cos(|h|, 1): bits of an item that are as far from 0.

    Args:
      codes: float (B, K), relaxed codes.
    """
    size = tf.abs(codes)
    norm = tf.maximum(tf.norm(size, axis=1), 1e-8) * codes.shape[1] ** 0.5
    return tf.reduce_sum(tf.sigmoid(-tf.reduce_sum(size, axis=1) / norm))


def quantization(codes: tf.Tensor) -> tf.Tensor:
    """Sum (h - sign h)^2 of relaxed codes (B, K)."""
    return tf.reduce_sum(tf.math.squared_difference(codes, tf.stop_gradient(sign(codes))))


def code_map_loss(codes: tf.Tensor, code_map: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Sum (h Q^T - K (2 l - 1))^2: a code agrees with the codes of its labels and disagrees with the others'.

    Args:
      codes: float (B, K), relaxed codes.
      code_map: float (C, K), the code Q of every label, of -1 and +1.
      labels: float (B, C) in [0, 1].
    """
    inner = tf.matmul(codes, code_map, transpose_b=True)
    return tf.reduce_sum(tf.math.squared_difference(inner, codes.shape[1] * (2 * labels - 1)))


def label_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Sum of the cross-entropies of sigmoid(logits) (B, C) with labels (B, C) in [0, 1]."""
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def critic_loss(
    discriminator: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor
) -> tf.Tensor:
    """Mean D(fake) - mean D(real): what a discriminator minimises beside the penalty.

    Args:
      discriminator: features (B, E) to scores (B, 1).
      real: float (B, E), features of the discriminator's own modality.
      fake: float (B, E), of the other.
    """
    return tf.reduce_mean(discriminator(fake)) - tf.reduce_mean(discriminator(real))


def gradient_penalty(
    discriminator: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor, mixing: tf.Tensor
) -> tf.Tensor:
    """10 mean (|grad D(x)| - 1)^2 at x = a real + (1 - a) fake, a for each element (Gulrajani et al. 2017).

    Args:
      discriminator: as of `critic_loss`.
      real: likewise.
      fake: likewise.
      mixing: float (B, E) in [0, 1], the a.
    """
    between = mixing * real + (1 - mixing) * fake
    with tf.GradientTape() as tape:
        tape.watch(between)
        score = discriminator(between)
    slope = tape.gradient(score, between)
    # Where the discriminator is flat, the norm has no gradient; 0 is taken, as PyTorch does.
    norm = tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(slope), axis=1), 1e-24))
    return PENALTY * tf.reduce_mean(tf.square(norm - 1))


def adversarial_loss(discriminator: Callable[[tf.Tensor], tf.Tensor], features: tf.Tensor) -> tf.Tensor:
    """-mean D(f): features (B, E) that the discriminator takes for those of the other modality."""
    return -tf.reduce_mean(discriminator(features))
