"""Writing MATLAB's files: v7.3 (HDF5) in parts, v5 whole. The same arrays give the same bytes at any time."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from gch.errors import DataError

_TEXT_BYTES = 116  # of the header, before the offset of a subsystem
_MOST_V5 = 2**31  # bytes of an array
_SLAB_BYTES = 2**24
_CHUNK_BYTES = 2**20  # HDF5 keeps as much of an array in memory
_CLASSES = {"float32": "single", "float64": "double"}


@contextlib.contextmanager
def new_mat73(path: Path) -> Iterator[h5py.File]:
    """A new file of MATLAB v7.3, without dates; its header is written at the end."""
    with h5py.File(path, "w", userblock_size=512) as file:
        yield file
    with open(path, "r+b") as file:
        file.write(_header(b"MATLAB 7.3 MAT-file, HDF5 schema 1.00 .", b"\x00\x02IM"))


def new_pictures(file: h5py.File, name: str, items: int, size: tuple[int, int]) -> h5py.Dataset:
    """An array of RGB pictures in a file of v7.3, uint8 (N, 3, W, H), which is (H, W, 3, N) in MATLAB."""
    height, width = size
    chunk = max(1, min(items, _CHUNK_BYTES // (3 * width * height)))
    shape = (3, width, height)
    dataset = file.create_dataset(
        name, (items, *shape), np.uint8, chunks=(chunk, *shape), maxshape=(None, *shape), track_times=False
    )
    dataset.attrs["MATLAB_class"] = np.bytes_("uint8")
    return dataset


def write_mat73(file: h5py.File, name: str, matrix: np.ndarray) -> None:
    """Writes a matrix (N, columns) of numbers into a file of v7.3 as MATLAB has it: (columns, N) in h5py."""
    rows, columns = matrix.shape
    dataset = file.create_dataset(name, (columns, rows), matrix.dtype, track_times=False)
    dataset.attrs["MATLAB_class"] = np.bytes_(_CLASSES.get(matrix.dtype.name, matrix.dtype.name))
    step = max(1, _SLAB_BYTES // (columns * matrix.itemsize))
    for start in range(0, rows, step):
        dataset[:, start : start + step] = matrix[start : start + step].T


def write_mat5(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays of numbers, of str, or cells (arrays of objects) as a file of v5, not packed.

    Raises:
      DataError: an array takes 2 GiB or more, which v5 cannot hold.
    """
    for name, array in arrays.items():
        if array.nbytes >= _MOST_V5:
            found = f"{name} takes {array.nbytes / 2**30:.1f} GiB"
            raise DataError(f"{path.name}: {found}, expected less than 2 for MATLAB v5")
    scipy.io.savemat(path, dict(arrays), appendmat=False)
    with open(path, "r+b") as file:
        file.write(_header(b"MATLAB 5.0 MAT-file", b"")[:_TEXT_BYTES])  # SciPy's has the date


def _header(text: bytes, version: bytes) -> bytes:
    return text.ljust(_TEXT_BYTES) + bytes(8) + version
