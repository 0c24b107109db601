"""What a data set lacks without being wrong: told, so that nobody wonders later."""

import numpy as np

from gch.data.pairs import Pairs

_ITEMS_AT_ONCE = 16384


def items_without(matrix: np.ndarray) -> int:
    """How many rows of a matrix (N, columns) have zeros only."""
    return sum(
        int((~matrix[start : start + _ITEMS_AT_ONCE].any(axis=1)).sum())
        for start in range(0, len(matrix), _ITEMS_AT_ONCE)
    )


def shortcomings(pairs: Pairs) -> list[str]:
    """One line for each thing that items lack: words, labels."""
    found = []
    if pairs.texts.shape[1] and (wordless := items_without(pairs.texts)):
        found.append(f"{wordless} of {len(pairs.texts)} items have no word of the vocabulary")
    if unlabelled := items_without(pairs.labels):
        found.append(
            f"{unlabelled} of {len(pairs.labels)} items have no label, so nothing is relevant to them"
        )
    return found
