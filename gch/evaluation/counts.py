"""How many items of the database lie at each Hamming distance from a query, and what they share with it.

All measures but those of the database's order follow from these counts, so nothing is sorted.
"""

from collections.abc import Callable, Iterator

import numpy as np

from gch.evaluation.codes import CodedItems, as_words

DISTANCES = 2**22  # that are in memory at once


def shared_label_counts(queries: CodedItems, database: CodedItems, most: int) -> np.ndarray:
    """Counts, for each of Q queries, the database items at each Hamming distance, by the labels they share.

    Runs on the CPU, compiled by numba where that is installed and else in NumPy. Both count the same. The
    database has N < 2^32 items with codes and labels of the same lengths K and C. An item that shares more
    than `most` = S >= 1 labels counts as if it shared S. With 1, the counts tell relevant items from others;
    with `most_labels`, they tell all.

    Returns:
      uint32 (Q, K + 1, S + 1): entry [q, d, s] is the number of items at distance d that share s labels.
    """
    counts = np.zeros((len(queries), (queries.bits + 1) * (most + 1)), np.uint32)
    _engine()(*_words(queries), *_columns(database), most, counts)
    return counts.reshape(len(queries), -1, most + 1)


def ranked_shared_labels(queries: CodedItems, database: CodedItems) -> np.ndarray:
    """Numbers of shared labels in the order of the ranking, ties in that of the database, uint16 (Q, N)."""
    ranked = np.empty((len(queries), len(database)), np.uint16)
    others, other_labels = _columns(database)
    for row, code, labels in zip(ranked, *_words(queries), strict=True):
        # NumPy sorts numbers of 16 bits by radix, in linear time.
        order = np.argsort(_ones(code[:, None] ^ others), kind="stable")
        row[:] = _ones(labels[:, None] & other_labels)[order]
    return ranked


def hamming_distances(queries: CodedItems, database: CodedItems) -> Iterator[tuple[slice, np.ndarray]]:
    """The distances of all items from a few queries after the other, uint16 (q, N). Memory is bounded."""
    others = as_words(database.codes).T.copy()
    codes = as_words(queries.codes)
    block = max(1, DISTANCES // max(1, len(database)))
    for start in range(0, len(queries), block):
        part = slice(start, start + block)
        yield part, np.stack([_ones(code[:, None] ^ others) for code in codes[part]])


def most_labels(queries: CodedItems) -> int:
    """The most labels that a query has, at least 1."""
    return int(queries.labels.sum(axis=1, dtype=np.int64).max(initial=1))


def count_by_numpy(queries, query_labels, database, database_labels, most: int, counts: np.ndarray) -> None:
    """Adds to `counts`, (Q, (K + 1) (S + 1)), what is in words, uint64 (Q, w), (Q, v), (w, N) and (v, N)."""
    for code, labels, histogram in zip(queries, query_labels, counts, strict=True):
        shared = np.minimum(_ones(labels[:, None] & database_labels), most)
        cells = _ones(code[:, None] ^ database).astype(np.int64) * (most + 1) + shared
        histogram += np.bincount(cells, minlength=len(histogram)).astype(np.uint32)


def _engine() -> Callable[..., None]:
    try:
        from gch.evaluation.counts_numba import count
    except ImportError:
        return count_by_numpy
    return count


def _ones(words: np.ndarray) -> np.ndarray:
    return np.bitwise_count(words).sum(axis=0, dtype=np.uint16)


def _words(items: CodedItems) -> list[np.ndarray]:
    """Codes and labels as bits in words, uint64 (N, w) and (N, v), filled up with zeros."""
    return [as_words(items.codes), as_words(np.packbits(items.labels, axis=1))]


def _columns(items: CodedItems) -> list[np.ndarray]:
    """The words transposed, so that those of neighbouring items lie side by side."""
    return [words.T.copy() for words in _words(items)]
