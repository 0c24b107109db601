"""The loss over all triplets of a batch: an anchor, an item that shares a label with it, one that does not.

    sum over a, p, n of max(0, d(a, p) - d(a, n) + margin)

Written out, that is a tensor (B, B, B). But for one anchor the hinge of a similar item p is open for just
those dissimilar ones that are nearer than d(a, p) + margin: their number and the sum of their distances are
read off the sorted distances. So the loss takes O(B^2 log B) time and O(B^2) memory, and its gradient is made
of the same counts.
"""

import tensorflow as tf


def cosine_distances(codes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """max(0, 1 - cos) of every pair.

    Args:
      codes: float (A, K).
      others: float (B, K).

    Returns:
      float (A, B) in [0, 2].
    """
    unit, other_unit = tf.math.l2_normalize(codes, axis=1), tf.math.l2_normalize(others, axis=1)
    return tf.maximum(1 - tf.matmul(unit, other_unit, transpose_b=True), 0)


def all_triplets(distances: tf.Tensor, similar: tf.Tensor, margin: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The sum of the hinges of all triplets, and how many of them are open.

    Args:
      distances: float32 (A, B), of each anchor to each item.
      similar: (A, B), more than 0 where the two share a label.
      margin: of the hinge.

    Returns:
      The sum, a float32 scalar with a gradient for `distances`; the number of open hinges, likewise, without.
    """
    similar = tf.convert_to_tensor(similar > 0)
    infinity = float("inf")

    @tf.custom_gradient
    def summed(distances: tf.Tensor):
        reach = tf.where(similar, distances + margin, -infinity)
        rivals = tf.where(similar, infinity, distances)
        ranked = tf.sort(rivals, axis=1)
        nearer = tf.searchsorted(ranked, reach, side="left")  # dissimilar items within reach
        before = tf.cumsum(tf.where(tf.math.is_finite(ranked), ranked, 0.0), axis=1)
        before = tf.gather(tf.pad(before, [[0, 0], [1, 0]]), nearer, batch_dims=1)
        opened = tf.cast(nearer, distances.dtype)
        total = tf.reduce_sum(tf.where(similar, opened * (distances + margin) - before, 0.0))

        def gradient(of_total: tf.Tensor, _) -> tf.Tensor:
            further = tf.searchsorted(tf.sort(reach, axis=1), rivals, side="right")
            reaching = tf.cast(tf.shape(distances)[1] - further, distances.dtype)  # similar items
            return of_total * tf.where(similar, opened, -reaching)

        return (total, tf.reduce_sum(opened)), gradient

    return summed(tf.convert_to_tensor(distances))
