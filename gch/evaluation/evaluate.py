"""All measures of one ranking task: queries against a database."""

import dataclasses
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np

from gch.errors import DataError
from gch.evaluation import measures, strict
from gch.evaluation.coded import CodedItems
from gch.evaluation.counts import most_labels, ranked_shared_labels, shared_label_counts
from gch.evaluation.intervals import Interval, mean_interval
from gch.evaluation.ties import POLICIES, grouped

RECALL_LEVELS = np.round(np.arange(0.05, 1.001, 0.05), 2)
RANKS = (1, 2, 5, 10, 20, 50, *range(100, 1001, 100), 2000, 5000, 10_000)  # of the curve of precision
CUTOFFS = (10, 100, 1000)
RADIUS = 2  # of the precision within a Hamming radius
WITHOUT_RELEVANT = ("zero", "skip")
BLOCK_COUNTS = 2**22  # counts that are held at once
RANKED_ITEMS = 2**22  # items of rankings that are held at once


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came out, for Q queries, a database of N items and codes of K bits.

    Attributes:
      ties: policy for ties of `values`.
      values: name of a measure to float64 (Q,), one value for each query.
      average_precision: policy for ties to AP, float64 (Q,).
      has_relevant: bool (Q,), whether a query has a relevant item in the database.
      without_relevant: 'zero': a query without a relevant item counts 0 in a mean; 'skip': it is left out.
      radius_precision, radius_recall: float64 (K + 1,), means over the queries, within every Hamming radius;
        the precision is of the queries for which an item lies within it, NaN where there is none.
      recall_precision: float64 (20,), mean precision where .05, .1 ... 1 of the relevant items are found.
      rank_precision: float64 (R,), mean precision of the first n items, tie-aware, for the n of RANKS <= N.
      relevant_pairs, other_pairs: int64 (K + 1,), pairs of query and item at each distance, by relevance.
      labels: uint8 (Q, C), of the queries.
      bits: K.
      database: N.
    """

    ties: str
    values: dict[str, np.ndarray]
    average_precision: dict[str, np.ndarray]
    has_relevant: np.ndarray
    without_relevant: str
    radius_precision: np.ndarray
    radius_recall: np.ndarray
    recall_precision: np.ndarray
    rank_precision: np.ndarray
    relevant_pairs: np.ndarray
    other_pairs: np.ndarray
    labels: np.ndarray
    bits: int
    database: int

    def mean(self, values: np.ndarray) -> float:
        """Mean over the queries that count, of one value for each query; NaN when none counts."""
        counted = self._counted(values)
        return float(counted.mean()) if len(counted) else float("nan")

    def interval(self, values: np.ndarray, seed: int = 0) -> Interval | None:
        """Bootstrap interval of that mean, see `gch.evaluation.intervals.mean_interval`."""
        return mean_interval(self._counted(values), seed=seed)

    def label_map(self) -> np.ndarray:
        """Of every label, float64 (C,): mAP of its queries that have a relevant item; NaN without one."""
        queries = (self.labels > 0) & self.has_relevant[:, None]
        total = queries.sum(axis=0)
        precision = self.values["mAP"] @ queries
        return np.divide(precision, total, out=np.full(len(total), np.nan), where=total > 0)

    def _counted(self, values: np.ndarray) -> np.ndarray:
        return values[self.has_relevant] if self.without_relevant == "skip" else values


def evaluate(
    queries: CodedItems,
    database: CodedItems,
    cutoffs: Sequence[int] = CUTOFFS,
    ties: str = "tie-aware",
    without_relevant: str = "zero",
    policies: Sequence[str] = POLICIES,
) -> Evaluation:
    """Ranks the database for every query by Hamming distance, and measures.

    An item that shares a label with a query is relevant to it.

    Args:
      queries: Q items, Q > 0.
      database: N items, N > 0, of as many bits and labels.
      cutoffs: ranks n at which precision, recall, NDCG, ACG and both kinds of mAP@n are measured.
      ties: policy for ties, of `gch.evaluation.ties.POLICIES`.
      without_relevant: what a query without a relevant item counts: 'zero', or 'skip' to leave it out.
      policies: those under which mAP is told besides.

    Raises:
      DataError: an empty set, or sets of different bits or numbers of labels.
      ValueError: an unknown policy.
    """
    _require_match(queries, database)
    policies = (ties, *(policy for policy in policies if policy != ties))
    if not set(policies) <= set(POLICIES) or without_relevant not in WITHOUT_RELEVANT:
        raise ValueError(f"policies {policies}, without_relevant {without_relevant!r}: one is unknown")
    names = measure_names(cutoffs)
    values = {name: np.zeros(len(queries)) for name in names}
    precision_of = {policy: np.zeros(len(queries)) for policy in policies}
    has_relevant, inside = np.zeros(len(queries), bool), np.zeros(len(queries))
    radius = np.zeros((3, queries.bits + 1))  # sums of precision and recall, queries with an item within
    recall_precision = np.zeros(len(RECALL_LEVELS))
    ranks = [rank for rank in RANKS if rank <= len(database)]
    rank_precision = np.zeros(len(ranks))
    pairs = np.zeros((2, queries.bits + 1), np.int64)
    for part, counts in _blocks(queries, database, most_labels(queries)):
        tied = grouped(counts, "tie-aware")
        has_relevant[part] = tied.relevant.any(axis=1)
        precision, recall = measures.precision_recall_of_radii(tied)
        inside[part] = np.nan_to_num(precision[:, min(RADIUS, queries.bits)])
        radius += np.nansum([precision, recall, ~np.isnan(precision)], axis=1)
        recall_precision += measures.precision_at_recall(tied, RECALL_LEVELS).sum(axis=0)
        rank_precision += [measures.precision_at(tied, rank).sum() for rank in ranks]
        pairs += [tied.relevant.sum(axis=0), (tied.items - tied.relevant).sum(axis=0)]
        for policy in policies:
            for rows, module, ranking in _rankings(queries, database, part, counts, policy):
                precision_of[policy][rows] = module.average_precision(ranking)
                if policy == ties:
                    for name, (measure, cutoff) in names.items():
                        values[name][rows] = getattr(module, measure)(ranking, cutoff)
    counting = len(queries) if without_relevant == "zero" else max(1, int(has_relevant.sum()))
    return Evaluation(
        ties=ties,
        values={"mAP": precision_of[ties], **values, f"precision_radius_{RADIUS}": inside},
        average_precision=precision_of,
        has_relevant=has_relevant,
        without_relevant=without_relevant,
        radius_precision=np.divide(
            radius[0], radius[2], out=np.full(queries.bits + 1, np.nan), where=radius[2] > 0
        ),
        radius_recall=radius[1] / counting,
        recall_precision=recall_precision / counting,
        rank_precision=rank_precision / counting,
        relevant_pairs=pairs[0],
        other_pairs=pairs[1],
        labels=queries.labels,
        bits=queries.bits,
        database=len(database),
    )


def mean_average_precision(
    queries: CodedItems, database: CodedItems, itself: np.ndarray | None = None
) -> float:
    """Tie-aware mAP over the whole database, in [0, 1]; a query without a relevant item counts 0.

    Args:
      queries: Q items.
      database: N items.
      itself: int (Q,), the position in the database of each query's own item, which it does not rank; None
        where the queries are not in the database.
    """
    _require_match(queries, database)
    total = 0.0
    for part, counts in _blocks(queries, database, most=1):
        if itself is not None:
            asked, own = queries.only(part), database.only(itself[part])
            distance = np.bitwise_count(asked.codes ^ own.codes).sum(axis=1, dtype=np.int64)
            relevant = (asked.labels & own.labels).any(axis=1).astype(np.int64)
            counts[np.arange(len(asked)), distance, relevant] -= 1
        total += measures.average_precision(grouped(counts, "tie-aware")).sum()
    return float(total / len(queries))


def measure_names(cutoffs: Sequence[int]) -> dict[str, tuple[str, int]]:
    """The measures at a rank: name to the function of `gch.evaluation.measures` and the cutoff.

    `mAP_truncated@n` and `mAP_relevant@n` are the two things that are called mAP@n.
    """
    functions = {
        "mAP_truncated": "average_precision_truncated",
        "mAP_relevant": "average_precision_relevant",
        "precision": "precision_at",
        "recall": "recall_at",
        "NDCG": "normalized_discounted_gain",
        "ACG": "average_cumulative_gain",
    }
    return {
        f"{name}@{cutoff}": (function, cutoff) for name, function in functions.items() for cutoff in cutoffs
    }


def _blocks(queries: CodedItems, database: CodedItems, most: int) -> Iterator[tuple[slice, np.ndarray]]:
    """The counts of some queries after the other, so that memory is bounded."""
    size = (queries.bits + 1) * (most + 1)
    block = max(1, BLOCK_COUNTS // size)
    for start in range(0, len(queries), block):
        part = slice(start, min(start + block, len(queries)))
        yield part, shared_label_counts(queries.only(part), database, most)


def _rankings(
    queries: CodedItems, database: CodedItems, part: slice, counts: np.ndarray, policy: str
) -> Iterator[tuple[slice, ModuleType, object]]:
    """Of some queries of a part after the other, the rankings and the module that measures them."""
    if policy != "stable":
        yield part, measures, grouped(counts, policy)
        return
    block = max(1, RANKED_ITEMS // len(database))
    for start in range(part.start, part.stop, block):
        rows = slice(start, min(start + block, part.stop))
        by_shared = counts[start - part.start : rows.stop - part.start].sum(axis=1)
        yield rows, strict, strict.Rankings(ranked_shared_labels(queries.only(rows), database), by_shared)


def _require_match(queries: CodedItems, database: CodedItems) -> None:
    if not len(queries) or not len(database):
        raise DataError(
            f"{len(queries)} queries, {len(database)} items to rank; expected at least one of each"
        )
    if queries.bits != database.bits:
        raise DataError(f"query codes have {queries.bits} bits, the database's {database.bits}")
    if queries.labels.shape[1] != database.labels.shape[1]:
        raise DataError(
            f"queries have {queries.labels.shape[1]} labels, the database {database.labels.shape[1]}"
        )
