"""Neighbour label propagation: an item's nearest training items, and the labels that they pass on to it."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gch.terminal import Progress

SHARPNESS = 10.0  # at first: a neighbour at cosine .8 weighs e^-2 of one at 1
QUERIES = 1024  # items whose neighbours are searched at once
BLOCK = 2**16  # items that they are compared with at once: with 1,024 queries, 256 MiB of cosines


class Nearest(NamedTuple):
    """The k best items of each of B vectors, the best first: int32 positions and float32, all (B, k).

    `scores` are what the items are ranked by: the cosine, but for an item's own entry.
    """

    positions: tf.Tensor
    scores: tf.Tensor
    cosines: tf.Tensor


def blend(labels: tf.Tensor, cosines: tf.Tensor, sharpness: tf.Tensor) -> tf.Tensor:
    """A L: the labels of an item's neighbours, weighted by a = softmax(sharpness cos) over the neighbours.

    From labels (B, k, C), cosines (B, k) and a sharpness of 0 or more to float (B, C). A neighbour with
    nothing in common, cos <= 0, does not count; an item without neighbours has zeros.
    """
    weights = tf.where(cosines > 0, tf.exp(sharpness * (cosines - 1)), 0.0)
    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=1, keepdims=True))
    return tf.einsum("bk,bkc->bc", weights, labels)


def nearest(
    vectors: tf.Tensor,
    items: tf.Tensor,
    count: int,
    own: tf.Tensor | None = None,
    own_score: float = -1.0,
    block: int = BLOCK,
) -> Nearest:
    """The `count` items with the highest scores; of equal ones, those that come first.

    More than `block` items are compared block by block, keeping the best so far. Then memory grows with
    B block, not with B N. Cosines of one block and of several may differ in the last bits, because matrix
    products of different sizes add in different orders.

    Vectors (B, F) and items (N, F) are float32, of unit length; N is static, `count` at most N. `own`, int32
    (B,), is the position of each vector among the items, or -1, and `own_score` what that item scores in
    place of its cosine.
    """
    total = items.shape[0]

    def best_of(start: int | tf.Tensor, size: int) -> Nearest:
        part = items if size == total else tf.slice(items, [start, 0], [size, items.shape[1]])
        cosines = tf.matmul(vectors, part, transpose_b=True)
        scores = cosines
        if own is not None:
            scores = tf.where(start + tf.range(size) == own[:, None], own_score, cosines)
        found = tf.math.top_k(scores, min(count, size))
        cosines = found.values if own is None else tf.gather(cosines, found.indices, batch_dims=1)
        return Nearest(start + found.indices, found.values, cosines)

    if total <= block:
        return best_of(0, total)

    def better_of(best: Nearest, new: Nearest) -> Nearest:
        # Of equal scores top_k takes the first: those of the earlier blocks.
        joined = Nearest(*(tf.concat(pair, axis=1) for pair in zip(best, new, strict=True)))
        chosen = tf.math.top_k(joined.scores, count).indices
        return Nearest(*(tf.gather(part, chosen, batch_dims=1) for part in joined))

    shape = [tf.shape(vectors)[0], count]
    lowest = tf.fill(shape, -np.inf)
    best = Nearest(tf.zeros(shape, tf.int32), lowest, lowest)
    blocks, rest = divmod(total, block)
    _, best = tf.while_loop(
        lambda number, _: number < blocks,
        lambda number, best: (number + 1, better_of(best, best_of(number * block, block))),
        (0, best),
        parallel_iterations=1,  # more would compute several blocks' cosines ahead
        maximum_iterations=blocks,
    )
    return better_of(best, best_of(blocks * block, rest)) if rest else best


def nearest_others(
    vectors: np.ndarray, count: int, views: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For every item of (N, F), N > count, itself, and then the `count` others that are nearest by cosine,
    the nearest first: positions int32 and cosines float32, both (N, 1 + count).

    With `views`, other vectors (N, F) of the items, these are compared with the vectors of the others.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def search(part, unit, rows):  # a function that held the vectors would keep them on the device
        return nearest(part, unit, count + 1, own=rows, own_score=2.0)

    unit, total = unit_length(vectors), len(vectors)
    seen, unit = unit if views is None else unit_length(views), tf.constant(unit)
    progress = Progress("items", "  nearest training items") if total > BLOCK else None  # it takes minutes
    parts = []
    for start in range(0, total, QUERIES):
        end = min(start + QUERIES, total)
        parts.append(search(tf.constant(seen[start:end]), unit, tf.range(start, end)))
        if progress:
            progress(end, total)
    positions = np.concatenate([part.positions for part in parts])
    return positions, np.concatenate([part.cosines for part in parts])


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, F) divided by their lengths, float32; zeros stay zeros.

    Slice by slice: the whole would be on the device three times.
    """
    unit = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, start + BLOCK)
        unit[part] = tf.math.l2_normalize(tf.constant(vectors[part], tf.float32), axis=1)
    return unit


@keras.saving.register_keras_serializable(package="gch")
class NeighbourLabels(keras.layers.Layer):
    """Vectors (B, F) to the labels (B, C) of their nearest training items by cosine, see `blend`.

    A training item is its own nearest neighbour, unless the second input leaves it out: int32 (B,), the
    position of each item among the training items, or -1. Vectors and labels of the training items are
    weights that no optimizer moves; `set_items` sets them. The sharpness is learned, as its logarithm.

    `items`, `features`, `labels` and `count` are N, F, C and the number of neighbours, at most N.
    """

    def __init__(self, items: int, features: int, labels: int, count: int, dtype: str = "float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.items, self.features, self.labels, self.count = items, features, labels, count
        start = keras.initializers.Constant(np.log(SHARPNESS))
        self._sharpness = self.add_weight(name="log_sharpness", shape=(), initializer=start)
        constant = {"initializer": "zeros", "trainable": False}
        self._vectors = self.add_weight(name="vectors", shape=(items, features), **constant)
        self._labels = self.add_weight(name="labels", shape=(items, labels), **constant)

    @property
    def sharpness(self) -> tf.Tensor:
        """The sharpness of the weights, more than 0."""
        return tf.exp(self._sharpness.value)

    @property
    def values(self) -> tf.Tensor:
        """What the training items pass on, float32 (N, C)."""
        return self._labels.value

    def set_items(self, vectors: np.ndarray, labels: np.ndarray) -> None:
        """Sets the training items: vectors (N, F) of any length, labels (N, C)."""
        self._vectors.assign(unit_length(vectors))
        self._labels.assign(labels)

    def call(self, vectors, own=None, sharpness=None):
        """Finds the neighbours and blends their labels, by the learned sharpness or another."""
        found = nearest(tf.math.l2_normalize(vectors, axis=1), self._vectors.value, self.count, own)
        sharpness = self.sharpness if sharpness is None else sharpness
        return blend(tf.gather(self._labels.value, found.positions), found.scores, sharpness)

    def get_config(self):
        """Arguments of the constructor."""
        sizes = ("items", "features", "labels", "count")
        return super().get_config() | {size: getattr(self, size) for size in sizes}
