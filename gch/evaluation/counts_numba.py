"""The counts of `gch.evaluation.counts` as machine code for all cores."""

import numba
import numpy as np
from numba.extending import intrinsic

TILE = 2048  # items whose codes, labels and cells stay in the first-level cache while queries pass over them
QUERIES_AT_ONCE = 16  # of a core


@intrinsic
def _popcount(typing, word):
    """The number of ones in a word: one instruction, which numba has no name for."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return word(word), generate


@numba.njit(parallel=True, nogil=True, cache=True)
def count(queries, query_labels, database, database_labels, most, counts):
    """Does what `gch.evaluation.counts.count_by_numpy` does."""
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
