"""How many items of the database lie at each Hamming distance from a query, and what they share with it.

All measures but those of the database's order follow from these counts, so nothing is sorted.
"""

import numpy as np

from gch.evaluation.coded import CodedItems


def shared_label_counts(queries: CodedItems, database: CodedItems, most: int) -> np.ndarray:
    """Counts, for every query, the database items at each Hamming distance, by the labels they share with it.

    Runs on the CPU, compiled by numba where that is installed and else in TensorFlow. Both count the same.

    Args:
      queries: Q items.
      database: N < 2^32 items with codes and labels of the same lengths K and C.
      most: S, at least 1; an item that shares more labels counts as if it shared S. With 1, the counts tell
        relevant items from others; with `most_labels`, they tell all.

    Returns:
      uint32 (Q, K + 1, S + 1): entry [q, d, s] is the number of items at distance d that share s labels.
    """
    return _engine().shared_label_counts(queries, database, most)


def ranked_shared_labels(queries: CodedItems, database: CodedItems) -> np.ndarray:
    """The numbers of shared labels in the order of the ranking, ties in the order of the database.

    Args:
      queries: Q items.
      database: N items, as of `shared_label_counts`.

    Returns:
      Unsigned (Q, N).
    """
    shared = np.empty((len(queries), len(database)), np.min_scalar_type(most_labels(queries)))
    database_bits = np.unpackbits(database.codes, axis=1).astype(np.float32).T
    database_labels = database.labels.astype(np.float32).T
    ones = database_bits.sum(axis=0)
    for row, (code, labels) in enumerate(zip(queries.codes, queries.labels, strict=True)):
        code = np.unpackbits(code).astype(np.float32)
        distance = (code.sum() + ones - 2 * (code @ database_bits)).astype(np.uint16)
        order = np.argsort(distance, kind="stable")  # of 16 bits: by radix, in linear time
        shared[row] = (labels.astype(np.float32) @ database_labels)[order]
    return shared


def most_labels(queries: CodedItems) -> int:
    """The most labels that a query has, at least 1."""
    return int(queries.labels.sum(axis=1, dtype=np.int64).max(initial=1))


def _engine():
    try:
        from gch.evaluation import counts_numba
    except ImportError:
        from gch.evaluation import counts_tensorflow

        return counts_tensorflow
    return counts_numba
