"""MIRFlickr-25K in the field's own file, FLICKR-25K.mat (MATLAB v7.3, which is HDF5).

As h5py shows the arrays, MATLAB's axes reversed: `images` uint8 (N, 3, W, H), `YAll` (D, N) the tags,
`LAll` (C, N) the labels. The usual file has N 20015, W and H 224, D 1386, C 24. Files also go round
whose images are called `IAll`, or whose arrays lie in groups: `images/IAll`, `YAll/YAll`, `LAll/LAll`.
"""

import functools
import threading
from pathlib import Path

import h5py
import numpy as np

from gch.data.pairs import Pairs, SplitSizes
from gch.errors import DataError
from gch.storage import digest

FILE_NAME = "FLICKR-25K.mat"
_LAYOUT = "MATLAB v7.3 with images (N, 3, W, H), YAll (1386, N) and LAll (24, N)"
# The names that an array has in the files that go round; a path leads into a group.
_ARRAYS = {
    "images": ("images", "IAll", "images/IAll", "IAll/IAll"),
    "YAll": ("YAll", "YAll/YAll"),
    "LAll": ("LAll", "LAll/LAll"),
}
_MAX_BLOCK_BYTES = 32 * 2**20
_DIGESTED_IMAGES = 64


def open_flickr25k(path: Path) -> Pairs:
    """Opens FLICKR-25K.mat; reads tags and labels, and no image yet.

    Args:
      path: the file, or the folder that holds FLICKR-25K.mat.

    Returns:
      N pairs: texts uint8 (N, D) of 0 and 1, labels uint8 (N, C) of 0 and 1, images uint8 (n, H, W, 3).
      Images are read from the file when asked for, from any thread. `digest` covers labels, texts, the shape
      of the images and 64 of them, spread evenly.

    Raises:
      DataError: the file is missing, truncated, of another format or another layout.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    with _open_hdf5(path) as file:
        arrays = {name: _array(path, file, name) for name in _ARRAYS}
        shape, block = _image_layout(path, arrays["images"])
        texts = _binary_rows(path, arrays["YAll"], shape[0])
        labels = _binary_rows(path, arrays["LAll"], shape[0])
    return _Flickr25k(path, texts, labels, shape, block)


def default_sizes(total: int) -> SplitSizes:
    """The papers' 2,000 / 18,015 / 10,000 for their 20,015 items, and the like for other numbers.

    2,000 items query (a tenth of them below 15,000 items), all others are retrieved. Of those the papers'
    share, 10,000 in 18,015, is trained on, in whole 500s from 15,000 items on; 500 (or total / 40) validate.
    """
    large = total >= 15_000
    query = 2000 if large else round(total / 10)
    retrieval = total - query
    training = retrieval * 10_000 // 18_015
    if large:
        training -= training % 500
    return SplitSizes(query, retrieval, training, 500 if large else total // 40)


class _Flickr25k:
    """Implements `gch.data.pairs.Pairs`; the file is opened at the first read and then kept open."""

    name = "flickr25k"
    tag_names: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        texts: np.ndarray,
        labels: np.ndarray,
        image_shape: tuple[int, int, int, int],
        block: int,
    ):
        self.texts = texts
        self.labels = labels
        self.block = block
        self.default_sizes = default_sizes(len(texts))
        self._path = path
        self._image_shape = image_shape
        self._images: h5py.Dataset | None = None
        self._opening = threading.Lock()

    @functools.cached_property
    def digest(self) -> str:
        total = len(self.texts)
        rows = np.unique(np.linspace(0, total - 1, _DIGESTED_IMAGES).round().astype(np.int64))
        return digest(self.name, self.labels, self.texts, repr(self._image_shape), self.images(rows))

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Reads images, each block of the file once.

        Args:
          rows: int64 (n,), row numbers in 0..N-1, in any order.

        Returns:
          uint8 (n, H, W, 3), RGB, in the order of `rows`.

        Raises:
          DataError: the file is damaged.
        """
        rows = np.asarray(rows, np.int64)
        _, _, width, height = self._image_shape
        pictures = np.empty((len(rows), height, width, 3), np.uint8)
        places = np.argsort(rows, kind="stable")
        starts = np.flatnonzero(np.diff(rows[places] // self.block)) + 1
        for group in np.split(places, starts) if len(rows) else ():
            first, last = rows[group[0]], rows[group[-1]]
            planes = self._read(first, last + 1)
            for place in group:
                # Plane by plane: four times faster than transposing the whole block at once.
                for channel in range(3):
                    pictures[place, :, :, channel] = planes[rows[place] - first, channel].T
        return pictures

    def _read(self, first: int, end: int) -> np.ndarray:
        try:
            with self._opening:
                if self._images is None:
                    self._images = _array(self._path, _open_hdf5(self._path), "images")
            return self._images[first:end]
        except OSError as error:
            raise DataError(
                f"{self._path}: images: rows {first} to {end - 1} unreadable, {_reason(error)}"
            ) from error


def _open_hdf5(path: Path) -> h5py.File:
    if not path.exists():
        raise DataError(f"{path}: not found, expected {FILE_NAME} there ({_LAYOUT})")
    try:
        with open(path, "rb") as file:
            header = file.read(16)
        if header.startswith(b"MATLAB 5.0"):
            raise DataError(f"{path}: a MATLAB v5 file, expected {_LAYOUT} (in MATLAB: save with '-v7.3')")
        if not h5py.is_hdf5(path):
            raise DataError(f"{path}: not an HDF5 file (it begins with {header!r}), expected {_LAYOUT}")
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened, {_reason(error)}") from error


def _array(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """The array by the first of its names that the file has."""
    array = None
    for known in _ARRAYS[name]:
        array = file.get(known, array)
        if isinstance(array, h5py.Dataset):
            return array
    if array is None:
        found = ", ".join(file) or "nothing"
        raise DataError(f"{path}: array '{name}' not found, the file holds {found}; expected {_LAYOUT}")
    found = ", ".join(array) or "nothing"
    raise DataError(f"{path}: '{name}' is a group that holds {found}, expected an array; expected {_LAYOUT}")


def _image_layout(path: Path, images: h5py.Dataset) -> tuple[tuple[int, int, int, int], int]:
    """Shape (N, 3, W, H) and the number of rows that are best read together."""
    shape = images.shape
    if len(shape) != 4 or shape[1] != 3 or 0 in shape:
        raise DataError(f"{path}: images has shape {shape}, expected (N, 3, W, H)")
    if images.dtype != np.uint8:
        raise DataError(f"{path}: images is {images.dtype}, expected uint8")
    rows = images.chunks[0] if images.chunks else 16
    image_bytes = shape[1] * shape[2] * shape[3]
    return shape, min(rows, shape[0], max(1, _MAX_BLOCK_BYTES // image_bytes))


def _binary_rows(path: Path, array: h5py.Dataset, total: int) -> np.ndarray:
    """Reads 0s and 1s stored as (columns, total), or as (total, columns): uint8 (total, columns)."""
    name, shape = array.name.rpartition("/")[2], array.shape
    if len(shape) != 2 or total not in shape or 0 in shape:
        raise DataError(
            f"{path}: {name} has shape {shape}, expected (columns, {total}), as images has {total} rows"
        )
    if array.dtype.kind not in "buif":
        raise DataError(f"{path}: {name} is {array.dtype}, expected numbers 0 and 1")
    try:
        values = array[()]
    except OSError as error:
        raise DataError(f"{path}: {name} unreadable, {_reason(error)}") from error
    if shape[1] == total:
        values = values.T
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        found = values[row, column]
        raise DataError(f"{path}: {name} holds {found} (item {row}, column {column}), expected 0 or 1")
    return np.ascontiguousarray(values, np.uint8)


def _reason(error: OSError) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
