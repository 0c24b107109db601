"""Features of images that a data set brings in place of pixels, such as XAll or 4096 numbers of VGG-F."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch.data.array_files import StoredArray
from gch.errors import DataError
from gch.storage import cached_array, digest


def open_features(parts: Sequence[tuple[StoredArray, int]], cache: Path) -> np.ndarray:
    """Features in memory-mapped form; all but a single .npy file of float32 are copied into the cache once.

    Args:
      parts: arrays one after the other, each with its number of items n; stored as (n, F) or (F, n), in any
        type of number.
      cache: folder of the copy.

    Returns:
      float32 (N, F), on disk.

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
        _require_finite(array, features)
        _require_some(array, features)
        return features
    path = cache / f"image-features-{digest(*(_state(array) for array, _ in parts))[:16]}.npy"
    shape = (sum(items for _, items in parts), widths[0])
    return cached_array(path, np.float32, shape, lambda features: _copy(parts, features))


def _state(array: StoredArray) -> str:
    status = array.path.stat()
    return repr((str(array.path.resolve()), status.st_size, status.st_mtime_ns, array.name))


def _copy(parts: Sequence[tuple[StoredArray, int]], features: np.ndarray) -> None:
    row = 0
    for array, items in parts:
        own = features[row : row + items]
        for start, slab in array.slabs():
            _require_finite(array, slab, start)
            if array.items_first(items):
                own[start : start + len(slab)] = slab
            else:
                own[:, start : start + len(slab)] = slab.T
        _require_some(array, own)
        row += items


def _require_some(array: StoredArray, features: np.ndarray) -> None:
    if not features.any():
        raise DataError(f"{array.path}: {array.name} holds zeros only, expected features of images")


def _require_finite(array: StoredArray, values: np.ndarray, start: int = 0) -> None:
    for row in range(0, len(values), 4096):
        with np.errstate(over="ignore"):
            finite = np.isfinite(values[row : row + 4096].astype(np.float32))
        if not finite.all():
            place = np.argwhere(~finite)[0]
            found = values[row + place[0], place[1]]
            raise DataError(
                f"{array.path}: {array.name} holds {found} (at {start + row + place[0]}, {place[1]}), "
                "expected finite numbers of float32"
            )
