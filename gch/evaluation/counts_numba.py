"""The counts of `gch.evaluation.counts` as machine code for all cores, over packed codes and labels."""

import numba
import numpy as np
from numba.extending import intrinsic

from gch.evaluation.coded import CodedItems

TILE = 2048  # items whose codes, labels and cells stay in the first-level cache while queries pass over them
QUERIES_AT_ONCE = 16  # of a core


def shared_label_counts(queries: CodedItems, database: CodedItems, most: int) -> np.ndarray:
    """See `gch.evaluation.counts.shared_label_counts`."""
    counts = np.zeros((len(queries), queries.bits + 1, most + 1), np.uint32)
    _count(
        _words(queries.codes),
        np.ascontiguousarray(_words(database.codes).T),
        _words(np.packbits(queries.labels, axis=1)),
        np.ascontiguousarray(_words(np.packbits(database.labels, axis=1)).T),
        most,
        counts.reshape(len(queries), -1),
    )
    return counts


def _words(packed: np.ndarray) -> np.ndarray:
    """Bytes (N, b) as words uint64 (N, ceil(b / 8)), filled up with zeros."""
    items, size = packed.shape
    padded = np.zeros((items, -(-size // 8) * 8), np.uint8)
    padded[:, :size] = packed
    return padded.view(np.uint64)


@intrinsic
def _popcount(typing, word):
    """The number of ones in a word: one instruction, which numba has no name for."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return word(word), generate


@numba.njit(parallel=True, nogil=True, cache=True)
def _count(queries, database, query_labels, database_labels, most, counts):
    """Queries (Q, w), database (w, N): neighbouring items side by side, so that `_cells` is vectorised."""
    blocks = -(-len(queries) // QUERIES_AT_ONCE)
    for block in numba.prange(blocks):
        cells = np.empty(TILE, np.uint32)
        first = block * QUERIES_AT_ONCE
        last = min(first + QUERIES_AT_ONCE, len(queries))
        for start in range(0, database.shape[1], TILE):
            found = cells[: min(TILE, database.shape[1] - start)]
            for query in range(first, last):
                _cells(queries[query], database, query_labels[query], database_labels, most, start, found)
                histogram = counts[query]
                for cell in found:
                    histogram[cell] += 1


@numba.njit(nogil=True, cache=True)
def _cells(code, database, labels, database_labels, most, start, cells):
    """Sets cells (n,) to distance * (most + 1) + shared labels of the items from `start`."""
    stride, limit, end = np.uint64(most + 1), np.uint64(most), start + len(cells)
    if len(code) == 1 and len(labels) == 1:  # one pass, for codes and labels of up to 64 bits
        word, words = code[0], database[0][start:end]
        label_word, label_words = labels[0], database_labels[0][start:end]
        for item in range(len(cells)):
            shared = min(_popcount(label_word & label_words[item]), limit)
            cells[item] = np.uint32(_popcount(word ^ words[item]) * stride + shared)
        return
    cells[:] = 0
    for row in range(len(labels)):
        word, words = labels[row], database_labels[row][start:end]
        for item in range(len(cells)):
            cells[item] += np.uint32(_popcount(word & words[item]))
    for item in range(len(cells)):
        cells[item] = min(cells[item], np.uint32(limit))
    for row in range(len(code)):
        word, words = code[row], database[row][start:end]
        for item in range(len(cells)):
            cells[item] += np.uint32(_popcount(word ^ words[item]) * stride)
