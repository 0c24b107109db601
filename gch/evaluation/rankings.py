"""Rankings with ties: how the items at one Hamming distance count.

Distances are small integers, so ties are the rule, and what is done with them moves a figure. A policy puts
the items into groups that follow one another; within a group all orders are equally likely.

tie-aware    one group for each distance: the expectation over all orders of the ties
optimistic   within a distance, items that share more labels with the query come first
pessimistic  within a distance, items that share more labels come last
stable       ties stay in the order of the database: every item is a group of its own
"""

import dataclasses
import functools

import numpy as np

POLICIES = ("tie-aware", "stable", "optimistic", "pessimistic")


@dataclasses.dataclass(frozen=True)
class Groups:
    """The rankings of Q queries as D groups, the nearest first; a group may be empty."""

    items: np.ndarray  # int64 (Q, D), items in a group
    relevant: np.ndarray  # int64 (Q, D), those of them that share a label with the query
    counts: np.ndarray  # int64 (Q, K + 1, S + 1), see `gch.evaluation.counts.shared_label_counts`
    # Labels that all items of a group share with the query: (D,), or (Q, D) where every item is a group of
    # its own; None where the items of a group differ.
    shared: np.ndarray | None = None

    @functools.cached_property
    def before(self) -> np.ndarray:
        """Items before each group, int64 (Q, D)."""
        return np.cumsum(self.items, axis=1) - self.items

    @functools.cached_property
    def relevant_before(self) -> np.ndarray:
        """Relevant items before each group, int64 (Q, D)."""
        return np.cumsum(self.relevant, axis=1) - self.relevant

    @functools.cached_property
    def by_shared(self) -> np.ndarray:
        """Items of the whole database by the number of shared labels, int64 (Q, S + 1)."""
        return self.counts.sum(axis=1)

    @property
    def all_relevant(self) -> np.ndarray:
        """Relevant items of the whole database, int64 (Q,)."""
        return self.by_shared[:, 1:].sum(axis=1)

    @property
    def singles(self) -> bool:
        """Whether every item is a group of its own."""
        return self.shared is not None and self.shared.ndim == 2

    def sum_of(self, values: np.ndarray) -> np.ndarray:
        """Sums (Q, D) over the items of a group of a value for each number of shared labels, (S + 1,)."""
        return self.counts @ values if self.shared is None else self.items * values[self.shared]

    def first(self, cutoff: int) -> "Groups":
        """Without single items beyond the first `cutoff`, so that less is computed."""
        if self.shared is None or not self.singles:
            return self
        items, relevant, shared = (part[:, :cutoff] for part in (self.items, self.relevant, self.shared))
        return Groups(items, relevant, self.counts, shared)


def grouped(counts: np.ndarray, policy: str) -> Groups:
    """Groups by the policy 'tie-aware', 'optimistic' or 'pessimistic', of counts (Q, K + 1, S + 1)."""
    counts = counts.astype(np.int64)
    if policy == "tie-aware":
        return Groups(counts.sum(axis=2), counts[:, :, 1:].sum(axis=2), counts)
    queries, distances, width = counts.shape
    order = slice(None, None, -1) if policy == "optimistic" else slice(None)
    items = counts[:, :, order].reshape(queries, -1)
    shared = np.tile(np.arange(width)[order], distances)
    return Groups(items, items * (shared > 0), counts, shared)


def ranked(shared: np.ndarray, counts: np.ndarray) -> Groups:
    """Groups by the policy 'stable', of the shared labels at every rank, unsigned (Q, N), and the counts."""
    relevant = (shared > 0).astype(np.int64)
    return Groups(np.ones_like(relevant), relevant, counts.astype(np.int64), shared)
