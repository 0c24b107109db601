"""Measures without labels: where each of Q queries ranks the other half of its own pair.

A picture ranks the texts of all Q pairs, a text their pictures; one of them is its own half. Let n of the
others be nearer to the query, and t items, the own half among them, at its distance. Over all orders of these
t, the rank of the own half is any of n + 1 to n + t, each with chance 1 / t. So the tie-aware measures are,
exactly,

    recall@k = P(rank <= k) = min(1, max(0, (k - n) / t))
    expected rank = n + (t + 1) / 2

recall@k is the mean of the first over the queries, the median rank the median of the second. The other
policies for ties (`gch.evaluation.rankings`) fix the rank: optimistic n + 1, pessimistic n + t, stable n + 1
and the ties that come before in the order of the pairs. Where relaxed codes of queries rank bits, a higher
score (`gch.evaluation.asymmetric`) takes the place of a smaller distance.

A pair's unified code holds its own half, so directions of pairs are not measured.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gch.evaluation.asymmetric import relaxed_scores
from gch.evaluation.codes import CodedItems
from gch.evaluation.counts import hamming_distances
from gch.evaluation.figures import RANKS as CURVE
from gch.evaluation.figures import with_interval

DIRECTIONS = {"I->T": ("image", "text"), "T->I": ("text", "image")}
RANKS = (1, 5, 10)  # k of recall@k
RECALL = "recall@10"  # which epochs are compared by
MEDIAN = "median_rank"  # what names of medians begin with


def measure_names(asymmetric: bool = False) -> list[str]:
    """The names of the measures: recall@k and the median rank, by Hamming distance or by relaxed queries."""
    ending = "_asymmetric" if asymmetric else ""
    return [*(f"recall{ending}@{rank}" for rank in RANKS), MEDIAN + ending]


@dataclasses.dataclass(frozen=True)
class OwnRanks:
    """The ranks of Q queries' own halves: any of before + 1 to before + tied, equally likely."""

    before: np.ndarray  # int64 (Q,)
    tied: np.ndarray  # int64 (Q,), at least 1

    def recall_at(self, rank: int) -> np.ndarray:
        """The chance that the own half is among the first `rank`, float64 (Q,), in [0, 1]."""
        return np.clip((rank - self.before) / self.tied, 0.0, 1.0)

    def expected(self) -> np.ndarray:
        """The expected rank, float64 (Q,), from 1 on."""
        return self.before + (self.tied + 1) / 2


@dataclasses.dataclass(frozen=True)
class OwnHalf:
    """What was measured of Q queries in one direction."""

    bits: int
    ties: str  # policy for ties
    # Name of a measure to float64 (Q,): chances, and expected ranks, of which the median is taken. Relaxed
    # queries have the asymmetric ones too.
    values: dict[str, np.ndarray]
    ranks: OwnRanks  # by Hamming distance

    def means(self) -> dict[str, float]:
        """The measures over all queries, by name."""
        return {name: float(_centre(name)(values)) for name, values in self.values.items()}

    def figures(self) -> dict:
        """The measures with their 95 % intervals over draws of queries, and the curve of recall, for JSON.

        `mean` of a median rank is the median.
        """
        total = len(self.ranks.before)
        at = [rank for rank in CURVE if rank <= total]
        return {
            "bits": self.bits,
            "queries": total,
            "ties": self.ties,
            "measures": {name: with_interval(values, _centre(name)) for name, values in self.values.items()},
            "rank": {"rank": at, "recall": [float(self.ranks.recall_at(rank).mean()) for rank in at]},
        }


def own_halves(items: Mapping[str, CodedItems], ties: str = "tie-aware") -> dict[str, OwnHalf]:
    """All measures by direction, of items by 'image' and 'text'; row i of both belongs together."""
    return {
        direction: own_half(items[one], items[other], ties) for direction, (one, other) in DIRECTIONS.items()
    }


def own_half(queries: CodedItems, halves: CodedItems, ties: str = "tie-aware") -> OwnHalf:
    """All measures of Q queries and as many halves; row i of both belongs together."""
    own = np.arange(len(queries))
    ranks = {False: own_ranks(queries, halves, own, ties)}
    if queries.relaxed is not None:
        ranks[True] = own_ranks(queries, halves, own, ties, asymmetric=True)
    values = {
        name: value
        for asymmetric, found in ranks.items()
        for name, value in zip(
            measure_names(asymmetric), [*map(found.recall_at, RANKS), found.expected()], strict=True
        )
    }
    return OwnHalf(queries.bits, ties, values, ranks[False])


def recall_by_direction(
    queries: Mapping[str, CodedItems], halves: Mapping[str, CodedItems], own: np.ndarray
) -> dict[str, float]:
    """Tie-aware recall@10 by direction; arguments as of `own_ranks`, by 'image' and 'text'."""
    return {
        direction: float(own_ranks(queries[one], halves[other], own).recall_at(10).mean())
        for direction, (one, other) in DIRECTIONS.items()
    }


def own_ranks(
    queries: CodedItems,
    halves: CodedItems,
    own: np.ndarray,
    ties: str = "tie-aware",
    asymmetric: bool = False,
) -> OwnRanks:
    """Where Q queries rank their own among N halves.

    Args:
      queries: Q items.
      halves: N items, with codes of the same length.
      own: int (Q,), the position of each query's own half among them.
      ties: the policy for ties.
      asymmetric: whether the queries' relaxed codes rank the halves, or their signs.
    """
    before, tied = np.empty((2, len(queries)), np.int64)
    for part, nearness in (relaxed_scores if asymmetric else _nearness)(queries, halves):
        mine = own[part, None]
        of_own = np.take_along_axis(nearness, mine, axis=1)
        equal = nearness == of_own
        before[part] = np.count_nonzero(nearness > of_own, axis=1)
        tied[part] = np.count_nonzero(equal, axis=1)
        if ties == "stable":
            before[part] += np.count_nonzero(equal & (np.arange(len(halves)) < mine), axis=1)
    if ties == "pessimistic":
        before += tied - 1
    return OwnRanks(before, tied if ties == "tie-aware" else np.ones_like(tied))


def _nearness(queries: CodedItems, halves: CodedItems) -> Iterator[tuple[slice, np.ndarray]]:
    """The complements of the distances, which rank the other way round, block by block, uint16 (q, N)."""
    for part, distances in hamming_distances(queries, halves):
        yield part, ~distances


def _centre(name: str) -> Callable[[np.ndarray], Any]:
    return np.median if name.startswith(MEDIAN) else np.mean
