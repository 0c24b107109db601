"""The four directions: a query by image or text, a database of images or texts."""

from collections.abc import Mapping

import numpy as np

from gch.evaluation.codes import CodedItems
from gch.evaluation.evaluate import evaluate_items, mean_average_precision
from gch.evaluation.figures import Evaluation

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
    """All measures of every direction, of items by 'image' and 'text'; options as of `evaluate_items`."""
    return {
        direction: evaluate_items(queries[one], database[other], **options)
        for direction, (one, other) in DIRECTIONS.items()
    }


def map_by_direction(
    queries: Mapping[str, CodedItems],
    database: Mapping[str, CodedItems],
    itself: np.ndarray | None = None,
) -> dict[str, float]:
    """Tie-aware mAP of every direction; `itself` as of `mean_average_precision`."""
    return {
        direction: mean_average_precision(queries[one], database[other], itself)
        for direction, (one, other) in DIRECTIONS.items()
    }
