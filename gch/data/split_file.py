"""Splits that a user brings along, as index files of Python or MATLAB, and the split of a run for MATLAB.

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
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io

from gch.array_files import StoredArray, list_arrays
from gch.data.split import Split, shared_row
from gch.errors import DataError
from gch.storage import atomic_path

EXPECTED = "expected .npz or .mat with query, retrieval and training"

_BASE = "base"
_STEMS = {
    "query": "query|queries|test",
    "retrieval": "retrieval|database|db",
    "training": "training|train",
    "validation": "validation|valid|val",
}
_AFFIX = "(?:index|indices|ind|inds|idx)"
_PATTERNS = {
    part: re.compile(f"(?:{_AFFIX}_?)?(?:{stem})(?:_?{_AFFIX})?", re.IGNORECASE)
    for part, stem in _STEMS.items()
} | {_BASE: re.compile(_BASE, re.IGNORECASE)}


class _Stored(NamedTuple):
    """An array as the file has it: a vector of numbers, or of bool if it is a mask."""

    name: str
    values: np.ndarray


def read_split_file(path: str | os.PathLike, total: int, seed: int, validation_size: int) -> Split:
    """Reads index files as the description of this module tells.

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
    stored, usual_base = _read(path, total)
    given = stored.pop(_BASE, None)
    parts = {
        part: _Stored(name, _whole(path, name, values, total)) for part, (name, values) in stored.items()
    }
    base = (
        _counted_from(path, parts.values(), total, usual_base) if given is None else _told_base(path, given)
    )
    rows = {part: _rows(path, name, values, total, base) for part, (name, values) in parts.items()}
    if "validation" not in rows:
        rows["training"], rows["validation"] = _draw(path, rows["training"], seed, validation_size)
    split = Split(**rows)
    shared = shared_row(split)
    if shared:
        one, other = (parts[part].name for part in shared[:2])
        raise DataError(
            f"{path}: {one} and {other} share item {shared[2] + base} (counted from {base}), "
            "expected no shared item"
        )
    return split


def export_split(path_mat: str | os.PathLike, split: Split) -> None:
    """Writes the split for MATLAB (v5), atomically; `read_split_file` reads it too.

    The arrays query, retrieval, training and validation are columns of doubles that count from 1, which index
    MATLAB's arrays as they are; `base` is 1.
    """
    columns = {field.name: getattr(split, field.name)[:, None] + 1.0 for field in fields(Split)}
    with atomic_path(path_mat) as temporary:
        scipy.io.savemat(temporary, columns | {_BASE: 1.0}, appendmat=False, do_compression=True)


# ---------------------------------------------------------------- from the file


def _read(path: Path, total: int) -> tuple[dict[str, _Stored], int]:
    """The parts and the base that the file has, and what a file of its kind usually counts from."""
    listed = list_arrays(path)
    stored = {}
    for part, name in _chosen(path, listed).items():
        array = listed[name]
        _require_vector(path, part, array, total)
        values = array.read().reshape(-1)
        mask = array.kind == "logical" or values.dtype == bool
        stored[part] = _Stored(name, values != 0 if mask else values)
    from_python = all(array.format == "npz" for array in listed.values())
    return stored, 0 if from_python else 1


def _chosen(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Which array of the file is which part."""
    names = list(dict.fromkeys(names))
    chosen = {}
    for part, pattern in _PATTERNS.items():
        fitting = [name for name in names if pattern.fullmatch(name)]
        if len(fitting) > 1:
            raise DataError(
                f"{path}: {fitting[0]} and {fitting[1]} both mean {part}, expected one array for it"
            )
        if fitting:
            chosen[part] = fitting[0]
        elif part in ("query", "retrieval", "training"):
            found = _line(", ".join(names)) or "no array"
            raise DataError(f"{path}: {part} is missing, found {found}; {EXPECTED}")
    return chosen


def _require_vector(path: Path, part: str, array: StoredArray, total: int) -> None:
    name, shape = array.name, array.shape
    size = math.prod(shape)
    if array.dtype is None:
        raise DataError(f"{path}: {name} holds no numbers, expected item numbers")
    if part == _BASE:
        if size != 1:
            raise DataError(f"{path}: {name} has shape {shape}, expected one number, 0 or 1")
        return
    if size < 0 or len(shape) not in (1, 2) or (len(shape) == 2 and min(shape) > 1):
        raise DataError(f"{path}: {name} has shape {shape}, expected (n,), (1, n) or (n, 1)")
    if size > total:
        raise DataError(f"{path}: {name} has {size} entries, expected {total} at most, the items there are")
    if size == 0 and part != "validation":
        raise DataError(f"{path}: {name} is empty, expected one item or more")


# ---------------------------------------------------------------- what it says


def _whole(path: Path, name: str, values: np.ndarray, total: int) -> np.ndarray:
    """The numbers as int64, from 0 to `total`; masks are as they were."""
    if values.dtype == bool:
        return values
    if values.dtype.kind == "f":
        values = values.astype(np.float64)  # A smaller type may not hold `total`.
    with np.errstate(invalid="ignore"):
        right = (values >= 0) & (values <= total) & (values == np.floor(values))
    if not right.all():
        raise DataError(
            f"{path}: {name} holds {values[~right][0]}, "
            f"expected whole numbers from 0 to {total - 1} or from 1 to {total}"
        )
    return values.astype(np.int64)


def _told_base(path: Path, given: _Stored) -> int:
    value = given.values[0]
    if value not in (0, 1):
        raise DataError(f"{path}: {given.name} is {value}, expected 0 or 1")
    return int(value)


def _counted_from(path: Path, parts: Iterable[_Stored], total: int, usual: int) -> int:
    """What the item numbers of a file without a base count from."""
    numbers = [(name, values) for name, values in parts if values.dtype != bool]
    first = next((name for name, values in numbers if (values == 0).any()), None)
    last = next((name for name, values in numbers if (values == total).any()), None)
    if first and last:
        raise DataError(
            f"{path}: {first} holds 0 and {last} holds {total}, "
            f"expected numbers from 0 to {total - 1} or from 1 to {total}"
        )
    if first or last:
        return 0 if first else 1
    return usual


def _rows(path: Path, name: str, values: np.ndarray, total: int, base: int) -> np.ndarray:
    """The rows of a part, counted from 0, ascending."""
    if values.dtype == bool:
        if len(values) not in (0, total):
            raise DataError(f"{path}: {name} is a mask of {len(values)} entries, expected {total}")
        rows = np.flatnonzero(values).astype(np.int64)
        # Only an array without entries says that there are no validation items on purpose.
        if len(values) and not len(rows):
            raise DataError(f"{path}: {name} is a mask that holds no item, expected one item or more")
        return rows
    rows = np.sort(values) - base
    wrong = rows[(rows < 0) | (rows >= total)]
    if len(wrong):
        raise DataError(
            f"{path}: {name} holds {wrong[0] + base}, "
            f"expected numbers from {base} to {total - 1 + base}, counted from {base}"
        )
    twice = rows[1:][np.diff(rows) == 0]
    if len(twice):
        raise DataError(f"{path}: {name} holds item {twice[0] + base} twice, expected every item once")
    return rows


def _draw(path: Path, training: np.ndarray, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The training items that stay, and those that validate."""
    if size >= len(training):
        raise DataError(
            f"{path}: training has {len(training)} items, "
            f"expected more than the {size} that leave it to validate"
        )
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(training)
    return np.sort(drawn[size:]), np.sort(drawn[:size])


def _line(text: str) -> str:
    """What a file or a library says, short, on one line and without control characters."""
    short = textwrap.shorten(text, 200, placeholder=" ...")
    return "".join(character if character.isprintable() else "?" for character in short)
