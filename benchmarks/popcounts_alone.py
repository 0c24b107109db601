"""The comparisons of the numba engine without its histograms: the bound that popcounts set."""

import numba
import numpy as np

from gch.evaluation.coded import CodedItems
from gch.evaluation.counts_numba import TILE, _cells, _words


@numba.njit(parallel=True, nogil=True)
def _total(queries, database, query_labels, database_labels, most):
    sums = np.zeros(len(queries), np.uint64)
    blocks = -(-len(queries) // 16)
    for block in numba.prange(blocks):
        cells = np.empty(TILE, np.uint32)
        for start in range(0, database.shape[1], TILE):
            found = cells[: min(TILE, database.shape[1] - start)]
            for query in range(16 * block, min(16 * block + 16, len(queries))):
                _cells(queries[query], database, query_labels[query], database_labels, most, start, found)
                sums[query] += found[query % len(found)]
    return sums


def total(queries: CodedItems, database: CodedItems) -> int:
    """A sum that depends on some of the cells, so that they are computed."""
    return int(
        _total(
            _words(queries.codes),
            np.ascontiguousarray(_words(database.codes).T),
            _words(np.packbits(queries.labels, axis=1)),
            np.ascontiguousarray(_words(np.packbits(database.labels, axis=1)).T),
            1,
        ).sum()
    )
