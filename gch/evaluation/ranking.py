"""Mean average precision of a ranking by Hamming distance, exact under ties.

Hamming distances are small integers, so ties are the rule. The figure here is the expectation of the
average precision over all orders within equal distance (McSherry and Najork, ECIR 2008), in closed form:
it depends neither on the order of the items nor on a sorting algorithm.
"""

from typing import NamedTuple

import numpy as np

QUERY_BLOCK_ENTRIES = 2**24  # distances held at once


class RankingQuality(NamedTuple):
    """Attributes:
    mean_average_precision: in [0, 1], the mean over all queries; one without a relevant item counts 0.
    queries: number of queries.
    queries_without_relevant: how many of them have no relevant item.
    """

    mean_average_precision: float
    queries: int
    queries_without_relevant: int


def distance_histograms(
    query_codes: np.ndarray, database_codes: np.ndarray, query_labels: np.ndarray, database_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Counts, for every query, the database items and the relevant ones at each Hamming distance.

    An item is relevant to a query when they share a label.

    Args:
      query_codes: (Q, K) of -1 and +1.
      database_codes: (N, K) of -1 and +1.
      query_labels: (Q, C) multi-hot.
      database_labels: (N, C) multi-hot.

    Returns:
      items and relevant: int64 (Q, K + 1); column d counts distance d.
    """
    bits = query_codes.shape[1]
    items = np.empty((len(query_codes), bits + 1), np.int64)
    relevant = np.empty_like(items)
    database = database_codes.T.astype(np.float32)
    database_label_columns = database_labels.T.astype(np.float32)
    block = max(1, QUERY_BLOCK_ENTRIES // max(1, len(database_codes)))
    for start in range(0, len(query_codes), block):
        part = slice(start, start + block)
        inner = query_codes[part].astype(np.float32) @ database
        rows = len(inner)
        cell = ((bits - inner) / 2).astype(np.int64) + (bits + 1) * np.arange(rows)[:, None]
        shared = query_labels[part].astype(np.float32) @ database_label_columns > 0
        size = rows * (bits + 1)
        items[part] = np.bincount(cell.ravel(), minlength=size).reshape(rows, -1)
        relevant[part] = np.bincount(cell[shared], minlength=size).reshape(rows, -1)
    return items, relevant


def tie_aware_average_precision(items: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Expected average precision over all orders within equal distance.

    A tie of n items, r of them relevant, behind N items with R relevant ones adds
    r/n sum_i (R + 1 + (i - 1)(r - 1)/(n - 1)) / (N + i), i = 1..n; the sums are differences of harmonic
    numbers.

    Args:
      items: int (Q, D), items at each distance.
      relevant: int (Q, D), relevant items at each distance.

    Returns:
      float64 (Q,) in [0, 1]; 0 for a query without relevant items.
    """
    before = np.cumsum(items, axis=1) - items
    relevant_before = np.cumsum(relevant, axis=1) - relevant
    total = relevant.sum(axis=1)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, items.sum(axis=1).max(initial=0) + 1))])
    reciprocals = harmonic[before + items] - harmonic[before]
    slope = np.where(items > 1, (relevant - 1) / np.maximum(items - 1, 1), 0.0)
    share = relevant / np.maximum(items, 1)
    gain = share * ((relevant_before + 1) * reciprocals + slope * (items - (before + 1) * reciprocals))
    return gain.sum(axis=1) / np.maximum(total, 1)


def mean_average_precision(
    query_codes: np.ndarray, database_codes: np.ndarray, query_labels: np.ndarray, database_labels: np.ndarray
) -> RankingQuality:
    """Tie-aware mAP over the whole database; see `distance_histograms` for the arguments."""
    items, relevant = distance_histograms(query_codes, database_codes, query_labels, database_labels)
    precision = tie_aware_average_precision(items, relevant)
    empty = int((relevant.sum(axis=1) == 0).sum())
    return RankingQuality(float(precision.mean()), len(precision), empty)
