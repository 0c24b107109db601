"""The four ways to ask and to answer: by image or text, from images or texts."""

from collections.abc import Mapping

import numpy as np

from gch.evaluation.coded import CodedItems
from gch.evaluation.evaluate import Evaluation, evaluate, mean_average_precision

DIRECTIONS = {
    "I->T": ("image", "text"),
    "T->I": ("text", "image"),
    "I->I": ("image", "image"),
    "T->T": ("text", "text"),
}
CROSS = ("I->T", "T->I")  # the two that methods are judged by
NEW_ITEMS = (
    "New items are those of the retrieval set that were never trained on; their mAP differs from that over "
    "the whole set, the papers' protocol, because a training item is coded with knowledge of its own labels: "
    "the networks have learned them, and a label graph looks them up."
)


def evaluate_directions(
    queries: Mapping[str, CodedItems], database: Mapping[str, CodedItems], **options
) -> dict[str, Evaluation]:
    """All measures of every direction.

    Args:
      queries: 'image' and 'text' to the coded query items.
      database: likewise, of the database: I->T ranks its texts for query images, and so on.
      options: of `gch.evaluation.evaluate.evaluate`.
    """
    return {
        direction: evaluate(queries[asked], database[answered], **options)
        for direction, (asked, answered) in DIRECTIONS.items()
    }


def map_by_direction(
    queries: Mapping[str, CodedItems],
    database: Mapping[str, CodedItems],
    itself: np.ndarray | None = None,
) -> dict[str, float]:
    """Tie-aware mAP of every direction.

    Arguments are those of `evaluate_directions` and of `gch.evaluation.evaluate.mean_average_precision`.
    """
    return {
        direction: mean_average_precision(queries[asked], database[answered], itself)
        for direction, (asked, answered) in DIRECTIONS.items()
    }
