"""What was measured of one ranking task: values of every query, their means and intervals."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import stats

from gch.evaluation import measures
from gch.evaluation.rankings import grouped

RECALL_LEVELS = np.round(np.arange(0.05, 1.001, 0.05), 2)
RANKS = (1, 2, 5, 10, 20, 50, *range(100, 1001, 100), 2000, 5000, 10_000)  # of the curve of precision


def with_interval(values: np.ndarray, statistic: Callable[..., Any] = np.mean) -> dict[str, float | None]:
    """The `mean`, or the median, of the queries' values, and `low` and `high` of its 95 % interval over draws
    of the queries, by the percentile bootstrap of 1,000 resamples.

    The interval does not tell what another training run would change. None: of too few values.
    """
    low = high = None
    if len(values) > 1:
        options = {"n_resamples": 1000, "confidence_level": 0.95, "method": "percentile", "batch": 100}
        found = stats.bootstrap((values,), statistic, rng=np.random.default_rng(0), **options)
        low, high = map(float, found.confidence_interval)
    return {"mean": float(statistic(values)) if len(values) else None, "low": low, "high": high}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came out, for Q queries, a database of N items and codes of K bits."""

    ties: str  # policy for ties of `values`
    without_relevant: str  # 'zero': a query without a relevant item counts 0 in a mean; 'skip': left out
    values: dict[str, np.ndarray]  # name of a measure to float64 (Q,), one value for each query
    average_precision: dict[str, np.ndarray]  # policy for ties to AP, float64 (Q,)
    counts: np.ndarray  # int64 (Q, K + 1, 2), at each distance the other and the relevant items
    labels: np.ndarray  # uint8 (Q, C), of the queries

    @property
    def has_relevant(self) -> np.ndarray:
        """Whether a query has a relevant item in the database, bool (Q,)."""
        return np.asarray(self.counts[:, :, 1].any(axis=1))

    def mean(self, values: np.ndarray) -> float:
        """Mean over the queries that count, of one value for each query; NaN when none counts."""
        counted = self._counted(values)
        return float(counted.mean()) if len(counted) else float("nan")

    def figures(self) -> dict:
        """Means with their 95 % intervals over draws of queries, tie-aware curves, and counts, for JSON."""
        groups = grouped(self.counts, "tie-aware")
        of_label = (self.labels > 0) & self.has_relevant[:, None]
        database = int(self.counts[0].sum())
        counting = max(1, len(self._counted(self.labels)))  # the other queries have 0 in every curve
        precision, recall = measures.precision_recall_of_radii(groups)
        inside = (~np.isnan(precision)).sum(axis=0)
        ranks = [rank for rank in RANKS if rank <= database]
        at_rank = np.array([measures.precision_at(groups, rank).sum() for rank in ranks])
        at_recall = measures.precision_at_recall(groups, RECALL_LEVELS).sum(axis=0)
        other_pairs, relevant_pairs = self.counts.sum(axis=0).T.tolist()
        return {
            "bits": self.counts.shape[1] - 1,
            "queries": len(self.counts),
            "queries_without_relevant": int((~self.has_relevant).sum()),
            "without_relevant": self.without_relevant,
            "retrieval": database,
            "ties": self.ties,
            "measures": {name: with_interval(self._counted(values)) for name, values in self.values.items()},
            "mAP_by_ties": {
                policy: _plain([self.mean(values)])[0] for policy, values in self.average_precision.items()
            },
            "mAP_by_label": _plain(_ratio(self.values["mAP"] @ of_label, of_label.sum(axis=0))),
            "radius": {
                "precision": _plain(_ratio(np.nansum(precision, axis=0), inside)),
                "recall": _plain(recall.sum(axis=0) / counting),
            },
            "recall_level": {"recall": _plain(RECALL_LEVELS), "precision": _plain(at_recall / counting)},
            "rank": {"rank": ranks, "precision": _plain(at_rank / counting)},
            "pairs_at_distance": {"relevant": relevant_pairs, "other": other_pairs},
        }

    def _counted(self, values: np.ndarray) -> np.ndarray:
        return values[self.has_relevant] if self.without_relevant == "skip" else values


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)


def _plain(values: Iterable[float]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
