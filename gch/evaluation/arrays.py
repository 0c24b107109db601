"""Codes and labels from arrays of any tool, checked: the one rule for what counts as a code.

Codes are signs, -1 and +1 or 0 and 1 in any integer or float type, (N, K), or packed by numpy.packbits,
uint8 (N, K / 8). Codes of type uint8 that belong together are signs if all of them hold at most two values,
0 and 1, 0 and 255, or 255 and 1 (where 255 is -1), and packed otherwise.

Codes of queries may also be relaxed: floats in [-1, 1] of more than two values, of which binary codes are the
signs. Beside relaxed queries a database's may be, too.
"""

from collections.abc import Container, Iterable, Mapping

import numpy as np

from gch.errors import DataError
from gch.evaluation.codes import CodedItems, pack

SIGNS = "-1 and +1, 0 and 1, or packed codes as uint8"
RELAXED = "relaxed codes, floats in [-1, 1] of more than two values"
BYTE_SIGNS = ((0, 1), (255, 1), (0, 255))  # what stands for -1 and +1 in uint8, which holds -1 as 255

Signs = tuple[tuple[int, int], ...]


def coded_sets(
    arrays: Mapping[str, np.ndarray],
    labels_of: Mapping[str, str | None],
    queries: Container[str] = (),
    where: str = "",
) -> dict[str, CodedItems]:
    """Coded items, by the names of `labels_of`, from arrays that belong together.

    Args:
      arrays: by name, codes and multi-hot labels (N, C), all with the same K and C.
      labels_of: from the name of each array of codes to that of its labels; to None without labels.
      queries: the names of queries' codes.
      where: what messages start with.

    Raises:
      DataError: an array has another shape, type, length or entry; names it and what was found.
    """
    for name, label in labels_of.items():
        require_matrix(where + name, arrays[name], "(items, bits)", empty=False)
        if label is not None:
            require_matrix(where + label, arrays[label], "(items, labels)", empty=False)
    signs = byte_signs(arrays[name] for name in labels_of)
    relaxed = {name for name in labels_of if _is_relaxed(arrays[name])}
    if not any(name in queries for name in relaxed):
        relaxed = set()
    items: dict[str, CodedItems] = {}
    for name, label in labels_of.items():
        codes = arrays[name]
        labels = np.zeros((len(codes), 0), np.uint8) if label is None else arrays[label]
        if len(codes) != len(labels):
            raise DataError(f"{where}{name} has {len(codes)} items, {label} {len(labels)}; expected one each")
        _require(_holds(labels, (0, 1)), labels, f"{where}{label}", "label", "0 or 1")
        labels = np.ascontiguousarray(labels, np.uint8)
        expected = f"{SIGNS}, or {RELAXED}" if name in queries or name in relaxed else SIGNS
        if name in relaxed:
            _require(np.abs(codes) <= 1, codes, where + name, "bit", expected)
            packed, bits = pack(codes), codes.shape[1]
        else:
            packed, bits = packed_codes(where + name, codes, signs, expected)
        ranking = codes.astype(np.float32) if name in relaxed and name in queries else None
        items[name] = CodedItems(packed, bits, labels, ranking)
        first, of_first = next(iter(items.items()))
        if bits != of_first.bits:
            raise DataError(f"{where}{name} has codes of {bits} bits, {first} of {of_first.bits}")
        if labels.shape[1] != of_first.labels.shape[1]:
            found = f"{labels.shape[1]} labels, {labels_of[first]} {of_first.labels.shape[1]}"
            raise DataError(f"{where}{label} has {found}")
    return items


def require_own_halves(items: Mapping[str, CodedItems], where: str = "") -> None:
    """Raises DataError unless all sets of coded items without labels have as many rows as the first."""
    first, of_first = next(iter(items.items()))
    for name, one in items.items():
        if len(one) != len(of_first):
            found = f"{where}{name} has {len(one)} items, {first} {len(of_first)}"
            raise DataError(f"{found}; without labels row i of both belongs together, expected as many")


def require_matrix(name: str, array: np.ndarray, expected: str, empty: bool) -> None:
    """Raises DataError unless an array holds numbers in rows and columns; `empty` allows no rows."""
    if array.ndim != 2 or 0 in array.shape[empty:]:
        raise DataError(f"{name} has shape {array.shape}; expected {expected}")
    if array.dtype.kind not in "buif":
        raise DataError(f"{name} holds {array.dtype}; expected numbers")


def byte_signs(arrays: Iterable[np.ndarray], among: Signs = BYTE_SIGNS) -> Signs:
    """The pairs that may stand for -1 and +1 in arrays of type uint8 that belong together; none if packed."""
    for codes in arrays:
        if codes.dtype == np.uint8:
            among = tuple(pair for pair in among if _holds(codes, pair).all())
    return among


def packed_codes(name: str, codes: np.ndarray, signs: Signs, expected: str = SIGNS) -> tuple[np.ndarray, int]:
    """Packed codes, uint8 (N, ceil(K / 8)), and K, of a checked matrix; `signs` are those of `byte_signs`.

    Raises:
      DataError: they hold other values; `name` is that of the array, `expected` what it may hold.
    """
    in_bytes = codes.dtype == np.uint8
    if in_bytes and not signs:
        return np.ascontiguousarray(codes), 8 * codes.shape[1]
    pair = signs[0] if in_bytes else (-1, 1) if (codes == -1).any() else (0, 1)
    _require(_holds(codes, pair), codes, name, "bit", expected)
    return np.packbits(codes == pair[1], axis=1), codes.shape[1]


def _holds(array: np.ndarray, pair: tuple[float, float]) -> np.ndarray:
    return (array == pair[0]) | (array == pair[1])


def _is_relaxed(codes: np.ndarray) -> bool:
    """Whether there are floats of more than two values; NaN is one."""
    return codes.dtype.kind == "f" and not _holds(codes, (codes.min(), codes.max())).all()


def _require(right: np.ndarray, array: np.ndarray, name: str, column: str, expected: str) -> None:
    wrong = np.argwhere(~right)
    if len(wrong):
        row, place = wrong[0]
        found = f"{array[row, place]} (item {row}, {column} {place})"
        raise DataError(f"{name} holds {found}; expected {expected}")
