"""Exact search by Hamming distance, with FAISS if it is installed, otherwise with NumPy."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np

from gch.evaluation.codes import as_words

_PAIRS = 2**22  # of a query and a code, compared at once


class Found(NamedTuple):
    """The codes nearest to each query, nearest first; -1 where fewer are found."""

    rows: np.ndarray  # int64 (Q, count)
    distances: np.ndarray  # int32 (Q, count), numbers of bits that differ


# From queries, uint8 (Q, K / 8), and a count; with fewer codes than that, the result has as many columns.
Search = Callable[[np.ndarray, int], Found]


def bounded(search: Search, items: int) -> Search:
    """Wraps a search of `items` codes, so that it sees no empty batch and no count above `items`."""

    def found(queries: np.ndarray, count: int) -> Found:
        shape = len(queries), min(count, items)
        if 0 in shape:
            return Found(np.empty(shape, np.int64), np.empty(shape, np.int32))
        return search(queries, shape[1])

    return found


def exact_search(codes: np.ndarray) -> Search:
    """Finds the first by (distance, row) of all codes, uint8 (N, K / 8), which are not copied."""
    try:
        import faiss
    except ImportError:
        return bounded(functools.partial(_by_numpy, codes), len(codes))
    return bounded(functools.partial(_by_faiss, faiss, codes), len(codes))


def _by_faiss(faiss: ModuleType, codes: np.ndarray, queries: np.ndarray, count: int) -> Found:
    # Of items of equal distance the counting scan keeps those it meets first, which are the lowest rows. It
    # holds `count` places for each of the K + 1 distances of a query.
    step = max(1, _PAIRS // ((8 * codes.shape[1] + 1) * count))
    parts = [
        faiss.knn_hamming(queries[start : start + step], codes, count, variant="mc")
        for start in range(0, len(queries), step)
    ]
    distances, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Found(rows, distances)


def _by_numpy(codes: np.ndarray, queries: np.ndarray, count: int) -> Found:
    rows, distances = np.empty((2, len(queries), count), np.int64)
    step = max(1, _PAIRS // (64 * codes.shape[1]))
    for first in range(0, len(queries), 64):
        some = as_words(queries[first : first + 64])[:, None]
        nearest = np.empty((len(some), 0), np.int64)
        for start in range(0, len(codes), step):
            block = as_words(codes[start : start + step])
            differing = np.bitwise_count(some ^ block).sum(axis=-1, dtype=np.int64)
            keys = differing * len(codes) + np.arange(start, start + len(block))
            nearest = np.concatenate([nearest, keys], axis=1)
            nearest = np.partition(nearest, min(count, nearest.shape[1]) - 1, axis=1)[:, :count]
        distances[first : first + 64], rows[first : first + 64] = np.divmod(np.sort(nearest), len(codes))
    return Found(rows, distances.astype(np.int32))
