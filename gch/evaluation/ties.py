"""Policies for ties: how the items at one Hamming distance count in a ranking.

Distances are small integers, so ties are the rule, and what is done with them moves a figure. A policy puts
the items into groups that follow one another; within a group all orders are equally likely.

tie-aware    one group for each distance: the expectation over all orders of the ties
optimistic   within a distance, items that share more labels with the query come first
pessimistic  within a distance, items that share more labels come last
stable       ties stay in the order of the database, as a stable sort leaves them: `gch.evaluation.strict`
"""

import dataclasses
from collections.abc import Callable

import numpy as np

POLICIES = ("tie-aware", "stable", "optimistic", "pessimistic")


@dataclasses.dataclass(frozen=True)
class Groups:
    """The rankings of Q queries as D groups, the nearest first; a group may be empty.

    Attributes:
      items: int64 (Q, D), items in a group.
      relevant: int64 (Q, D), those of them that share a label with the query.
      counts: int64 (Q, K + 1, S + 1), the counts that they were made of.
      sum_of: takes a value for every number of shared labels, (S + 1,), and returns the sums (Q, D) of the
        values of a group's items.
    """

    items: np.ndarray
    relevant: np.ndarray
    counts: np.ndarray
    sum_of: Callable[[np.ndarray], np.ndarray]

    @property
    def by_shared(self) -> np.ndarray:
        """Items of the whole database by the number of shared labels, int64 (Q, S + 1)."""
        return self.counts.sum(axis=1)


def grouped(counts: np.ndarray, policy: str) -> Groups:
    """Groups by a policy that needs the counts alone, any but 'stable'.

    Args:
      counts: integers (Q, K + 1, S + 1), see `gch.evaluation.counts.shared_label_counts`.
      policy: 'tie-aware', 'optimistic' or 'pessimistic'.
    """
    counts = counts.astype(np.int64)
    queries, distances, width = counts.shape
    if policy == "tie-aware":
        return Groups(
            items=counts.sum(axis=2),
            relevant=counts[:, :, 1:].sum(axis=2),
            counts=counts,
            sum_of=lambda values: counts @ values,
        )
    if policy not in ("optimistic", "pessimistic"):
        raise ValueError(f"policy {policy!r}; expected tie-aware, optimistic or pessimistic")
    order = slice(None, None, -1) if policy == "optimistic" else slice(None)
    items = counts[:, :, order].reshape(queries, -1)
    shared = np.tile(np.arange(width)[order], distances)
    return Groups(items, items * (shared > 0), counts, lambda values: items * values[shared])
