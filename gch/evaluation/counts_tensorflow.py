"""The counts of `gch.evaluation.counts` as matrix products: where numba is not installed."""

import numpy as np

from gch.evaluation.coded import CodedItems
from gch.quiet import native_stderr_held

BLOCK_ENTRIES = 2**24  # pairs of query and item that are held at once


def shared_label_counts(queries: CodedItems, database: CodedItems, most: int) -> np.ndarray:
    """See `gch.evaluation.counts.shared_label_counts`.

    Runs on the CPU: TensorFlow refuses to count on a GPU where operations are to be deterministic.
    """
    with native_stderr_held():  # what TensorFlow says when it is loaded and looks for devices
        import tensorflow as tf

        tf.config.list_logical_devices()
    width = most + 1
    size = (queries.bits + 1) * width
    counts = np.zeros((len(queries), size), np.uint32)
    block = max(1, BLOCK_ENTRIES // max(1, len(database)))
    with tf.device("CPU"):
        items, item_labels = tf.constant(database.signs()), tf.constant(database.labels, tf.float32)
        for start in range(0, len(queries), block):
            part = queries.only(slice(start, start + block))
            distance = (queries.bits - tf.matmul(tf.constant(part.signs()), items, transpose_b=True)) / 2
            shared = tf.matmul(tf.constant(part.labels, tf.float32), item_labels, transpose_b=True)
            cells = tf.cast(distance * width + tf.minimum(shared, float(most)), tf.int32)
            found = tf.math.bincount(cells, minlength=size, maxlength=size, axis=-1)
            counts[start : start + block] = found.numpy()
    return counts.reshape(len(queries), queries.bits + 1, width)
