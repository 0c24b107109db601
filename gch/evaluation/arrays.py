"""Coded items from arrays that anybody made, checked."""

from collections.abc import Mapping

import numpy as np

from gch.errors import DataError
from gch.evaluation.codes import CodedItems

BYTE_SIGNS = ((0, 1), (255, 1), (0, 255))  # what stands for -1 and +1 in uint8, which holds -1 as 255


def coded_sets(
    arrays: Mapping[str, np.ndarray], labels_of: Mapping[str, str], where: str = ""
) -> dict[str, CodedItems]:
    """Coded items of arrays that belong together, with codes of one length and the same labels.

    Codes are signs, -1 and +1 or 0 and 1 in any integer or float type, (N, K), or packed by numpy.packbits,
    uint8 (N, K / 8). Codes of type uint8 are signs if all of them together hold at most two values, 0 and 1,
    0 and 255, or 255 and 1 (where 255 is -1), and packed otherwise. Labels are multi-hot (N, C).

    Args:
      arrays: by name.
      labels_of: the names of the arrays of codes to those of their labels.
      where: what messages start with.

    Returns:
      The items by the names of `labels_of`.

    Raises:
      DataError: an array has another shape, type, length or entry; names it and what was found.
    """
    for name in (*labels_of, *labels_of.values()):
        if arrays[name].ndim != 2 or 0 in arrays[name].shape:
            raise DataError(f"{where}{name} has shape {arrays[name].shape}; expected (items, bits or labels)")
        if arrays[name].dtype.kind not in "buif":
            raise DataError(f"{where}{name} holds {arrays[name].dtype}; expected numbers")
    in_bytes = [arrays[name] for name in labels_of if arrays[name].dtype == np.uint8]
    of_bytes = next(
        (signs for signs in BYTE_SIGNS if all(_holds(codes, signs).all() for codes in in_bytes)), None
    )
    items: dict[str, CodedItems] = {}
    for name, label in labels_of.items():
        codes, labels = arrays[name], arrays[label]
        if len(codes) != len(labels):
            raise DataError(f"{where}{name} has {len(codes)} items, {label} {len(labels)}; expected as many")
        _require(labels, (0, 1), where + label, "label", "0 or 1")
        labels = np.ascontiguousarray(labels, np.uint8)
        signs = of_bytes if codes.dtype == np.uint8 else (-1, 1) if (codes == -1).any() else (0, 1)
        if signs is None:
            items[name] = CodedItems(np.ascontiguousarray(codes), 8 * codes.shape[1], labels)
        else:
            _require(codes, signs, where + name, "bit", "-1 and +1, 0 and 1, or packed codes as uint8")
            items[name] = CodedItems(np.packbits(codes == signs[1], axis=1), codes.shape[1], labels)
        first = next(iter(items))
        if items[name].bits != items[first].bits:
            raise DataError(
                f"{where}{name} has codes of {items[name].bits} bits, {first} of {items[first].bits}"
            )
        if labels.shape[1] != items[first].labels.shape[1]:
            raise DataError(
                f"{where}{label} has {labels.shape[1]} labels, "
                f"{labels_of[first]} {items[first].labels.shape[1]}"
            )
    return items


def _holds(array: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    return (array == pair[0]) | (array == pair[1])


def _require(array: np.ndarray, pair: tuple[int, int], name: str, column: str, expected: str) -> None:
    wrong = np.argwhere(~_holds(array, pair))
    if len(wrong):
        row, place = wrong[0]
        found = f"{array[row, place]} (item {row}, {column} {place})"
        raise DataError(f"{name} holds {found}; expected {expected}")
