"""Features of images that a data set brings in place of pixels, such as XAll or 4096 numbers of VGG-F."""

from pathlib import Path

import numpy as np

from gch.array_files import StoredArray
from gch.data.matrices import items_first
from gch.errors import DataError
from gch.storage import atomic_path, digest


def open_features(array: StoredArray, items: int, cache: Path) -> np.ndarray:
    """Features in memory-mapped form; other files than .npy are copied into the cache once.

    Args:
      array: stored as (N, F) or (F, N), in any type of number.
      items: number of items N.
      cache: folder of the copy.

    Returns:
      float32 (N, F), on disk.

    Raises:
      DataError: a number is not finite, all are 0, or the array is damaged.
    """
    if array.dtype is None:
        raise DataError(f"{array.path}: {array.name} holds no numbers, expected features of images")
    if array.format == "npy" and array.dtype == np.float32 and items_first(array, items):
        features = array.read()
        _require_finite(array, features)
        return features
    status = array.path.stat()
    key = digest(str(array.path.resolve()), status.st_size, status.st_mtime_ns, array.name)[:16]
    path = cache / f"image-features-{key}.npy"
    shape = (items, array.shape[1] if items_first(array, items) else array.shape[0])
    if not _whole(path, shape):
        with atomic_path(path) as temporary:
            _copy(array, items_first(array, items), shape, temporary)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _copy(array: StoredArray, first: bool, shape: tuple[int, int], path: Path) -> None:
    features = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for start, slab in array.slabs():
        _require_finite(array, slab, start)
        if first:
            features[start : start + len(slab)] = slab
        else:
            features[:, start : start + len(slab)] = slab.T
    if not features.any():
        raise DataError(f"{array.path}: {array.name} holds zeros only, expected features of images")
    features.flush()


def _require_finite(array: StoredArray, values: np.ndarray, start: int = 0) -> None:
    for row in range(0, len(values), 4096):
        finite = np.isfinite(values[row : row + 4096])
        if not finite.all():
            place = np.argwhere(~finite)[0]
            found = values[row + place[0], place[1]]
            raise DataError(
                f"{array.path}: {array.name} holds {found} (at {start + row + place[0]}, {place[1]}), "
                "expected finite numbers"
            )


def _whole(path: Path, shape: tuple[int, int]) -> bool:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).shape == shape
    except (OSError, ValueError, EOFError):
        return False
