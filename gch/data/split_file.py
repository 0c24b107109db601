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

Each part is a vector of item numbers in any numeric type and any order, or a mask with an entry for each item
of the data set, logical or of zeros and ones. Where the file has no `base`, it counts from 0 if any number is
0, from 1 if any number is that of all items; otherwise a .npz file counts from 0 and MATLAB's files count
from 1.
"""

import math
import os
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gch.data.array_files import StoredArray, list_arrays
from gch.data.matlab import write_mat5
from gch.data.pairs import Split
from gch.data.split import hold_out
from gch.errors import DataError
from gch.storage import atomic_path

_APART = [("query", part) for part in ("retrieval", "training", "validation")] + [("training", "validation")]
_AFFIX = "(?:index|indices|ind|inds|idx)"
_PATTERNS = {
    "query": f"(?:{_AFFIX}_?)?(?:query|queries|test)(?:_?{_AFFIX})?",
    "retrieval": f"(?:{_AFFIX}_?)?(?:retrieval|database|db)(?:_?{_AFFIX})?",
    "training": f"(?:{_AFFIX}_?)?(?:training|train)(?:_?{_AFFIX})?",
    "validation": f"(?:{_AFFIX}_?)?(?:validation|valid|val)(?:_?{_AFFIX})?",
    "base": "base",
}


def save_split(path: str | os.PathLike, split: Split) -> None:
    """Writes the split as .npz: arrays query, retrieval, training, validation, int64, from 0. Atomic."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **split._asdict())


def export_split(path: str | os.PathLike, split: Split) -> None:
    """Writes the split for MATLAB (v5), atomically: columns of doubles that count from 1, and `base`, 1."""
    columns = {part: rows[:, None] + 1.0 for part, rows in split._asdict().items()}
    with atomic_path(path) as temporary:
        write_mat5(temporary, columns | {"base": np.ones((1, 1))})


def load_split(path: str | os.PathLike, total: int, seed: int = 0, validation_size: int = 0) -> Split:
    """Reads a split of one item or more in each part but validation, from a file as this module describes.

    Args:
      path: a .npz file, or a .mat file (v5 or v7.3). What it is, its content tells.
      total: number of items in the data set that the split is for.
      seed: any integer from 0 on; draws the validation set from the training set where the file has none.
      validation_size: 0 or more, how many items are drawn. A `validation`, even empty, stands as it is.

    Raises:
      DataError: the file is missing or damaged; an array is missing or holds something else than different
        items of the data set; parts share items that must not; or no training item is left.
    """
    path = Path(path)
    listed = list_arrays(path)
    chosen = _chosen(path, listed)
    stored = chosen.pop("base", None)
    values = {part: _numbers(array, part, total) for part, array in chosen.items()}
    if stored is None:
        usual = 0 if all(array.format == "npz" for array in listed.values()) else 1
        base = _base(path, {chosen[part].name: values[part] for part in chosen}, total, usual)
    else:
        single = stored.dtype is not None and math.prod(stored.shape) == 1
        stored.require(single, f"has shape {stored.shape}, expected one number, 0 or 1")
        number = stored.read().item()
        stored.require(number in (0, 1), f"is {number}, expected 0 or 1")
        base = int(number)
    rows = {part: _rows(chosen[part], numbers, total, base) for part, numbers in values.items()}
    if "validation" not in rows:
        training = rows["training"]
        if validation_size >= len(training):
            expected = f"more than the {validation_size} that leave it to validate"
            raise DataError(f"{path}: training has {len(training)} items, expected {expected}")
        rows["training"], rows["validation"] = hold_out(training, validation_size, seed)
    for one, other in _APART:
        shared = np.intersect1d(rows[one], rows[other])
        if len(shared):
            names, item = f"{chosen[one].name} and {chosen[other].name}", shared[0] + base
            raise DataError(
                f"{path}: {names} share item {item} (counted from {base}), expected no shared item"
            )
    return Split(**rows)


def _chosen(path: Path, listed: Mapping[str, StoredArray]) -> dict[str, StoredArray]:
    """Which array of the file is which part."""
    chosen = {}
    for part, pattern in _PATTERNS.items():
        fitting = [name for name in listed if re.fullmatch(pattern, name, re.IGNORECASE)]
        if len(fitting) > 1:
            names = " and ".join(fitting[:2])
            raise DataError(f"{path}: {names} both mean {part}, expected one array for it")
        if fitting:
            chosen[part] = listed[fitting[0]]
        elif part in ("query", "retrieval", "training"):
            names = textwrap.shorten(", ".join(listed), 200, placeholder=" ...") or "no array"
            expected = "expected .npz or .mat with query, retrieval and training"
            raise DataError(f"{path}: {part} is missing, found {names}; {expected}")
    return chosen


def _numbers(array: StoredArray, part: str, total: int) -> np.ndarray:
    """The numbers of a part, int64 from 0 to `total`, or its mask, bool."""
    shape, size = array.shape, math.prod(array.shape)
    array.require_numbers("expected item numbers")
    vector = len(shape) == 1 or (len(shape) == 2 and min(shape) <= 1)
    array.require(vector, f"has shape {shape}, expected (n,), (1, n) or (n, 1)")
    array.require(size <= total, f"has {size} entries, expected {total} at most, the items there are")
    array.require(size > 0 or part == "validation", "is empty, expected one item or more")
    values = array.read().reshape(-1)
    bits = size == total > 2 and np.isin(values, (0, 1)).all()  # no item can be there twice
    if array.kind == "logical" or values.dtype == bool or bits:
        return values != 0
    if values.dtype.kind == "f":
        values = values.astype(np.float64)  # A smaller type may not hold `total`.
    with np.errstate(invalid="ignore"):
        right = (values >= 0) & (values <= total) & (values == np.floor(values))
    if not right.all():
        expected = f"whole numbers from 0 to {total - 1} or from 1 to {total}"
        raise DataError(f"{array.where} holds {values[~right][0]}, expected {expected}")
    return values.astype(np.int64)


def _base(path: Path, parts: Mapping[str, np.ndarray], total: int, usual: int) -> int:
    """What the item numbers of a file without an array `base` count from."""
    numbers = {name: values for name, values in parts.items() if values.dtype != bool}
    first, last = (next((name for name in numbers if end in numbers[name]), None) for end in (0, total))
    if first and last:
        expected = f"numbers from 0 to {total - 1} or from 1 to {total}"
        raise DataError(f"{path}: {first} holds 0 and {last} holds {total}, expected {expected}")
    return 0 if first else 1 if last else usual


def _rows(array: StoredArray, values: np.ndarray, total: int, base: int) -> np.ndarray:
    """The rows of a part, int64, counted from 0, ascending."""
    if values.dtype == bool:
        array.require(len(values) in (0, total), f"is a mask of {len(values)} entries, expected {total}")
        rows = np.flatnonzero(values).astype(np.int64)
        # Only an array without entries is empty on purpose.
        array.require(len(rows) >= min(1, len(values)), "is a mask that holds no item, expected one or more")
        return rows
    rows = np.sort(values) - base
    if len(wrong := rows[(rows < 0) | (rows >= total)]):
        expected = f"numbers from {base} to {total - 1 + base}, counted from {base}"
        raise DataError(f"{array.where} holds {wrong[0] + base}, expected {expected}")
    if len(twice := rows[1:][np.diff(rows) == 0]):
        raise DataError(f"{array.where} holds item {twice[0] + base} twice, expected every item once")
    return rows
