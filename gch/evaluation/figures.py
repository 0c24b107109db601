"""An evaluation as plain figures, for JSON."""

import numpy as np

from gch.evaluation.evaluate import RANKS, RECALL_LEVELS, Evaluation


def figures(found: Evaluation) -> dict:
    """Means with their intervals, curves and counts; a figure that is not there is None.

    Returns:
      bits; queries, queries_without_relevant and what those count; retrieval, the size of the database; the
      policy for ties; by measure the mean and the bounds of its 95 % interval over draws of queries; mAP by
      policy and by label; the curves.
    """
    return {
        "bits": found.bits,
        "queries": len(found.has_relevant),
        "queries_without_relevant": int((~found.has_relevant).sum()),
        "without_relevant": found.without_relevant,
        "retrieval": found.database,
        "ties": found.ties,
        "measures": {name: _measure(found, values) for name, values in found.values.items()},
        "mAP_by_ties": {policy: found.mean(values) for policy, values in found.average_precision.items()},
        "mAP_by_label": _plain(found.label_map()),
        "radius": {"precision": _plain(found.radius_precision), "recall": _plain(found.radius_recall)},
        "recall_level": {"recall": _plain(RECALL_LEVELS), "precision": _plain(found.recall_precision)},
        "rank": {
            "rank": list(RANKS[: len(found.rank_precision)]),
            "precision": _plain(found.rank_precision),
        },
        "pairs_at_distance": {
            "relevant": found.relevant_pairs.tolist(),
            "other": found.other_pairs.tolist(),
        },
    }


def _measure(found: Evaluation, values: np.ndarray) -> dict[str, float | None]:
    interval = found.interval(values)
    mean = found.mean(values)
    return {
        "mean": None if np.isnan(mean) else mean,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
    }


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
