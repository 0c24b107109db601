"""Arrays in files that anybody may have made: MATLAB v5 and v7.3, HDF5, .npz and .npy.

What a file is, its content tells, not its name. Listing reads names, shapes and types only. Nothing is ever
unpickled, no link to another file is followed, and an array that declares to be larger than MAX_BYTES is
refused before it is read.

Axes are as the file stores them: those of MATLAB's HDF5 files are the reverse of MATLAB's.
"""

import dataclasses
import itertools
import math
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from gch.data.mat_file import MAX_BYTES, is_mat5, load_mat5, mat5_variables
from gch.errors import DataError

MAX_ARRAYS = 1000  # listed of one file
_SLAB_BYTES = 2**26
_V5_TYPES = {"double": "f8", "single": "f4", "logical": "?", "sparse": "f8"}
_V5_TYPES |= {f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_Loaded = TypeVar("_Loaded")


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
        """The whole array; an .npy file is memory-mapped.

        Raises:
          DataError: it is too large or damaged, or holds no numbers.
        """
        if self.dtype is None:
            raise DataError(f"{self.path}: {self.name} holds no numbers; expected an array of numbers")
        size = math.prod(self.shape) * self.dtype.itemsize
        if size > MAX_BYTES and self.format != "npy":
            raise DataError(
                f"{self.path}: {self.name} {self.shape} would be {size / 2**30:.1f} GiB in memory, "
                f"expected at most {MAX_BYTES / 2**30:.0f}"
            )
        if size == 0:
            return np.zeros(self.shape, self.dtype)
        array = self._guarded(self._load)
        if array.shape != self.shape or array.dtype.kind not in "buif":
            raise DataError(
                f"{self.path}: {self.name} is {array.dtype} {array.shape}, expected {self.dtype} {self.shape}"
            )
        return array

    def slabs(self) -> Iterator[tuple[int, np.ndarray]]:
        """The array in parts along its first axis: (first row, rows). An HDF5 file is read part by part."""
        if self.format != "hdf5" or self.dtype is None:
            yield 0, self.read()
            return
        row_bytes = max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)
        rows = max(_SLAB_BYTES // row_bytes // self.rows_at_once, 1) * self.rows_at_once
        with open_hdf5(self.path) as file:
            dataset = file[self.name]
            for start in range(0, self.shape[0], rows):
                yield start, self._guarded(partial(dataset.__getitem__, slice(start, start + rows)))

    def strings(self) -> list[str]:
        """Texts of a cell array, an array of strings or a matrix of characters, one for each item.

        The first axis is the items', unless it has length 1. The strings of an item that has several are
        joined by line feeds. Trailing blanks are dropped, which MATLAB pads with.

        Raises:
          DataError: it holds no texts, or is damaged.
        """
        found = self._guarded(self._load_strings)
        if found.dtype.kind not in "OUS":
            raise DataError(f"{self.path}: {self.name} holds no texts; expected strings")
        items = found.reshape(len(found), -1) if found.ndim and len(found) > 1 else found.reshape(-1, 1)
        return self._guarded(lambda: ["\n".join(_texts(item)) for item in items])

    def _load(self) -> np.ndarray:
        match self.format:
            case "hdf5":
                with open_hdf5(self.path) as file:
                    return file[self.name][()]
            case "npz":
                with np.load(self.path, allow_pickle=False) as file:
                    return file[self.name]
            case "npy":
                return np.load(self.path, mmap_mode="r", allow_pickle=False)
        return load_mat5(self.path, [self.name])[self.name]

    def _load_strings(self) -> np.ndarray:
        if self.format == "hdf5":
            with open_hdf5(self.path) as file:
                return _hdf5_value(file, file[self.name])
        return self._load()

    def _guarded(self, load: Callable[[], _Loaded]) -> _Loaded:
        """What `load` returns; NumPy and h5py raise nearly anything on bytes that are not theirs."""
        try:
            return load()
        except DataError:
            raise
        except (Exception, MemoryError) as error:
            raise DataError(f"{self.path}: {self.name} unreadable, {reason(error)}") from error


def list_arrays(path: Path) -> dict[str, StoredArray]:
    """The arrays of a file by name.

    Args:
      path: a .mat, HDF5, .npz or .npy file, whatever its suffix; the array of an .npy file goes by the stem
        of the file's name.

    Raises:
      DataError: the file is missing, truncated, damaged or of another kind.
    """
    header = _header(path)
    try:
        if header.startswith(b"\x93NUMPY"):
            found = [_npy(path)]
        elif zipfile.is_zipfile(path):
            found = _npz(path)
        elif h5py.is_hdf5(path):
            with open_hdf5(path) as file:
                found = list(_hdf5(path, file))
        elif is_mat5(header):
            found = _v5(path)
        else:
            raise DataError(
                f"{path}: begins with {header[:16]!r}; expected MATLAB v5 or v7.3, HDF5, .npz or .npy"
            )
    except DataError:
        raise
    except (Exception, MemoryError) as error:  # of damaged bytes
        raise DataError(f"{path}: damaged file of arrays, {reason(error)}") from error
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


def _npy(path: Path) -> StoredArray:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return StoredArray(path, path.stem, array.shape, _numeric(array.dtype), "npy")


def _npz(path: Path) -> list[StoredArray]:
    found = []
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        for info in members[:MAX_ARRAYS]:
            with archive.open(info) as member:
                if np.lib.format.read_magic(member) == (1, 0):
                    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
                else:
                    shape, _, dtype = np.lib.format.read_array_header_2_0(member)
            name = info.filename.removesuffix(".npy")
            found.append(StoredArray(path, name, shape, _numeric(dtype), "npz"))
    return found


def _v5(path: Path) -> list[StoredArray]:
    found = []
    for name, (shape, kind) in mat5_variables(path).items():
        dtype = np.dtype(_V5_TYPES[kind]) if kind in _V5_TYPES else None
        found.append(StoredArray(path, name, shape, dtype, "v5", kind=kind))
    return found


def _hdf5(path: Path, group: h5py.Group, depth: int = 0) -> Iterator[StoredArray]:
    """The arrays of a group and of the groups in it, but for MATLAB's own (#refs#)."""
    for name in itertools.islice(group, MAX_ARRAYS):
        if name.startswith("#"):
            continue
        inner = f"{group.name}/{name}".strip("/")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: {inner} is a link; expected an array of this file")
        member = group[name]
        if isinstance(member, h5py.Group) and depth < 2:
            yield from _hdf5(path, member, depth + 1)
        elif isinstance(member, h5py.Dataset):
            _require_inside(path, inner, member)
            kind = _matlab_class(member)
            dtype = None if kind == "char" else _numeric(member.dtype)
            shape = (0,) if _is_empty(member) else tuple(member.shape)
            rows = member.chunks[0] if member.chunks else 1
            yield StoredArray(path, inner, shape, dtype, "hdf5", rows, kind)


def _require_inside(path: Path, name: str, dataset: h5py.Dataset) -> None:
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{path}: {name} lies in another file; expected an array of this file")


def _matlab_class(dataset: h5py.Dataset) -> str:
    kind = dataset.attrs.get("MATLAB_class", "")
    return kind.decode("latin-1") if isinstance(kind, bytes) else str(kind)


def _is_empty(dataset: h5py.Dataset) -> bool:
    """Whether an array has no element; MATLAB stores the shape of an empty one in its place."""
    return dataset.shape is None or bool(dataset.attrs.get("MATLAB_empty", 0))


def _numeric(dtype: np.dtype) -> np.dtype | None:
    return dtype if dtype.kind in "buif" else None


def _hdf5_value(file: h5py.File, dataset: h5py.Dataset) -> np.ndarray:
    """Texts as the other formats give them: str, or arrays in a cell; anything else as it is stored."""
    _require_inside(Path(file.filename), dataset.name, dataset)
    if _is_empty(dataset):
        return np.empty(0, str)
    if _matlab_class(dataset) == "char":
        rows = np.atleast_2d(dataset[()].T).astype("<u2")
        return np.array([row.tobytes().decode("utf-16-le") for row in rows], str)
    if h5py.check_ref_dtype(dataset.dtype) is h5py.Reference:
        refs = np.asarray(dataset[()]).T  # MATLAB's axes are reversed
        cells = np.empty(refs.size, object)
        for place, ref in enumerate(refs.flat):
            cells[place] = _hdf5_value(file, file[ref])
        return cells.reshape(refs.shape)
    return np.asarray(dataset[()])


def _texts(value: Any) -> Iterator[str]:
    """The strings in a cell, and in the cells in it, column by column, without empty ones."""
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if isinstance(value, str):
        yield value.rstrip()
    elif isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
        texts = [text for one in value.ravel(order="F").tolist() for text in _texts(one)]
        yield from filter(None, texts)
    else:
        raise ValueError(f"a cell that holds {getattr(value, 'dtype', type(value).__name__)}")
