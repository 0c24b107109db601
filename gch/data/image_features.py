"""Image features that a data set holds in place of pixels, such as XAll, 4096 activations of VGG-F."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch.data.array_files import StoredArray
from gch.errors import DataError
from gch.storage import cached_array, digest


def open_features(parts: Sequence[tuple[StoredArray, int]], cache: Path) -> np.ndarray:
    """Features float32 (N, F), memory-mapped: a single .npy file of float32, else a copy in the cache.

    Args:
      parts: arrays one after the other, each with its number of items n; stored as (n, F) or (F, n), in any
        type of number.
      cache: folder of the copy.

    Raises:
      DataError: a number is not finite, all of an array are 0, an array is damaged, parts differ in F, or the
        cache cannot be written.
    """
    for array, _ in parts:
        if array.dtype is None:
            raise DataError(f"{array.path}: {array.name} holds no numbers, expected features of images")
    widths = [array.columns(items) for array, items in parts]
    for (array, _), width in zip(parts, widths, strict=True):
        if width != widths[0]:
            raise DataError(f"{array.path}: {array.name} has {width} columns, expected {widths[0]}")
    array, items = parts[0]
    if len(parts) == 1 and array.format == "npy" and array.dtype == np.float32 and array.items_first(items):
        features = array.read()
        _require_numbers(array, features)
        return features
    files = [(array.path.resolve(), array.path.stat(), array.name) for array, _ in parts]
    states = (repr((str(path), stat.st_size, stat.st_mtime_ns, name)) for path, stat, name in files)
    path = cache / f"image-features-{digest(*states)[:16]}.npy"
    shape = (sum(items for _, items in parts), widths[0])
    return cached_array(path, np.float32, shape, lambda features: _copy(parts, features))


def _copy(parts: Sequence[tuple[StoredArray, int]], features: np.ndarray) -> None:
    row = 0
    for array, items in parts:
        own = features[row : row + items]
        for start, slab in array.slabs():
            with np.errstate(over="ignore"):  # too large for float32: infinite, and refused below
                if array.items_first(items):
                    own[start : start + len(slab)] = slab
                else:
                    own[:, start : start + len(slab)] = slab.T
        _require_numbers(array, own)
        row += items


def _require_numbers(array: StoredArray, features: np.ndarray) -> None:
    for start in range(0, len(features), 4096):
        finite = np.isfinite(features[start : start + 4096])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            found = f"{features[start + row, column]} (item {start + row}, column {column})"
            raise DataError(f"{array.path}: {array.name} holds {found}, expected finite numbers of float32")
    if not features.any():
        raise DataError(f"{array.path}: {array.name} holds zeros only, expected features of images")
