"""The four ways to ask and to answer: by image or text, from images or texts."""

from collections.abc import Mapping

from gch.evaluation.coded import CodedItems
from gch.evaluation.evaluate import Evaluation, evaluate, mean_average_precision

DIRECTIONS = {
    "I->T": ("image", "text"),
    "T->I": ("text", "image"),
    "I->I": ("image", "image"),
    "T->T": ("text", "text"),
}
CROSS = ("I->T", "T->I")  # the two that methods are judged by


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
    queries: Mapping[str, CodedItems], database: Mapping[str, CodedItems]
) -> dict[str, float]:
    """Tie-aware mAP of every direction; arguments as of `evaluate_directions`."""
    return {
        direction: mean_average_precision(queries[asked], database[answered])
        for direction, (asked, answered) in DIRECTIONS.items()
    }
