"""What the losses of all methods ask of a batch: which items are similar, signs of codes, and random draws.

Draws depend on the batch alone, so a run that resumes repeats them. They are made of integers, and name their
algorithm, so that XLA draws the same numbers as the rest of TensorFlow.
"""

import numpy as np
import scipy.stats
import tensorflow as tf

_ALGORITHM = "philox"


def similarity(labels: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """S_ij = 1 where two items share at least one label, else 0.

    Args:
      labels: float (N, C), multi-hot.
      others: float (B, C), multi-hot.

    Returns:
      float (N, B) of zeros and ones.
    """
    return tf.cast(tf.matmul(labels, others, transpose_b=True) > 0, labels.dtype)


def sign(relaxed: tf.Tensor) -> tf.Tensor:
    """The sign of every entry, +1 for 0.

    Args:
      relaxed: floating tensor of any shape, usually (N, K) in [-1, 1].

    Returns:
      Tensor of the same shape and dtype, each entry -1 or +1.
    """
    one = tf.ones_like(relaxed)
    return tf.where(relaxed >= 0, one, -one)


def draw_positions(batch: tf.Tensor, count: int, total: int) -> tf.Tensor:
    """Positions int (count,) of training items, in 0..total-1; some may be drawn twice.

    Args:
      batch: int (B,), positions of the batch's items, B > 1; the same batch draws the same.
      count: how many to draw.
      total: number of training items.
    """
    return _draw_integers((count,), batch[:2], total)


def draw_numbers(batch: tf.Tensor, stream: int, count: int, below: int) -> tf.Tensor:
    """Numbers int (count,) in 0..below-1.

    Args:
      batch: int (B,), positions of the batch's items, B > 1; the same batch draws the same.
      stream: 1 or more; draws of different streams are independent.
      count: how many to draw.
      below: how many numbers there are.
    """
    return _draw_integers((count,), batch[:2] + stream, below)


def draw_uniform(batch: tf.Tensor, stream: int, shape: tuple[int, ...]) -> tf.Tensor:
    """Numbers float32 of `shape` in [0, 1), drawn as by `draw_numbers`."""
    return tf.cast(_draw_integers(shape, batch[:2] + stream, 2**24), tf.float32) / 2**24


def draw_beta(batch: tf.Tensor, stream: int, count: int, concentration: float) -> tf.Tensor:
    """Numbers float32 (count,) in (0, 1) from Beta(concentration, concentration); streams as above.

    They are quantiles of the distribution at 65,536 even levels, drawn with equal chance.
    """
    levels = (np.arange(2**16) + 0.5) / 2**16
    quantiles = scipy.stats.beta.ppf(levels, concentration, concentration).astype(np.float32)
    return tf.gather(tf.constant(quantiles), draw_numbers(batch, stream, count, below=len(quantiles)))


def draw_order(seed: tf.Tensor, number: tf.Tensor, total: int) -> tf.Tensor:
    """A permutation of the positions 0..total-1, int32 (total,).

    Args:
      seed: int (2,).
      number: integer scalar; every number gives an order of its own.
      total: how many positions.
    """
    seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, seed.dtype), alg=_ALGORITHM)
    return tf.argsort(_draw_integers((total,), tf.cast(seed, tf.int32), 2**31 - 1), stable=True)


def _draw_integers(shape: tuple[int, ...], seed: tf.Tensor, below: int) -> tf.Tensor:
    """Integers in 0..below-1 of the seed's dtype. For floats XLA would take other bits."""
    return tf.random.stateless_uniform(shape, seed=seed, maxval=below, dtype=seed.dtype, alg=_ALGORITHM)
