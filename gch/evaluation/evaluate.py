"""All measures of ranking tasks: queries by image or text against a database of images or texts."""

import functools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from gch.data.text_files import shown
from gch.errors import DataError, SettingError
from gch.evaluation import asymmetric, measures
from gch.evaluation.arrays import coded_sets, require_own_halves
from gch.evaluation.codes import CodedItems
from gch.evaluation.counts import most_labels, ranked_shared_labels, shared_label_counts
from gch.evaluation.figures import Evaluation
from gch.evaluation.own_half import DIRECTIONS as OF_OWN_HALVES
from gch.evaluation.own_half import own_half
from gch.evaluation.rankings import POLICIES, Groups, grouped, ranked

# `mAP_truncated@n` and `mAP_relevant@n` are the two things that are called mAP@n.
AT_RANK = {
    "mAP_truncated": measures.average_precision_truncated,
    "mAP_relevant": measures.average_precision_relevant,
    "precision": measures.precision_at,
    "recall": measures.recall_at,
    "NDCG": measures.normalized_discounted_gain,
    "ACG": measures.average_cumulative_gain,
}
ASYMMETRIC = "mAP_asymmetric"  # mAP where relaxed codes of queries rank bits
CUTOFFS = (10, 100, 1000)
CROSS = tuple(OF_OWN_HALVES)  # the two that methods are judged by
DIRECTIONS = OF_OWN_HALVES | {"I->I": ("image", "image"), "T->T": ("text", "text")}
UNIFIED = {  # of methods with unified codes: a database of pairs, each coded from its picture and its text
    "I->pair": ("image", "pair"),
    "T->pair": ("text", "pair"),
    "pair->pair": ("pair", "pair"),
}
NEW_ITEMS = (
    "New items are those of the retrieval set that were never trained on; their mAP differs from that over "
    "the whole set, the papers' protocol, because a training item is coded with knowledge of itself: the "
    "networks have learned its labels, or that its two halves belong together, and a graph looks them up."
)
Coded = Mapping[str, CodedItems]  # by 'image', 'text' and, if there are unified codes, 'pair'
RADIUS = 2  # of the precision within a Hamming radius
BLOCK_COUNTS = 2**22  # counts that are in memory at once
RANKED_ITEMS = 2**20  # items of rankings that are in memory at once


def evaluate(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_labels: ArrayLike | None = None,
    database_labels: ArrayLike | None = None,
    *,
    cutoffs: Sequence[int] = CUTOFFS,
    ties: str = "tie-aware",
    without_relevant: str = "zero",
) -> dict[str, float]:
    """Ranks a database for every query by Hamming distance, and measures the rankings.

    An item that shares a label with a query is relevant to it. Items at one distance are tied; by default a
    measure is its expectation over all orders of the ties, in closed form (McSherry and Najork, "Computing
    information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008).

    >>> import numpy as np
    >>> query = np.array([[1, 1, 1, 1]])
    >>> database = np.array([[1, 1, 1, 1], [1, 1, 1, -1], [1, -1, 1, 1], [-1, -1, 1, 1]])
    >>> found = evaluate(query, database, [7], [7, 7, 3, 3], cutoffs=[2])

    >>> round(found["mAP"], 4), found["precision@2"], found["recall@2"]
    (0.9167, 0.75, 0.75)

    The distances are 0, 1, 1 and 2; the first two items are relevant. Of the two orders of the tie, one has
    the relevant items at ranks 1 and 2, AP 1, the other at 1 and 3, AP (1 + 2/3) / 2 = 5/6.

    Without labels, row i of both belongs together, and the rank of that own half is measured
    (`gch.evaluation.own_half`).

    >>> pictures, texts = np.array([[1, 1, 1], [1, -1, 1]]), np.array([[1, 1, 1], [1, -1, -1]])
    >>> found = evaluate(pictures, texts)
    >>> found["recall@1"], found["median_rank"]
    (0.75, 1.25)

    The first picture's own text is nearest. The second's ties with the other text, so its rank is 1 or 2.

    Args:
      query_codes: signs (Q, K), -1 and +1 or 0 and 1, packed uint8 (Q, K / 8), or relaxed codes, floats in
        [-1, 1], of which the distances take the signs: `gch.evaluation.arrays`.
      database_codes: likewise, (N, K) or (N, K / 8), relaxed only if the queries' are; N < 2^32.
      query_labels: multi-hot (Q, C) of 0 and 1, or the classes as integers (Q,); None for codes without
        labels, of both.
      database_labels: likewise, (N, C) or (N,).
      cutoffs: the ranks n of the measures at a rank, at least 1; with labels.
      ties: 'tie-aware'; 'stable' keeps ties in the order of the database; 'optimistic' and 'pessimistic' rank
        the items with most shared labels first and last.
      without_relevant: what a query without a relevant item counts: 'zero', or 'skip' to leave it out.

    Returns:
      Means over the queries by the names of results.json: mAP; for every n mAP_truncated@n (divided by the
      hits among the first n), mAP_relevant@n (over the first n relevant items), precision@n, recall@n, NDCG@n
      and ACG@n; precision_radius_2; and, of relaxed query codes, mAP_asymmetric: mAP where they rank the
      database's bits, instead of their signs (`gch.evaluation.asymmetric`). All are in [0, 1] but ACG, the
      mean number of shared labels. NaN where every query is left out.

      Without labels: recall@1, recall@5 and recall@10, in [0, 1], and median_rank, from 1 on; and, of relaxed
      query codes, recall_asymmetric@1 and so on, and median_rank_asymmetric.

    Raises:
      DataError: an array has another shape, dtype, length or entry, or labels are given for one side only.
      SettingError: an unknown policy, or a cutoff below 1.
    """
    if ties not in POLICIES:
        raise SettingError(f"ties is {ties!r}; expected one of {', '.join(POLICIES)}")
    if without_relevant not in ("zero", "skip"):
        raise SettingError(f"without_relevant is {without_relevant!r}; expected zero or skip")
    ranks = np.asarray(cutoffs)
    if ranks.ndim != 1 or (ranks.size and (ranks.dtype.kind not in "iu" or ranks.min() < 1)):
        raise SettingError(f"cutoffs is {shown(cutoffs)}; expected a list of ranks of at least 1")
    cutoffs = ranks.tolist()
    given = {"query_codes": np.asarray(query_codes), "database_codes": np.asarray(database_codes)}
    if query_labels is None and database_labels is None:
        items = coded_sets(given, dict.fromkeys(given), queries=["query_codes"])
        require_own_halves(items)
        return own_half(items["query_codes"], items["database_codes"], ties).means()
    if query_labels is None or database_labels is None:
        missing = "query_labels" if query_labels is None else "database_labels"
        raise DataError(f"{missing} is None; expected labels of both sides, or None for both")
    labels = {"query_labels": np.asarray(query_labels), "database_labels": np.asarray(database_labels)}
    if all(one.ndim == 1 and one.dtype.kind in "iu" for one in labels.values()):
        classes = np.unique(labels["query_labels"])
        labels = {name: one[:, None] == classes for name, one in labels.items()}
    for name, one in labels.items():
        if one.ndim == 1:
            expected = "multi-hot (items, labels), or integers (items,) on both sides"
            raise DataError(f"{name} is {one.dtype} {one.shape}; expected {expected}")
    items = coded_sets(given | labels, dict(zip(given, labels, strict=True)), queries=["query_codes"])
    coded = items["query_codes"], items["database_codes"]
    found = evaluate_items(*coded, cutoffs, ties, without_relevant, policies=())
    return {name: found.mean(values) for name, values in found.values.items()}


def evaluate_items(
    queries: CodedItems,
    database: CodedItems,
    cutoffs: Sequence[int] = CUTOFFS,
    ties: str = "tie-aware",
    without_relevant: str = "zero",
    policies: Sequence[str] = POLICIES,
) -> Evaluation:
    """All that `evaluate` measures, for every query, and what curves need.

    Queries and database are not empty, and have equal numbers of bits and labels. Options are those of
    `evaluate`, and the other policies for ties under which to measure AP.
    """
    wanted: dict[str, dict[str, Callable[[Groups], np.ndarray]]] = {
        policy: {"mAP": measures.average_precision} for policy in dict.fromkeys((ties, *policies))
    }
    for name, measure in AT_RANK.items():
        wanted[ties] |= {f"{name}@{rank}": functools.partial(measure, cutoff=rank) for rank in cutoffs}
    values = {
        policy: {name: np.zeros(len(queries)) for name in functions} for policy, functions in wanted.items()
    }
    by_relevance = np.zeros((len(queries), queries.bits + 1, 2), np.int64)
    for part, counts in _blocks(queries, database, most_labels(queries)):
        by_relevance[part] = np.stack([counts[:, :, 0], counts[:, :, 1:].sum(axis=2)], axis=2)
        for policy, functions in wanted.items():
            for rows, groups in _rankings(queries, database, part, counts, policy):
                for name, function in functions.items():
                    values[policy][name][rows] = function(groups)
    others, relevant = by_relevance[:, : RADIUS + 1].sum(axis=1).T
    further = {f"precision_radius_{RADIUS}": relevant / np.maximum(relevant + others, 1)}
    if queries.relaxed is not None:
        further[ASYMMETRIC] = asymmetric.average_precision(queries, database, ties)
    return Evaluation(
        ties=ties,
        without_relevant=without_relevant,
        values=values[ties] | further,
        average_precision={policy: found["mAP"] for policy, found in values.items()},
        counts=by_relevance,
        labels=queries.labels,
    )


def mean_average_precision(
    queries: CodedItems, database: CodedItems, itself: np.ndarray | None = None
) -> float:
    """Tie-aware mAP over the whole database, in [0, 1]; a query without a relevant item counts 0.

    Where the queries are in the database, `itself`, int (Q,), is the position of each one's own item, which
    it does not rank.
    """
    total = 0.0
    for part, counts in _blocks(queries, database, most=1):
        if itself is not None:
            some, own = queries.only(part), database.only(itself[part])
            distance = np.bitwise_count(some.codes ^ own.codes).sum(axis=1, dtype=np.int64)
            relevant = (some.labels & own.labels).any(axis=1).astype(np.int64)
            counts[np.arange(len(some)), distance, relevant] -= 1
        total += measures.average_precision(grouped(counts, "tie-aware")).sum()
    return float(total / len(queries))


def evaluate_directions(queries: Coded, database: Coded, **options) -> dict[str, Evaluation]:
    """All measures of every direction; options as of `evaluate_items`. The items have labels."""
    return {
        direction: evaluate_items(queries[one], database[other], **options)
        for direction, (one, other) in directions(queries).items()
    }


def map_by_direction(queries: Coded, database: Coded, itself: np.ndarray | None = None) -> dict[str, float]:
    """Tie-aware mAP of every direction; `itself` as of `mean_average_precision`."""
    return {
        direction: mean_average_precision(queries[one], database[other], itself)
        for direction, (one, other) in directions(queries).items()
    }


def directions(kinds: Container[str]) -> dict[str, tuple[str, str]]:
    """The directions between kinds of codes, as query and database: those of pairs only if 'pair' is one."""
    return DIRECTIONS | UNIFIED if "pair" in kinds else DIRECTIONS


def _blocks(queries: CodedItems, database: CodedItems, most: int) -> Iterator[tuple[slice, np.ndarray]]:
    """The counts, block by block of queries, so that memory is bounded."""
    block = max(1, BLOCK_COUNTS // ((queries.bits + 1) * (most + 1)))
    for start in range(0, len(queries), block):
        part = slice(start, min(start + block, len(queries)))
        yield part, shared_label_counts(queries.only(part), database, most)


def _rankings(
    queries: CodedItems, database: CodedItems, part: slice, counts: np.ndarray, policy: str
) -> Iterator[tuple[slice, Groups]]:
    """The rankings of a part of the queries; those by 'stable', which hold every item, a few at a time."""
    if policy != "stable":
        yield part, grouped(counts, policy)
        return
    block = max(1, RANKED_ITEMS // len(database))
    for start in range(part.start, part.stop, block):
        rows = slice(start, min(start + block, part.stop))
        of_rows = counts[rows.start - part.start : rows.stop - part.start]
        yield rows, ranked(ranked_shared_labels(queries.only(rows), database), of_rows)
