"""Mix-up: pairs that are blends of two, as more pairs to learn from (Zhang et al., ICLR 2018)."""

import tensorflow as tf

from gch.methods.draws import draw_beta

STREAM = 3


def mixed(positions: tf.Tensor, concentration: float, *parts: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Every item of a batch blended with the one before it: a x_i + (1 - a) x_j, a from Beta(delta, delta).

    The order of a batch is random, so that is a random partner. Picture, text and labels of an item take the
    same a; labels become shares, and two mixed items are similar where any of theirs are.

    Args:
      positions: int (B,), which the blends depend on alone.
      concentration: delta, more than 0; small ones leave most items nearly as they are.
      parts: (B, ...) of any real dtype.

    Returns:
      The blends of `parts`, float32.
    """
    share = draw_beta(positions, STREAM, tf.shape(positions), concentration)

    def blend(part: tf.Tensor) -> tf.Tensor:
        part = tf.cast(part, tf.float32)
        own = tf.reshape(share, [-1] + [1] * (part.shape.rank - 1))
        return own * part + (1 - own) * tf.roll(part, 1, axis=0)

    return tuple(blend(part) for part in parts)
