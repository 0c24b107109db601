"""The neighbours of an item among the training items, and what their labels say of it."""

import keras
import numpy as np
import tensorflow as tf

SHARPNESS = 10.0  # of a start: a neighbour at cosine .8 weighs e^-2 of one at 1
BLOCK = 1024  # items compared at once


def blend(labels: tf.Tensor, cosines: tf.Tensor, sharpness: tf.Tensor) -> tf.Tensor:
    """A L: the labels of an item's neighbours, weighed by a = softmax(sharpness cos) over the neighbours.

    A neighbour with nothing in common, cos <= 0, is none.

    Args:
      labels: float (B, k, C), multi-hot.
      cosines: float (B, k), in [-1, 1].
      sharpness: float scalar, at least 0.

    Returns:
      Float (B, C) in [0, 1]; zeros for an item without neighbours.
    """
    weights = tf.where(cosines > 0, tf.exp(sharpness * (cosines - 1)), 0.0)
    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=1, keepdims=True))
    return tf.einsum("bk,bkc->bc", weights, labels)


def nearest_others(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For every item itself, and then the `count` others that are nearest by cosine, the nearest first.

    Args:
      vectors: float (N, F), N > count.
      count: number of others.

    Returns:
      Positions int32 and cosines float32, both (N, 1 + count).
    """
    unit = tf.math.l2_normalize(tf.constant(vectors, tf.float32), axis=1)

    @tf.function(reduce_retracing=True)
    def block(rows):
        cosines = tf.matmul(tf.gather(unit, rows), unit, transpose_b=True)
        itself = tf.stack([tf.range(tf.size(rows)), rows], axis=1)
        first = tf.tensor_scatter_nd_update(cosines, itself, tf.fill([tf.size(rows)], 2.0))
        found = tf.math.top_k(first, count + 1)
        return found.indices, tf.gather(cosines, found.indices, batch_dims=1)

    total = len(vectors)
    blocks = [block(tf.range(start, min(start + BLOCK, total))) for start in range(0, total, BLOCK)]
    positions, cosines = zip(*blocks, strict=True)
    return np.concatenate(positions), np.concatenate(cosines)


@keras.saving.register_keras_serializable(package="gch")
class NeighbourLabels(keras.layers.Layer):
    """Vectors (B, F) to the labels (B, C) of their nearest training items by cosine, see `blend`.

    A training item is its own nearest neighbour, unless the second input leaves it out: int32 (B,), the
    position of each item among the training items, or -1.

    Vectors and labels of the training items are weights that no optimizer moves; `set_items` sets them. The
    sharpness of the weights is learned, as its logarithm.

    Args:
      items: number of training items N.
      features: size of a vector F.
      labels: number of labels C.
      count: number of neighbours k, at most N.
    """

    def __init__(self, items: int, features: int, labels: int, count: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.items, self.features, self.labels, self.count = items, features, labels, count
        self._sharpness = self.add_weight(
            name="log_sharpness", shape=(), initializer=keras.initializers.Constant(np.log(SHARPNESS))
        )
        self._vectors = self._constant("vectors", (items, features))
        self._labels = self._constant("labels", (items, labels))

    @property
    def sharpness(self) -> tf.Tensor:
        """Of the weights, more than 0."""
        return tf.exp(self._sharpness.value)

    def set_items(self, vectors: np.ndarray, labels: np.ndarray) -> None:
        """Sets the training items: vectors (N, F) of any length, labels (N, C)."""
        self._vectors.assign(tf.math.l2_normalize(tf.constant(vectors, tf.float32), axis=1))
        self._labels.assign(labels)

    def call(self, vectors, own=None):
        """Finds the neighbours and blends their labels."""
        cosines = tf.matmul(tf.math.l2_normalize(vectors, axis=1), self._vectors.value, transpose_b=True)
        if own is not None:
            cosines = tf.where(tf.range(self.items) == own[:, None], -1.0, cosines)
        found = tf.math.top_k(cosines, self.count)
        return blend(tf.gather(self._labels.value, found.indices), found.values, self.sharpness)

    def compute_output_shape(self, vectors_shape, own_shape=None):
        """(B, C)."""
        return (vectors_shape[0], self.labels)

    def get_config(self):
        """Arguments of the constructor."""
        config = super().get_config()
        del config["dtype"]
        sizes = ("items", "features", "labels", "count")
        return config | {size: getattr(self, size) for size in sizes}

    def _constant(self, name: str, shape: tuple[int, int]) -> keras.Variable:
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)
