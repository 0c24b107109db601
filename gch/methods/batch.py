"""Functions of a batch that methods share: similarities, losses of pairs and labels, signs, random draws.

Draws depend on the batch alone, so a resumed run repeats them. Each takes `batch`, the positions int
(B,), B > 1, of its items, and a `stream` of 0 or more; draws of different streams are independent. They are
drawn as integers, by a named algorithm, so that XLA draws the same numbers as the rest of TensorFlow.
"""

import numpy as np
import scipy.stats
import tensorflow as tf

from gch.networks.parts import compiled_by_xla

_ALGORITHM = "philox"


def similarity(labels: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """S_ij = 1 where two items share a label, else 0: float (N, B), of multi-hot labels (N, C) and (B, C)."""
    return tf.cast(tf.matmul(labels, others, transpose_b=True) > 0, labels.dtype)


def sign(relaxed: tf.Tensor) -> tf.Tensor:
    """-1 or +1 for every entry of a floating tensor of any shape and dtype; +1 for 0."""
    one = tf.ones_like(relaxed)
    return tf.where(relaxed >= 0, one, -one)


def likelihood_pair_loss(
    codes: tf.Tensor, others: tf.Tensor, similar: tf.Tensor, scale: float = 0.0
) -> tf.Tensor:
    """mean(log(1 + e^theta) - S theta), the negative log-likelihood of the similarities S.

    p(S_ij = 1) = sigmoid(theta_ij), theta = scale / K codes others^T; with scale 0, the papers' 1/2 codes
    others^T, under which long codes need to agree in a small share of their bits only. Takes relaxed codes,
    float (N, K) and (B, K), and S, float (N, B) of zeros and ones.
    """
    factor = scale / codes.shape[1] if scale else 0.5
    theta = factor * tf.matmul(codes, others, transpose_b=True)
    return tf.reduce_mean(tf.nn.softplus(theta) - similar * theta)


def label_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean sigmoid cross-entropy of logits (B, C) against labels (B, C) in [0, 1]."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def replace_rows(table: tf.Variable, positions: tf.Tensor, rows: tf.Tensor) -> None:
    """Puts `rows` (B, K) at `positions` (B,), which differ, of a table (N, K)."""
    if not compiled_by_xla():
        table.scatter_update(tf.IndexedSlices(rows, positions))
        return
    # XLA's scatter is deterministic only item by item, which takes longer than the rest of a step.
    matches = tf.range(table.shape[0], dtype=positions.dtype)[:, None] == positions
    place = tf.reduce_max(tf.where(matches, tf.range(positions.shape[0]), -1), axis=1)
    replaced = tf.gather(rows, tf.maximum(place, 0))
    table.assign(tf.where(place[:, None] >= 0, replaced, table))


def draw_numbers(batch: tf.Tensor, stream: int, count: int, below: int) -> tf.Tensor:
    """Numbers int (count,) in 0..below-1."""
    return _draw_integers((count,), batch[:2] + stream, below)


def draw_uniform(batch: tf.Tensor, stream: int, shape: tuple[int, ...]) -> tf.Tensor:
    """Numbers float32 of `shape` in [0, 1)."""
    return tf.cast(_draw_integers(shape, batch[:2] + stream, 2**24), tf.float32) / 2**24


def draw_beta(batch: tf.Tensor, stream: int, count: int, concentration: float) -> tf.Tensor:
    """Numbers float32 (count,) in [0, 1] from Beta(concentration, concentration).

    They are quantiles of the distribution at 65,536 even levels, drawn with equal chance.
    """
    levels = (np.arange(2**16) + 0.5) / 2**16
    quantiles = scipy.stats.beta.ppf(levels, concentration, concentration).astype(np.float32)
    return tf.gather(tf.constant(quantiles), draw_numbers(batch, stream, count, below=len(quantiles)))


def draw_order(seed: tf.Tensor, number: tf.Tensor, total: int) -> tf.Tensor:
    """A permutation of 0..total-1, int32 (total,), by a seed int (2,) and the integer `number`."""
    seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, seed.dtype), alg=_ALGORITHM)
    return tf.argsort(_draw_integers((total,), tf.cast(seed, tf.int32), 2**31 - 1), stable=True)


def _draw_integers(shape: tuple[int, ...], seed: tf.Tensor, below: int) -> tf.Tensor:
    """Integers in 0..below-1 of the seed's dtype. For floats, XLA would use other bits."""
    return tf.random.stateless_uniform(shape, seed=seed, maxval=below, dtype=seed.dtype, alg=_ALGORITHM)
