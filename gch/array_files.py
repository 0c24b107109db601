"""Arrays in files that anybody may have made: MATLAB v5 and v7.3, HDF5, .npz and .npy.

What a file is, its content tells, not its name. Listing reads names, shapes and types only. Nothing is ever
unpickled, no link to another file is followed, and an array that declares to be larger than MAX_BYTES is
refused before it is read.

Axes are as the file stores them: those of MATLAB's HDF5 files are the reverse of MATLAB's.
"""

import dataclasses
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from gch.errors import DataError
from gch.mat5 import Mat5Array, is_mat5, list_mat5

MAX_BYTES = 2**32  # of an array that is read whole
MAX_ARRAYS = 1000  # listed of one file
_SLAB_BYTES = 2**26


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file, not read yet.

    Attributes:
      path: the file.
      name: of the array; a path where it lies in a group of an HDF5 file.
      shape: its axes as stored.
      dtype: of its numbers; None where it does not hold numbers.
      format: 'v5', 'hdf5', 'npz' or 'npy'.
      rows_at_once: HDF5: the rows of the first axis that a chunk of the file holds; else 1.
      kind: MATLAB's class, '' where the file does not tell it.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype | None
    format: str
    rows_at_once: int = 1
    kind: str = ""

    def __str__(self) -> str:
        kind = "text" if self.dtype is None else str(self.dtype)
        return f"{self.path.name}: {self.name} {kind} {self.shape}"

    def read(self) -> np.ndarray:
        """The whole array.

        Raises:
          DataError: it is too large or damaged, or holds no numbers.
        """
        if self.dtype is None:
            raise DataError(f"{self.path}: {self.name} holds no numbers; expected an array of numbers")
        size = int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize
        if size > MAX_BYTES and self.format != "npy":  # which is mapped, not read
            raise DataError(
                f"{self.path}: {self.name} {self.shape} would be {size / 2**30:.1f} GiB in memory, "
                f"expected at most {MAX_BYTES / 2**30:.0f}"
            )
        if size == 0:
            return np.zeros(self.shape, self.dtype)
        array = _guarded(self, self._load)
        if array.shape != self.shape or array.dtype.kind not in "buif":
            raise DataError(
                f"{self.path}: {self.name} is {array.dtype} {array.shape}, declared as {self.shape}"
            )
        return array

    def slabs(self) -> Iterator[tuple[int, np.ndarray]]:
        """The array in parts along its first axis: (first row, rows). An HDF5 file is read part by part."""
        if self.format != "hdf5":
            yield 0, self.read()
            return
        row_bytes = max(1, int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize)
        rows = max(1, _SLAB_BYTES // row_bytes)
        rows = max(rows // self.rows_at_once, 1) * self.rows_at_once
        with open_hdf5(self.path) as file:
            dataset = file[self.name]
            for start in range(0, self.shape[0], rows):
                yield start, _guarded(self, lambda at=start: dataset[at : at + rows])

    def strings(self) -> list[str]:
        """Texts of a cell array, an array of strings or a matrix of characters, one for each item.

        The strings of an item that has several are joined by line feeds. Trailing blanks are dropped, which
        MATLAB pads with.

        Raises:
          DataError: it holds no texts, or is damaged.
        """
        found = _guarded(self, self._load_strings)
        if found is None:
            raise DataError(f"{self.path}: {self.name} holds no texts; expected strings")
        return found

    def _load(self) -> np.ndarray:
        if self.format == "hdf5":
            with open_hdf5(self.path) as file:
                return file[self.name][()]
        if self.format == "npz":
            with np.load(self.path, allow_pickle=False) as file:
                return file[self.name]
        if self.format == "npy":
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        return self._mat5().numbers(MAX_BYTES)

    def _mat5(self) -> Mat5Array:
        return {array.name: array for array in list_mat5(self.path)}[self.name]

    def _load_strings(self) -> list[str] | None:
        if self.format == "hdf5":
            with open_hdf5(self.path) as file:
                return _hdf5_strings(file, file[self.name])
        if self.format == "v5":
            return ["\n".join(item) for item in self._mat5().strings(MAX_BYTES)]
        return _array_strings(self._load())


def list_arrays(path: Path) -> dict[str, StoredArray]:
    """The arrays of a file by name.

    Args:
      path: a .mat, HDF5, .npz or .npy file, whatever its suffix; the array of an .npy file goes by the stem
        of the file's name.

    Raises:
      DataError: the file is missing, truncated, damaged or of another kind.
    """
    header = _header(path)
    if header.startswith(b"\x93NUMPY"):
        found = [_npy(path)]
    elif zipfile.is_zipfile(path):
        found = _npz(path)
    elif h5py.is_hdf5(path):
        found = _hdf5(path)
    elif is_mat5(header):
        found = _v5(path)
    else:
        raise DataError(
            f"{path}: begins with {header[:16]!r}; expected MATLAB v5 or v7.3, HDF5, .npz or .npy"
        )
    return {array.name: array for array in found}


def open_hdf5(path: Path) -> h5py.File:
    """Opens an HDF5 file for reading.

    Raises:
      DataError: it cannot be opened.
    """
    try:
        return h5py.File(path, "r", locking="best-effort")
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: cannot be opened as HDF5, {reason(error)}") from error


def reason(error: Exception) -> str:
    """The first line of what an exception says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _header(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            header = file.read(128)
    except FileNotFoundError as error:
        raise DataError(f"{path}: not found") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be opened, {error.strerror}") from error
    if not header:
        raise DataError(f"{path}: empty; expected a file of arrays")
    return header


def _guarded(array: StoredArray, load):
    """What `load` returns; SciPy, NumPy and h5py raise nearly anything on bytes that are not theirs."""
    try:
        return load()
    except DataError:
        raise
    except (Exception, MemoryError) as error:
        raise DataError(f"{array.path}: {array.name} unreadable, {reason(error)}") from error


def _npy(path: Path) -> StoredArray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        raise DataError(f"{path}: damaged .npy file, {reason(error)}") from error
    return StoredArray(path, path.stem, array.shape, _numeric(array.dtype), "npy")


def _npz(path: Path) -> list[StoredArray]:
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            for info in members[:MAX_ARRAYS]:
                with archive.open(info) as member:
                    version = np.lib.format.read_magic(member)
                    read = {
                        (1, 0): np.lib.format.read_array_header_1_0,
                        (2, 0): np.lib.format.read_array_header_2_0,
                    }[version]
                    shape, _, dtype = read(member)
                name = info.filename.removesuffix(".npy")
                found.append(StoredArray(path, name, shape, _numeric(dtype), "npz"))
    except Exception as error:
        raise DataError(f"{path}: damaged .npz file, {reason(error)}") from error
    return found


def _v5(path: Path) -> list[StoredArray]:
    try:
        listed = list_mat5(path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: damaged MATLAB v5 file, {reason(error)}") from error
    return [StoredArray(path, one.name, one.shape, one.dtype, "v5", kind=one.kind) for one in listed]


def _hdf5(path: Path) -> list[StoredArray]:
    try:
        with open_hdf5(path) as file:
            return list(_walk(path, file))
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: damaged HDF5 file, {reason(error)}") from error


def _walk(path: Path, group: h5py.Group, depth: int = 0) -> Iterator[StoredArray]:
    """The arrays of a group and of the groups in it, but for MATLAB's own (#refs#)."""
    for name in itertools.islice(group, MAX_ARRAYS):
        if name.startswith("#"):
            continue
        inner = f"{group.name}/{name}".strip("/")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: {inner} is a link; expected an array of this file")
        member = group[name]
        if isinstance(member, h5py.Group) and depth < 2:
            yield from _walk(path, member, depth + 1)
        elif isinstance(member, h5py.Dataset):
            yield _hdf5_array(path, inner, member)


def _hdf5_array(path: Path, name: str, dataset: h5py.Dataset) -> StoredArray:
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{path}: {name} lies in another file; expected an array of this file")
    kind = dataset.attrs.get("MATLAB_class", "")
    kind = kind.decode("latin-1") if isinstance(kind, bytes) else str(kind)
    numbers = None if kind == "char" else _numeric(dataset.dtype)
    # MATLAB stores the shape of an empty array in its place.
    empty = dataset.shape is None or dataset.attrs.get("MATLAB_empty", 0)
    rows = dataset.chunks[0] if dataset.chunks else 1
    return StoredArray(path, name, (0,) if empty else tuple(dataset.shape), numbers, "hdf5", rows, kind)


def _numeric(dtype: np.dtype) -> np.dtype | None:
    return dtype if dtype.kind in "buif" else None


# ---------------------------------------------------------------- texts


def _array_strings(array: np.ndarray) -> list[str] | None:
    """Of an array of strings; its first axis is the items', unless it has one row."""
    if array.dtype.kind not in "OUS":
        return None
    items = array.reshape(len(array), -1) if array.ndim and len(array) > 1 else array.reshape(-1, 1)
    return ["\n".join(_text(one) for one in row) for row in items.tolist()]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8").rstrip()
    if isinstance(value, str):
        return value.rstrip()
    raise ValueError(f"holds a {type(value).__name__}")


def _hdf5_strings(file: h5py.File, dataset: h5py.Dataset) -> list[str] | None:
    if h5py.check_string_dtype(dataset.dtype) or dataset.dtype.kind == "S":
        return _array_strings(np.asarray(dataset[()], object))
    if h5py.check_ref_dtype(dataset.dtype) is h5py.Reference:
        # A cell array (N, k) of MATLAB, seen from here as (k, N).
        cells = dataset[()].reshape(dataset.shape)
        items = cells.T if cells.ndim == 2 and cells.shape[0] < cells.shape[1] else cells
        return ["\n".join(filter(None, (_characters(file[ref]) for ref in np.ravel(row)))) for row in items]
    if dataset.attrs.get("MATLAB_class", b"") == b"char":
        return ["".join(map(chr, row)).rstrip() for row in np.atleast_2d(dataset[()].T)]
    return None


def _characters(dataset: h5py.Dataset) -> str:
    if dataset.attrs.get("MATLAB_empty", 0):
        return ""
    return dataset[()].T.astype("<u2").tobytes().decode("utf-16-le").rstrip()
