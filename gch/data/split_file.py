"""Files of splits: the user's own, of Python or MATLAB, and those of a run.

| array      | also called                        | holds                                   |
|------------|------------------------------------|-----------------------------------------|
| query      | test                               | queries                                 |
| retrieval  | database, db                       | what is ranked                          |
| training   | train                              | what is trained on                      |
| validation | valid, val; may be missing         | what is validated on                    |
| base       | may be missing                     | 0 or 1: the number of the first item    |

Case does not matter, and each name may carry 'index' in front or behind, also shortened or in the plural:
indQuery, idx_query, query_index, testIdx.

Each part is a vector of item numbers in any numeric type and any order, or a mask of logical type with an
entry for each item of the data set. Where the file has no `base`, it counts from 0 if any number is 0, from 1
if any number is that of all items; otherwise a .npz file counts from 0 and MATLAB's files count from 1.
"""

import math
import os
import re
import textwrap
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import scipy.io

from gch.array_files import StoredArray, list_arrays
from gch.data.split import Split, hold_out
from gch.errors import DataError
from gch.storage import atomic_path

_BASE = "base"
_AFFIX = "(?:index|indices|ind|inds|idx)"
_PATTERNS = {
    part: re.compile(f"(?:{_AFFIX}_?)?(?:{stem})(?:_?{_AFFIX})?", re.IGNORECASE)
    for part, stem in {
        "query": "query|queries|test",
        "retrieval": "retrieval|database|db",
        "training": "training|train",
        "validation": "validation|valid|val",
    }.items()
} | {_BASE: re.compile(_BASE, re.IGNORECASE)}


def save_split(path: str | os.PathLike, split: Split) -> None:
    """Writes the split as .npz: arrays query, retrieval, training, validation, int64, from 0. Atomic."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **{field.name: getattr(split, field.name) for field in fields(Split)})


def export_split(path: str | os.PathLike, split: Split) -> None:
    """Writes the split for MATLAB (v5), atomically.

    The arrays query, retrieval, training and validation are columns of doubles that count from 1, which index
    MATLAB's arrays as they are; `base` is 1.
    """
    columns = {field.name: getattr(split, field.name)[:, None] + 1.0 for field in fields(Split)}
    with atomic_path(path) as temporary:
        scipy.io.savemat(temporary, columns | {_BASE: 1.0}, appendmat=False, do_compression=True)


def load_split(path: str | os.PathLike, total: int, seed: int = 0, validation_size: int = 0) -> Split:
    """Reads a split as the description of this module tells, also what `save_split` and `export_split` wrote.

    Args:
      path: a .npz file, or a .mat file (v5 or v7.3). What it is, its content tells.
      total: number of items in the data set that the split is for.
      seed: any integer from 0 on; draws the validation set where the file has none.
      validation_size: 0 or more, how many items are drawn for it. They leave the training set. An array
        `validation` in the file, even an empty one, stands as it is.

    Returns:
      A split with one item or more in each part but validation.

    Raises:
      DataError: the file is missing, damaged or of another kind; an array is missing or holds something else
        than different items of the data set; parts share items that must not; or no training item is left.
    """
    path = Path(path)
    listed = list_arrays(path)
    chosen = _chosen(path, listed)
    base_array = chosen.pop(_BASE, None)
    values = {part: _numbers(array, part, total) for part, array in chosen.items()}
    if base_array is not None:
        base = _stored_base(base_array)
    else:
        usual = 0 if all(array.format == "npz" for array in listed.values()) else 1
        named = {chosen[part].name: numbers for part, numbers in values.items()}
        base = _counted_from(path, named, total, usual)
    rows = {part: _rows(chosen[part], numbers, total, base) for part, numbers in values.items()}
    if "validation" not in rows:
        training = rows["training"]
        if validation_size >= len(training):
            raise DataError(
                f"{path}: training has {len(training)} items, expected more than the {validation_size} that "
                "leave it to validate"
            )
        rows["training"], rows["validation"] = hold_out(training, validation_size, seed)
    split = Split(**rows)
    if shared := split.shared():
        one, other = (chosen[part].name for part in shared[:2])
        raise DataError(
            f"{path}: {one} and {other} share item {shared[2] + base} (counted from {base}), expected no "
            "shared item"
        )
    return split


def _chosen(path: Path, listed: Mapping[str, StoredArray]) -> dict[str, StoredArray]:
    """Which array of the file is which part."""
    chosen = {}
    for part, pattern in _PATTERNS.items():
        fitting = [name for name in listed if pattern.fullmatch(name)]
        if len(fitting) > 1:
            raise DataError(
                f"{path}: {fitting[0]} and {fitting[1]} both mean {part}, expected one array for it"
            )
        if fitting:
            chosen[part] = listed[fitting[0]]
        elif part in ("query", "retrieval", "training"):
            names = textwrap.shorten(", ".join(listed), 200, placeholder=" ...") or "no array"
            raise DataError(
                f"{path}: {part} is missing, found {names}; expected .npz or .mat with query, retrieval and "
                "training"
            )
    return chosen


def _numbers(array: StoredArray, part: str, total: int) -> np.ndarray:
    """The numbers of a part, int64 from 0 to `total`, or its mask, bool."""
    place, shape, size = f"{array.path}: {array.name}", array.shape, math.prod(array.shape)
    if array.dtype is None:
        raise DataError(f"{place} holds no numbers, expected item numbers")
    if len(shape) not in (1, 2) or (len(shape) == 2 and min(shape) > 1):
        raise DataError(f"{place} has shape {shape}, expected (n,), (1, n) or (n, 1)")
    if size > total:
        raise DataError(f"{place} has {size} entries, expected {total} at most, the items there are")
    if size == 0 and part != "validation":
        raise DataError(f"{place} is empty, expected one item or more")
    values = array.read().reshape(-1)
    if array.kind == "logical" or values.dtype == bool:
        return values != 0
    if values.dtype.kind == "f":
        values = values.astype(np.float64)  # A smaller type may not hold `total`.
    with np.errstate(invalid="ignore"):
        right = (values >= 0) & (values <= total) & (values == np.floor(values))
    if not right.all():
        raise DataError(
            f"{place} holds {values[~right][0]}, expected whole numbers from 0 to {total - 1} or from 1 to "
            f"{total}"
        )
    return values.astype(np.int64)


def _stored_base(array: StoredArray) -> int:
    place = f"{array.path}: {array.name}"
    if array.dtype is None or math.prod(array.shape) != 1:
        raise DataError(f"{place} has shape {array.shape}, expected one number, 0 or 1")
    value = array.read().reshape(-1)[0]
    if value not in (0, 1):
        raise DataError(f"{place} is {value}, expected 0 or 1")
    return int(value)


def _counted_from(path: Path, parts: Mapping[str, np.ndarray], total: int, usual: int) -> int:
    """What the item numbers of a file without a base count from."""
    numbers = {name: values for name, values in parts.items() if values.dtype != bool}
    first = next((name for name, values in numbers.items() if (values == 0).any()), None)
    last = next((name for name, values in numbers.items() if (values == total).any()), None)
    if first and last:
        raise DataError(
            f"{path}: {first} holds 0 and {last} holds {total}, expected numbers from 0 to {total - 1} or "
            f"from 1 to {total}"
        )
    return 0 if first else 1 if last else usual


def _rows(array: StoredArray, values: np.ndarray, total: int, base: int) -> np.ndarray:
    """The rows of a part, int64, counted from 0, ascending."""
    place = f"{array.path}: {array.name}"
    if values.dtype == bool:
        if len(values) not in (0, total):
            raise DataError(f"{place} is a mask of {len(values)} entries, expected {total}")
        rows = np.flatnonzero(values).astype(np.int64)
        # Only an array without entries says that there are no validation items on purpose.
        if len(values) and not len(rows):
            raise DataError(f"{place} is a mask that holds no item, expected one item or more")
        return rows
    rows = np.sort(values) - base
    wrong = rows[(rows < 0) | (rows >= total)]
    if len(wrong):
        raise DataError(
            f"{place} holds {wrong[0] + base}, expected numbers from {base} to {total - 1 + base}, counted "
            f"from {base}"
        )
    twice = rows[1:][np.diff(rows) == 0]
    if len(twice):
        raise DataError(f"{place} holds item {twice[0] + base} twice, expected every item once")
    return rows
