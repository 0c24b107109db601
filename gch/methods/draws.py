"""Random choices within a step that depend on its batch alone, so that a run that resumes repeats them."""

import tensorflow as tf


def draw_positions(batch: tf.Tensor, count: int, total: int) -> tf.Tensor:
    """Positions int (count,) of training items, in 0..total-1; some may be drawn twice.

    Args:
      batch: int (B,), positions of the batch's items, B > 1; the same batch draws the same.
      count: how many to draw.
      total: number of training items.
    """
    return tf.random.stateless_uniform([count], seed=batch[:2], maxval=total, dtype=batch.dtype)


def draw_numbers(batch: tf.Tensor, stream: int, count: int, below: int) -> tf.Tensor:
    """Numbers int (count,) in 0..below-1.

    Args:
      batch: int (B,), positions of the batch's items, B > 1; the same batch draws the same.
      stream: 1 or more; draws of different streams have nothing to do with each other.
      count: how many to draw.
      below: how many numbers there are.
    """
    return tf.random.stateless_uniform([count], seed=batch[:2] + stream, maxval=below, dtype=batch.dtype)


def draw_uniform(batch: tf.Tensor, stream: int, shape: tuple[int, ...]) -> tf.Tensor:
    """Numbers float32 of `shape` in [0, 1), drawn as by `draw_numbers`."""
    return tf.random.stateless_uniform(shape, seed=batch[:2] + stream)


def draw_beta(batch: tf.Tensor, stream: int, shape: tuple[int, ...], concentration: float) -> tf.Tensor:
    """Numbers float32 of `shape` in [0, 1] from Beta(concentration, concentration); streams as above.

    Two gamma variables of one scale divide their sum so.
    """
    first, second = (
        tf.random.stateless_gamma(shape, seed=batch[:2] + stream + 1000 * part, alpha=concentration)
        for part in (0, 1)
    )
    return tf.math.divide_no_nan(first, first + second)
