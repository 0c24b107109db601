"""Equal codes are searched once: each distinct code, and the rows that have it.

Learned codes fall together, often half of them and more. A graph of nearest neighbours falls apart on that,
since all that a code is linked to may be its equals; over distinct codes it does not.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.errors import DataError
from gch.search.hamming import Found, as_words


class EqualCodes(NamedTuple):
    """Rows by their code."""

    rows: np.ndarray  # int64 (N,), those that have the first distinct code, ascending, then of the second ...
    starts: np.ndarray  # int64 (U + 1,), where those of each distinct code begin in `rows`; the last is N

    @property
    def distinct(self) -> np.ndarray:
        """int64 (U,), the first row of each distinct code."""
        return self.rows[self.starts[:-1]]


def group_equal(codes: np.ndarray) -> EqualCodes:
    """Rows by their code; codes are uint8 (N, K / 8)."""
    words = as_words(codes)
    rows = np.lexsort(words.T[::-1])  # stable: equal codes stay in the order of rows
    ordered = words[rows]
    first = np.ones(len(rows), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return EqualCodes(rows, np.append(np.flatnonzero(first), len(rows)))


def write_equal(path: Path, equal: EqualCodes) -> None:
    """Writes int64, `rows` and then `starts`."""
    with open(path, "wb") as file:
        for part in equal:
            part.tofile(file)


def read_equal(path: Path, items: int, distinct: int) -> EqualCodes:
    """Opens what `write_equal` wrote, memory-mapped; raises DataError where it is missing or damaged."""
    expected = 8 * (items + distinct + 1)
    size = path.stat().st_size if path.is_file() else 0
    if size != expected:
        raise DataError(f"{path}: {size} bytes, expected {expected}; build the index again")
    values = np.memmap(path, np.int64, "r")
    equal = EqualCodes(values[:items], values[items:])
    if equal.starts[0] != 0 or equal.starts[-1] != items:
        raise DataError(f"{path}: damaged; build the index again")
    return equal


def all_of(equal: EqualCodes, found: Found, count: int) -> Found:
    """All rows of the distinct codes (Q, D) that were found, up to `count` for a query."""
    codes = np.maximum(found.rows, 0)
    sizes = np.where(found.rows < 0, 0, equal.starts[codes + 1] - equal.starts[codes])
    before = sizes.cumsum(axis=1) - sizes
    taken = np.clip(count - before, 0, sizes)  # (Q, D), rows of each code
    cells = np.repeat(np.arange(taken.size), taken.ravel())
    query, place = cells // taken.shape[1], np.arange(len(cells)) - (taken.cumsum() - taken.ravel())[cells]
    rows = np.full((len(codes), count), -1, np.int64)
    distances = np.full((len(codes), count), -1, np.int32)
    column = before.ravel()[cells] + place
    rows[query, column] = equal.rows[equal.starts[codes.ravel()[cells]] + place]
    distances[query, column] = found.distances.ravel()[cells]
    return Found(rows, distances)
