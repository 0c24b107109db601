"""Asymmetric ranking: a query's relaxed code ranks the database's bits.

The score of an item is the sum of the relaxed code's entries, each with the sign of the item's bit. It ranks
finer than Hamming distance, and items tie only where their scores are equal. Scores are exact: entries are
rounded to multiples of 2^-18 for 64 bits (2^-20 for 16, and so on), of which float32 adds K in any order
without an error. So equal codes tie, and figures repeat on every machine.
"""

import functools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gch.evaluation.codes import CodedItems
from gch.evaluation.measures import summed_precisions

SCORES = 2**23  # that are in memory at once
ITEMS = 2**14  # whose bits are unpacked at once


def average_precision(queries: CodedItems, database: CodedItems, policy: str) -> np.ndarray:
    """AP of every query over the whole database, float64 (Q,), in [0, 1]; 0 without a relevant item.

    The queries have relaxed codes. The policy is one of `gch.evaluation.rankings`, for items of equal scores.
    """
    labels, values = database.labels.T.astype(bool), np.zeros(len(queries))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy sorts and adds on all cores at once
        for part, scores in relaxed_scores(queries, database):
            relevant = [labels[own > 0].any(axis=0) for own in queries.labels[part]]
            values[part] = list(pool.map(functools.partial(_one, policy), scores, relevant))
    return values


def relaxed_scores(queries: CodedItems, database: CodedItems) -> Iterator[tuple[slice, np.ndarray]]:
    """The scores of all items for a few queries after the other, int32 (q, N), in units of the rounding.

    The queries have relaxed codes. Memory is bounded.
    """
    assert queries.relaxed is not None
    weights = np.rint(queries.relaxed * np.float32(2.0 ** (24 - (queries.bits - 1).bit_length())))
    block = max(1, SCORES // len(database))
    for start in range(0, len(queries), block):
        some = slice(start, start + block)
        yield some, signed_sums(weights[some], database.codes).astype(np.int32)


def signed_sums(weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Of each query's weights, float (Q, K), the sum with the signs of the bits of each packed code, uint8
    (N, K / 8 rounded up): (Q, N), of the type of the weights.
    """
    sums = np.empty((len(weights), len(codes)), weights.dtype)
    for first in range(0, len(codes), ITEMS):
        part = slice(first, first + ITEMS)
        bits = np.unpackbits(codes[part], axis=1, count=weights.shape[1])
        sums[:, part] = weights @ (2 * bits.astype(weights.dtype) - 1).T
    return sums


def _one(policy: str, scores: np.ndarray, relevant: np.ndarray) -> float:
    """AP of one query; scores int32 (N,), relevant bool (N,)."""
    total = max(1, np.count_nonzero(relevant))
    if policy == "stable":
        ranking = relevant[np.argsort(-scores, kind="stable")]
    else:  # The lowest bit takes what is relevant through the sort, and decides among equal scores.
        last = policy == "pessimistic"
        keys = np.sort(2 * scores + (relevant ^ last))[::-1]
        ranking = (keys & 1).astype(bool) ^ last
    if policy != "tie-aware":
        ranks = np.flatnonzero(ranking) + 1
        return float((np.arange(1, len(ranks) + 1) / ranks).sum() / total)
    ends = np.append(np.flatnonzero(np.diff(keys >> 1)) + 1, len(keys))  # of the groups of equal scores
    items, found = np.diff(ends, prepend=0), np.cumsum(ranking)[ends - 1]
    hits = np.diff(found, prepend=0)
    some = hits > 0
    before, relevant_before = (ends - items)[some], (found - hits)[some]
    return float(summed_precisions(before, relevant_before, items[some], hits[some]).sum() / total)
