"""Asymmetric ranking: the relaxed code of a query against the bits of the items.

distance(r, b) = sum over the K bits of (1 - r_k b_k) / 2, with r_k in [-1, 1] and b_k either -1 or +1

With a hard code as the query, this is the Hamming distance. With a relaxed one, a bit of which the query is
unsure counts less, so the ranking is finer and has few ties.

The candidates are the `CANDIDATES` items nearest by Hamming distance, or `FACTOR` times the number of results
if that is more, and all further items that are no farther than the last result; at most `MOST`, or as many as
the results. Equal distances come in the order of rows.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gch.errors import SettingError
from gch.evaluation.asymmetric import signed_sums
from gch.search.hamming import Search

ASYMMETRIC, HAMMING = RANKINGS = ("asymmetric", "hamming")
CANDIDATES, FACTOR, MOST = 1_000, 10, 100_000
_DIGITS = 9  # of a distance, so that the order of a sum does not part equal ones
_AT_ONCE = 2**20  # candidates searched at once

ReadCodes = Callable[[Sequence[int]], np.ndarray]  # from rows to codes, uint8 (n, K / 8)


class Ranked(NamedTuple):
    """The items nearest to each query, nearest first."""

    rows: np.ndarray  # int64 (Q, count)
    distances: np.ndarray  # int32 (Q, count), numbers of bits that differ
    scores: np.ndarray  # float64 (Q, count), asymmetric distances, ascending


def require_ranking(ranking: str) -> None:
    """Raises SettingError for another than one of `RANKINGS`."""
    if ranking not in RANKINGS:
        raise SettingError(f"ranking is {ranking!r}; expected one of {', '.join(RANKINGS)}")


def asymmetric_search(
    search: Search, read_codes: ReadCodes, queries: np.ndarray, relaxed: np.ndarray, count: int
) -> Ranked:
    """Ranks the candidates that `search` finds by their asymmetric distance.

    Args:
      search: finds the nearest items by Hamming distance.
      read_codes: reads their codes.
      queries: packed signs of the relaxed codes, uint8 (Q, K / 8).
      relaxed: float (Q, K), in [-1, 1].
      count: results for each query; there are fewer columns where there are fewer items.
    """
    if not len(queries):
        rows, distances = search(queries, count)
        return Ranked(rows, distances, np.empty(rows.shape))
    candidates = max(min(max(CANDIDATES, FACTOR * count), MOST), count)
    ranked = _ranked(search, read_codes, queries, relaxed, count, candidates)
    return Ranked(*map(np.stack, zip(*ranked, strict=True)))


def _ranked(
    search: Search, read_codes: ReadCodes, queries: np.ndarray, relaxed: np.ndarray, count: int, most: int
) -> list[Ranked]:
    """The results of each query among `most` candidates, or more where these end within equal distances."""
    ranked, step = [], max(1, _AT_ONCE // most)
    for start in range(0, len(queries), step):
        found = search(queries[start : start + step], most)
        for query, (rows, distances) in enumerate(zip(*found, strict=True), start):
            if len(rows) == most < MOST and distances[-1] == distances[count - 1]:
                one, more = slice(query, query + 1), min(FACTOR * most, MOST)
                ranked += _ranked(search, read_codes, queries[one], relaxed[one], count, more)
                continue
            (sums,) = signed_sums(relaxed[query : query + 1].astype(np.float64), read_codes(rows))
            scores = ((relaxed.shape[1] - sums) / 2).round(_DIGITS)
            order = np.lexsort((rows, scores))[:count]
            ranked.append(Ranked(rows[order], distances[order], scores[order]))
    return ranked
