"""The measures of `gch.evaluation.measures` for rankings without ties, by their definitions.

All functions take `Rankings` of Q queries and N items and return float64 (Q,).
"""

import dataclasses
import functools

import numpy as np

from gch.evaluation.measures import discounted_gain_of_best


@dataclasses.dataclass(frozen=True)
class Rankings:
    """Attributes:
    shared: unsigned (Q, N), the number of labels that the item of each rank shares with the query.
    by_shared: int64 (Q, S + 1), items by the number of shared labels.
    """

    shared: np.ndarray
    by_shared: np.ndarray

    @functools.cached_property
    def found(self) -> np.ndarray:
        """Relevant items up to each rank, int32 (Q, N)."""
        return np.cumsum(self.shared > 0, axis=1, dtype=np.int32)

    @functools.cached_property
    def precisions(self) -> np.ndarray:
        """The precision at each rank of a relevant item, 0 at others, float64 (Q, N)."""
        return np.where(self.shared > 0, self.found / np.arange(1, self.found.shape[1] + 1), 0.0)

    def up_to(self, cutoff: int) -> np.ndarray:
        """Relevant items among the first `cutoff`, (Q,)."""
        return self.found[:, min(cutoff, self.found.shape[1]) - 1]


def average_precision(rankings: Rankings) -> np.ndarray:
    """AP of the whole ranking."""
    return rankings.precisions.sum(axis=1) / np.maximum(rankings.found[:, -1], 1)


def average_precision_truncated(rankings: Rankings, cutoff: int) -> np.ndarray:
    """AP of the first `cutoff` items, divided by the relevant ones among them."""
    return rankings.precisions[:, :cutoff].sum(axis=1) / np.maximum(rankings.up_to(cutoff), 1)


def average_precision_relevant(rankings: Rankings, cutoff: int) -> np.ndarray:
    """The mean of the precision at the first min(cutoff, R) of the R relevant items."""
    total = np.minimum(rankings.found[:, -1], cutoff)
    gained = np.where(rankings.found <= cutoff, rankings.precisions, 0.0).sum(axis=1)
    return gained / np.maximum(total, 1)


def precision_at(rankings: Rankings, cutoff: int) -> np.ndarray:
    """Share of relevant items among the first min(cutoff, N)."""
    return rankings.up_to(cutoff) / min(cutoff, rankings.found.shape[1])


def recall_at(rankings: Rankings, cutoff: int) -> np.ndarray:
    """Share of the relevant items that is among the first `cutoff`."""
    return rankings.up_to(cutoff) / np.maximum(rankings.found[:, -1], 1)


def average_cumulative_gain(rankings: Rankings, cutoff: int) -> np.ndarray:
    """The mean number of shared labels of the first min(cutoff, N) items."""
    return rankings.shared[:, :cutoff].mean(axis=1, dtype=np.float64)


def normalized_discounted_gain(rankings: Rankings, cutoff: int) -> np.ndarray:
    """NDCG of the first `cutoff` items."""
    first = rankings.shared[:, :cutoff]
    gained = (2.0**first - 1) @ (1 / np.log2(2 + np.arange(first.shape[1])))
    best = discounted_gain_of_best(rankings.by_shared, cutoff)
    return np.divide(gained, best, out=np.zeros(len(best)), where=best > 0)
