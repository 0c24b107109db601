"""Words and labels of items, from however a file stores them."""

from collections.abc import Mapping

import numpy as np

from gch.array_files import MAX_BYTES, StoredArray
from gch.errors import DataError


def common_items(arrays: Mapping[str, StoredArray], known: int | None = None) -> int:
    """The number of items N on which arrays agree: the largest length that is an axis of all.

    Args:
      arrays: matrices (N, .) or (., N), by what they hold.
      known: N, where something else tells it.

    Raises:
      DataError: an array is no matrix, or there is no such N; names all shapes.
    """
    for array in arrays.values():
        if len(array.shape) != 2 or 0 in array.shape:
            raise DataError(f"{array.path}: {array.name} has shape {array.shape}, expected (items, columns)")
        if known is not None and known not in array.shape:
            raise DataError(
                f"{array.path}: {array.name} has shape {array.shape}, expected {known} items on one axis, as "
                "many as there are images"
            )
    if known is not None:
        return known
    shared = set.intersection(*(set(array.shape) for array in arrays.values()))
    if not shared:
        shapes = ", ".join(f"{array.name} {array.shape}" for array in arrays.values())
        path = next(iter(arrays.values())).path
        raise DataError(f"{path}: {shapes} have no number of items in common, expected (items, columns) each")
    return max(shared)


def items_first(array: StoredArray, items: int) -> bool:
    """Whether the first axis is that of the items; where both could be, as the format's users write it."""
    if array.shape[0] == array.shape[1]:
        return array.format != "hdf5"  # MATLAB's axes are reversed in HDF5
    return array.shape[0] == items


def _columns(array: StoredArray, items: int) -> int:
    return array.shape[1 if items_first(array, items) else 0]


def item_matrix(array: StoredArray, items: int, *, counts: bool = False) -> np.ndarray:
    """Reads words or labels, part by part.

    Args:
      array: stored as (items, columns) or (columns, items), in any type of number.
      items: number of items N.
      counts: also takes whole numbers up to 255.

    Returns:
      uint8 (N, columns): 0 and 1, or counts.

    Raises:
      DataError: a value is none of these, all are 0, or the array is damaged.
    """
    if array.dtype is None:
        raise DataError(f"{array.path}: {array.name} holds no numbers, expected numbers 0 and 1")
    first = items_first(array, items)
    columns = _columns(array, items)
    if items * columns > MAX_BYTES:
        raise DataError(
            f"{array.path}: {array.name} {array.shape} would be {items * columns / 2**30:.1f} GiB in memory, "
            f"expected at most {MAX_BYTES / 2**30:.0f}"
        )
    matrix = np.empty((items, columns), np.uint8)
    for start, slab in array.slabs():
        expected = (slab >= 0) & (slab <= (255 if counts else 1)) & (slab == np.floor(slab))
        if not expected.all():
            place = np.argwhere(~expected)[0]
            found = slab[tuple(place)]
            item, column = (place[0] + start, place[1]) if first else (place[1], place[0] + start)
            raise DataError(
                f"{array.path}: {array.name} holds {found} (item {item}, column {column}), expected 0 or 1"
                + (", or a count up to 255" if counts else "")
            )
        if first:
            matrix[start : start + len(slab)] = slab
        else:
            matrix[:, start : start + len(slab)] = slab.T
    if not matrix.any():
        raise DataError(f"{array.path}: {array.name} holds zeros only, expected ones where an item has it")
    return matrix


def require_more_words_than_labels(texts: StoredArray, labels: StoredArray, items: int) -> None:
    """Raises DataError where the two seem to be swapped."""
    words, classes = (_columns(array, items) for array in (texts, labels))
    if classes > words:
        raise DataError(
            f"{labels.path}: {labels.name} has {classes} columns, {texts.name} {words}; expected more words "
            "than labels: are the two swapped?"
        )
