"""Arrays in files of any origin: MATLAB v5 and v7.3, HDF5, .npz and .npy, recognised by their content.

Nothing is unpickled, no link to another file is followed, and an array of more than MAX_BYTES is refused
before it is read. Axes are as stored: those of MATLAB's HDF5 files are the reverse of MATLAB's.
"""

import contextlib
import dataclasses
import functools
import itertools
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import scipy.sparse

from gch.data.mat_file import MAX_BYTES, OPAQUE, is_mat5, load_mat5, mat5_variables
from gch.data.text_files import opened, require_stored
from gch.errors import DataError, damage

_MAX_ARRAYS = 1000  # listed of one file
_SLAB_BYTES = 2**26
_V5_TYPES = {"double": "f8", "single": "f4", "logical": "?", "sparse": "f8"}
_V5_TYPES |= {f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file, not read yet."""

    path: Path
    name: str  # a path where it lies in a group of an HDF5 file
    shape: tuple[int, ...]  # axes as stored
    dtype: np.dtype | None  # None where it does not hold numbers
    format: str  # 'v5', 'hdf5', 'npz' or 'npy'
    load: Callable[[], Any]  # reads it; a sparse matrix as a csr_array
    rows_at_once: int = 1  # HDF5: rows of the first axis in a chunk of the file
    kind: str = ""  # MATLAB's class; '' where the file does not tell it
    size: int = 0  # bytes that it takes in memory, as far as the file tells
    sparse: bool = False
    reversed: bool = False  # whether the axes are the reverse of the writer's, as MATLAB's are in HDF5
    objects: str = ""  # whose objects it holds, which are not read, for messages

    def __str__(self) -> str:
        return f"{self.path.name}: {self.name} {self.dtype or 'text'} {self.shape}"

    @property
    def where(self) -> str:
        """File and array, for messages."""
        return f"{self.path}: {self.name}"

    def require(self, right: bool, fault: str) -> None:
        """Raises DataError, '<file>: <array> <fault>', unless `right` is true."""
        if not right:
            raise DataError(f"{self.where} {fault}")

    def require_numbers(self, expected: str) -> None:
        """Raises DataError, which says what is `expected`, where it holds no numbers."""
        self.require(self.dtype is not None, f"holds {self.objects or 'no numbers'}, {expected}")

    def items_first(self, items: int) -> bool:
        """Whether the first axis is that of the items, not the last; if both could be, the usual order."""
        if self.shape[0] == self.shape[-1]:
            return not self.reversed
        return self.shape[0] == items

    def columns(self, items: int) -> int:
        """The length of the last axis if the first is that of the items, else of the first."""
        return self.shape[-1 if self.items_first(items) else 0]

    def require_room(self, size: int) -> None:
        """Raises DataError where `size` bytes are more than an array may take."""
        found, limit = f"{self.shape} would be {size / 2**30:.1f} GiB in memory", MAX_BYTES / 2**30
        self.require(size <= MAX_BYTES, f"{found}, expected at most {limit:.0f}")

    def require_stored(self) -> None:
        """Raises DataError where the file is too small to hold the array: never written, or a bomb."""
        require_stored(self.path, self.size, what=f"{self.name} {self.shape} ")

    def read(self) -> np.ndarray:
        """The whole array; an .npy file is memory-mapped. DataError where it is too large or damaged."""
        self.require_numbers("expected an array of numbers")
        assert self.dtype is not None
        size = math.prod(self.shape) * self.dtype.itemsize
        if self.format != "npy":
            self.require_room(size)
        array = self._load() if size else np.zeros(self.shape, self.dtype)
        right = array.shape == self.shape and array.dtype.kind in "buif"
        self.require(right, f"is {array.dtype} {array.shape}, expected {self.dtype} {self.shape}")
        return array

    def slabs(self) -> Iterator[tuple[int, np.ndarray]]:
        """The array in parts along its first axis: (first row, rows). HDF5 and sparse ones come in parts."""
        if self.dtype is None or not (self.sparse or self.format == "hdf5"):
            yield 0, self.read()
            return
        self.require_stored()
        row_bytes = max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)
        rows = max(_SLAB_BYTES // row_bytes // self.rows_at_once, 1) * self.rows_at_once
        with contextlib.ExitStack() as stack, damage(f"{self.where} unreadable"):
            stored = self.load() if self.sparse else stack.enter_context(open_hdf5(self.path))[self.name]
            for start in range(0, self.shape[0], rows):
                slab = stored[start : start + rows]
                yield start, slab.toarray() if self.sparse else slab

    def of_items(self, items: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """The array in parts whose first axis is that of the items: (which items and columns, part).

        Where the items come last in a file of several vectors an item, there is one part.
        """
        first = self.items_first(items)
        for start, slab in self.slabs() if first or len(self.shape) == 2 else [(0, self.read())]:
            part = slice(start, start + len(slab))
            yield ((part, slice(0, None)), slab) if first else ((slice(0, None), part), slab.T)

    def strings(self) -> list[str]:
        """Texts of a cell array, an array of strings or a matrix of characters, one for each item.

        The first axis is the items', unless it has length 1. The strings of an item that has several are
        joined by line feeds. Trailing blanks are dropped, which MATLAB pads with. Raises DataError.
        """
        found = self._load()
        self.require(found.dtype.kind in "OUS", "holds no texts; expected strings")
        items = found.reshape(len(found), -1) if found.ndim and len(found) > 1 else found.reshape(-1, 1)
        with damage(f"{self.where} unreadable"):
            return ["\n".join(_texts(item)) for item in items]

    def _load(self) -> np.ndarray:
        strings = "numpy.array(strings, str)" if self.format[:2] == "np" else "cellstr(strings)"
        expected = f"which are not read; expected numbers, or strings as {strings}"
        self.require(not self.objects, f"holds {self.objects}, {expected}")
        self.require_stored()
        with damage(f"{self.where} unreadable"):
            loaded = self.load()
            return loaded.toarray() if self.sparse else loaded


def list_arrays(path: Path) -> dict[str, StoredArray]:
    """The arrays of a file by name; reads names, shapes and types only.

    Args:
      path: of any suffix; the array of an .npy file goes by the stem of the file's name.

    Raises:
      DataError: the file is missing, truncated, damaged or of another kind.
    """
    with opened(path, "expected a file of arrays") as file:
        header = file.read(128)
    if not header:
        raise DataError(f"{path}: empty; expected a file of arrays")
    with damage(f"{path}: damaged file of arrays"):
        if header.startswith(b"\x93NUMPY"):
            with open(path, "rb") as member:
                listed = [_npy(path, path.stem, member, "npy")]
        elif zipfile.is_zipfile(path) or header.startswith(b"PK\x03\x04"):
            listed = _npz(path)
        elif h5py.is_hdf5(path):
            with open_hdf5(path) as file:
                columns_first = header.startswith(b"MATLAB") or b"Julia" in header
                listed = [
                    dataclasses.replace(array, reversed=columns_first or array.kind != "")
                    for array in _hdf5(path, file)
                ]
        elif is_mat5(header):
            listed = _mat5(path)
        else:
            raise DataError(
                f"{path}: begins with {header[:16]!r}; expected MATLAB v5 or v7.3, HDF5, .npz or .npy"
            )
    return {array.name: array for array in listed}


def open_hdf5(path: Path) -> h5py.File:
    """Opens an HDF5 file for reading; raises DataError if that fails."""
    with damage(f"{path}: cannot be opened as HDF5"):
        return h5py.File(path, "r", locking="best-effort")


def _mat5(path: Path) -> list[StoredArray]:
    """Small arrays of numbers are read together, since each reading starts a process."""
    variables, sizes, found = mat5_variables(path), dict[str, int](), []

    @functools.cache
    def small() -> Mapping[str, np.ndarray]:
        if len(sizes) > 1 and sum(sizes.values()) <= _SLAB_BYTES:
            with contextlib.suppress(DataError):  # one that is damaged is told where it is read
                together = load_mat5(path, list(sizes))
                for array in together.values():
                    array.flags.writeable = False
                return together
        return {}

    def load(name: str) -> Any:
        own = small().get(name) if name in sizes else None
        return load_mat5(path, [name])[name] if own is None else own

    for name, (shape, matlab) in variables.items():
        sparse, matlab = matlab.startswith("sparse"), matlab.removeprefix("sparse ")
        dtype = np.dtype(_V5_TYPES[matlab]) if matlab in _V5_TYPES else None
        size = math.prod(shape) * (dtype or np.dtype("u2")).itemsize
        if dtype is not None and not sparse:
            sizes[name] = size
        stored = 0 if sparse else size  # as far as the file tells
        objects = _objects(matlab.removeprefix(OPAQUE)) if matlab.startswith(OPAQUE) else ""
        read = functools.partial(load, name)
        found.append(
            StoredArray(
                path, name, shape, dtype, "v5", read, kind=matlab, size=stored, sparse=sparse, objects=objects
            )
        )
    return found


def _npz(path: Path) -> list[StoredArray]:
    found = []
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        for info in members[:_MAX_ARRAYS]:
            with archive.open(info) as member:
                array = _npy(path, info.filename.removesuffix(".npy"), member, "npz")
            found.append(dataclasses.replace(array, size=max(info.file_size, array.size)))  # either may lie
    return found


def _npy(path: Path, name: str, file: IO[bytes], kind_of_file: str) -> StoredArray:
    """The array of an .npy file that begins here."""
    if np.lib.format.read_magic(file) == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    size, objects = math.prod(shape) * dtype.itemsize, "Python's objects" if dtype.hasobject else ""

    def load() -> np.ndarray:
        if kind_of_file == "npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[name]

    return StoredArray(path, name, shape, _numeric(dtype), kind_of_file, load, size=size, objects=objects)


def _hdf5(path: Path, group: h5py.Group, depth: int = 0) -> Iterator[StoredArray]:
    """The arrays of a group and of the groups in it, but for MATLAB's own (#refs#)."""
    for name in itertools.islice(group, _MAX_ARRAYS):
        if name.startswith("#"):
            continue
        inner = f"{group.name}/{name}".strip("/")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: {inner} is a link; expected an array of this file")
        member = group[name]
        if isinstance(member, h5py.Group) and "MATLAB_sparse" in member.attrs:
            yield _sparse(path, inner, member, depth)
        elif isinstance(member, h5py.Group) and depth < 2:
            yield from _hdf5(path, member, depth + 1)
        elif isinstance(member, h5py.Dataset):
            kind, empty = _matlab_class(member)
            objects = _objects(kind) if "MATLAB_object_decode" in member.attrs else ""
            dtype = None if objects or kind == "char" else _numeric(member.dtype)
            rows = member.chunks[0] if member.chunks else 1
            shape, size = ((0,), 0) if empty else (member.shape, member.nbytes)
            load = functools.partial(_load_hdf5, path, inner)
            yield StoredArray(path, inner, shape, dtype, "hdf5", load, rows, kind, size, objects=objects)


def _sparse(path: Path, name: str, group: h5py.Group, depth: int) -> StoredArray:
    """A sparse matrix of MATLAB: data of each column, ir (their rows) and jc (where each column ends)."""
    parts = {array.name.split("/")[-1]: array for array in _hdf5(path, group, depth + 1)}
    if "jc" not in parts:
        raise DataError(f"{path}: {name} is sparse and has no jc; expected data, ir and jc")
    jc = parts["jc"]
    shape = (max(math.prod(jc.shape) - 1, 0), int(group.attrs["MATLAB_sparse"]))
    kind = _text(group.attrs.get("MATLAB_class", "double"))
    dtype = parts["data"].dtype if "data" in parts else np.dtype(np.uint8)

    def load() -> scipy.sparse.csr_array:
        """MATLAB's columns are rows here, as its axes are reversed in HDF5."""
        none = np.zeros(0, np.uint8)  # MATLAB leaves out empty parts
        rows, values = (parts[part].read() if part in parts else none for part in ("ir", "data"))
        indices = (values, rows.astype(np.int64), jc.read().astype(np.int64))
        matrix = scipy.sparse.csr_array(indices, shape=shape)
        matrix.check_format(full_check=True)  # else a damaged one could end the process
        return matrix

    return StoredArray(path, name, shape, dtype, "hdf5", load, kind=kind, sparse=True)


def _matlab_class(dataset: h5py.Dataset) -> tuple[str, bool]:
    """MATLAB's class, and whether the array is empty: then MATLAB stores its shape in its place."""
    if dataset.is_virtual or dataset.external:
        where = f"{dataset.file.filename}: {dataset.name.strip('/')}"
        raise DataError(f"{where} lies in another file; expected an array of this file")
    kind = dataset.attrs.get("MATLAB_class", "")
    empty = dataset.shape is None or bool(dataset.attrs.get("MATLAB_empty", 0))
    return _text(kind), empty


def _objects(matlab: str) -> str:
    return f"objects of MATLAB's class {matlab}"


def _text(attribute: Any) -> str:
    return attribute.decode("latin-1") if isinstance(attribute, bytes) else str(attribute)


def _numeric(dtype: np.dtype) -> np.dtype | None:
    return dtype if dtype.kind in "buif" else None


def _load_hdf5(path: Path, name: str) -> np.ndarray:
    with open_hdf5(path) as file:
        return _hdf5_value(file[name])


def _hdf5_value(dataset: h5py.Dataset) -> np.ndarray:
    """Texts as the other formats give them: str, or arrays in a cell; anything else as it is stored."""
    kind, empty = _matlab_class(dataset)
    if empty:
        return np.empty(0, str)
    # Not by its name, for which HDF5 searches the whole file where a cell refers to it.
    require_stored(dataset.file.filename, dataset.nbytes, what=f"an array {dataset.shape} ")
    stored = np.asarray(dataset[()])
    if kind == "char":
        units = np.atleast_2d(stored.T).astype("<u2")  # the letters of a text along the last axis
        texts = [units[place].tobytes().decode("utf-16-le") for place in np.ndindex(units.shape[:-1])]
        return np.array(texts, str).reshape(units.shape[:-1])
    if h5py.check_ref_dtype(dataset.dtype) is h5py.Reference:
        cells = np.empty(stored.T.shape, object)  # MATLAB's axes are reversed
        for place, ref in np.ndenumerate(stored.T):
            cells[place] = _hdf5_value(dataset.file[ref])
        return cells
    return stored


def _texts(value: Any) -> Iterator[str]:
    """The strings in a cell, and in the cells in it, column by column, without empty ones."""
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if isinstance(value, np.ndarray) and not value.size:
        return  # MATLAB's [], of any type
    if isinstance(value, str):
        yield value.rstrip()
    elif isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
        texts = [text for one in value.ravel(order="F").tolist() for text in _texts(one)]
        yield from filter(None, texts)
    else:
        found = getattr(value, "dtype", type(value).__name__)
        raise ValueError(f"a cell that holds {found}; expected text")
