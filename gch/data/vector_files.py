"""Vectors that a data set holds in place of pixels or words, such as 4096 activations of VGG-F, or CLIP's."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gch.data.array_files import StoredArray
from gch.errors import DataError
from gch.storage import cached_array, digest

_AT_ONCE = 2**20  # numbers


def is_vectors(array: StoredArray) -> bool:
    """Whether the texts in a file are vectors, not words: most numbers but zeros have fractions.

    Reads no further than the first numbers that are not 0.
    """
    if array.dtype is None or array.dtype.kind != "f":
        return False
    for _, slab in array.slabs():
        for _, part in blocks(slab):
            found = part[np.isfinite(part) & (part != 0)]
            if len(found):
                return bool(2 * np.count_nonzero(found % 1) > len(found))
    return False


def open_vectors(parts: Sequence[tuple[StoredArray, int]], modality: str, cache: Path) -> np.ndarray:
    """Vectors float32 (N, F), memory-mapped: a single .npy file of float32, else a copy in the cache.

    An item with several vectors has the mean of them, each divided by its length; vectors of zeros fill up
    and do not count.

    Args:
      parts: arrays of one F, one after the other, each with its number of items n; stored as (n, F) or
        (F, n), or as (n, m, F) or (F, m, n) with m vectors an item, in any type of number.
      modality: 'image' or 'text', for messages and in the name of the copy.
      cache: folder of the copy.

    Raises:
      DataError: a number is not finite, all of an array are 0, an array is damaged, or the cache cannot be
        written.
    """
    array, items = parts[0]
    mapped = array.format == "npy" and array.dtype == np.float32 and len(array.shape) == 2
    if len(parts) == 1 and mapped and array.items_first(items):
        vectors = array.read()
        require_finite(vectors, array.where)
        _require_some(array, vectors)
        return vectors
    path = cache / f"{modality}-features-{digest(*(_state(array) for array, _ in parts))[:16]}.npy"
    shape = (sum(items for _, items in parts), array.columns(items))
    return cached_array(path, np.float32, shape, lambda vectors: _copy(parts, vectors))


def open_several(array: StoredArray, items: int, cache: Path) -> np.ndarray:
    """The vectors of an array with several an item, each divided by its length, float32 (n, m, F), in the
    cache; see `open_vectors`, which has checked them.
    """

    def fill(vectors: np.ndarray) -> None:
        for row, part in _item_blocks(array, items):
            vectors[row : row + len(part)] = units(part)

    shape = (items, array.shape[1], array.columns(items))
    return cached_array(cache / f"several-{digest(_state(array))[:16]}.npy", np.float32, shape, fill)


def _state(array: StoredArray) -> str:
    """Changes with the file of an array."""
    stat = array.path.stat()
    return repr((str(array.path.resolve()), stat.st_size, stat.st_mtime_ns, array.name))


class Rows:
    """The vectors of an array in a file, one after the other, float32 (F,); a .npy file stays on disk.

    Args:
      array: (N, F) or (F, N), or of several vectors an item, see `open_vectors`.
      width: F; 0 for any, of an array whose first axis, for its writer, is that of the items.

    Raises:
      DataError: they are of another width or not finite, or the array cannot be read.
    """

    def __init__(self, array: StoredArray, width: int):
        expected = f"expected vectors (items, {width or 'columns'}), as the model takes them"
        fits = len(array.shape) in (2, 3) and width in (0, array.shape[-1], array.shape[0])
        array.require(array.dtype is not None and fits, f"has shape {array.shape}, {expected}")
        stored = array.read()
        either = width == 0 or array.shape[0] == array.shape[-1]
        items_last = array.reversed if either else array.shape[-1] != width
        self._rows = stored.T if items_last else stored
        for row, part in self._parts():
            require_finite(part, array.where, first=row)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (vector for _, part in self._parts() for vector in part)

    def _parts(self) -> Iterator[tuple[int, np.ndarray]]:
        with np.errstate(over="ignore", invalid="ignore"):  # too large for float32: refused
            for row, part in blocks(self._rows):
                yield row, mean_of_units(part) if part.ndim == 3 else part.astype(np.float32)


def require_finite(vectors: np.ndarray, where: str, first: int = 0) -> None:
    """Raises DataError where a number of vectors (N, F) is not finite; `where` they are and which item is
    the `first` of them, for messages.
    """
    for row, part in blocks(vectors):
        finite = np.isfinite(part)
        if not finite.all():
            item, column = np.argwhere(~finite)[0]
            found = f"{part[item, column]} (item {first + row + item}, column {column})"
            raise DataError(f"{where} holds {found}, expected finite numbers of float32")


def mean_of_units(vectors: np.ndarray) -> np.ndarray:
    """The means of vectors of length 1: (n, m, F) to float32 (n, F). Vectors of zeros do not count."""
    every = units(vectors)
    there = np.count_nonzero(every.any(axis=-1), axis=1)[:, None]
    return (every.sum(axis=1) / np.maximum(there, 1)).astype(np.float32)


def units(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., F) divided by their lengths, float64; zeros stay zeros."""
    lengths = np.sqrt(np.sum(np.square(vectors, dtype=np.float64), axis=-1, keepdims=True))
    return np.divide(vectors, lengths, where=lengths != 0, out=np.zeros(vectors.shape))


def blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Consecutive rows, about `_AT_ONCE` numbers together: (the first row's number, rows)."""
    size = max(1, _AT_ONCE * len(rows) // max(1, rows.size))
    return ((start, rows[start : start + size]) for start in range(0, len(rows), size))


def _copy(parts: Sequence[tuple[StoredArray, int]], vectors: np.ndarray) -> None:
    row = 0
    for array, items in parts:
        own = vectors[row : row + items]
        with np.errstate(over="ignore", invalid="ignore"):  # too large for float32: refused below
            if len(array.shape) == 3:
                for start, part in _item_blocks(array, items):
                    own[start : start + len(part)] = mean_of_units(part)
            else:
                for place, part in array.of_items(items):
                    own[place] = part
        require_finite(own, array.where)
        _require_some(array, own)
        row += items


def _item_blocks(array: StoredArray, items: int) -> Iterator[tuple[int, np.ndarray]]:
    """An array of several vectors an item in parts: the first item, and its vectors (n, m, F)."""
    for (rows, _), part in array.of_items(items):
        for row, block in blocks(part):
            yield rows.start + row, block


def _require_some(array: StoredArray, vectors: np.ndarray) -> None:
    array.require(any(part.any() for _, part in blocks(vectors)), "holds zeros only, expected features")
