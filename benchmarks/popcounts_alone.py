"""The comparisons of the numba engine without its histograms: the bound that popcounts set."""

import numba
import numpy as np

from gch.evaluation.codes import CodedItems
from gch.evaluation.counts import _columns, _words
from gch.evaluation.counts_numba import TILE, _cells


@numba.njit(parallel=True, nogil=True)
def _total(queries, query_labels, database, database_labels, most):
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
    return int(_total(*_words(queries), *_columns(database), 1).sum())
