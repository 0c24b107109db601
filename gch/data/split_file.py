"""Splits that a user brings along, as index files of Python or MATLAB, and the split of a run for MATLAB.

| array      | also called                        | holds                                   |
|------------|------------------------------------|-----------------------------------------|
| query      | test                               | queries                                 |
| retrieval  | database, db                       | what is ranked                          |
| training   | train                              | what is trained on                      |
| validation | valid, val; may be missing         | what is validated on                    |
| base       | may be missing                     | 0 or 1: the number of the first item    |

Case does not matter, and each name may carry 'index' in front or behind, also shortened or in the plural:
indQuery, idx_query, query_index, testIdx.

Each part is a vector of item numbers in any numeric type and any order, or a mask of logical type with an
entry for each item of the data set. Where the file has no `base`, it counts from 0 if any number is 0, from 1
if any number is that of all items; otherwise a .npz file counts from 0 and MATLAB's files count from 1.
"""

import contextlib
import math
import os
import re
import struct
import textwrap
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import BinaryIO, NamedTuple

import h5py
import numpy as np
import scipy.io

from gch.data.split import Split, shared_row
from gch.errors import DataError
from gch.storage import atomic_path

EXPECTED = "expected .npz or .mat with query, retrieval and training"

_BASE = "base"
_STEMS = {
    "query": "query|queries|test",
    "retrieval": "retrieval|database|db",
    "training": "training|train",
    "validation": "validation|valid|val",
}
_AFFIX = "(?:index|indices|ind|inds|idx)"
_PATTERNS = {
    part: re.compile(f"(?:{_AFFIX}_?)?(?:{stem})(?:_?{_AFFIX})?", re.IGNORECASE)
    for part, stem in _STEMS.items()
} | {_BASE: re.compile(_BASE, re.IGNORECASE)}
_MATLAB_NUMBERS = {
    "double",
    "single",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_LOGICAL = "logical"


_V5_HEADER = 128
_V5_MATRIX, _V5_COMPRESSED = 14, 15
_V5_LOGICAL_FLAG, _V5_COMPLEX_FLAG = 0x200, 0x800
_V5_NUMBERS = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_V5_CLASSES = {
    **{1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single"},
    **{
        8: "int8",
        9: "uint8",
        10: "int16",
        11: "uint16",
        12: "int32",
        13: "uint32",
        14: "int64",
        15: "uint64",
    },
}


class _Stored(NamedTuple):
    """An array as the file has it: a vector of numbers, or of bool if it is a mask."""

    name: str
    values: np.ndarray


def read_split_file(path: str | os.PathLike, total: int, seed: int, validation_size: int) -> Split:
    """Reads index files as the description of this module tells.

    Args:
      path: a .npz file, or a .mat file (v5 or v7.3). What it is, its content tells.
      total: number of items in the data set that the split is for.
      seed: any integer from 0 on; draws the validation set where the file has none.
      validation_size: 0 or more, how many items are drawn for it. They leave the training set. An array
        `validation` in the file, even an empty one, stands as it is.

    Returns:
      A split with one item or more in each part but validation.

    Raises:
      DataError: the file is missing, damaged or of another kind; an array is missing or holds something else
        than different items of the data set; parts share items that must not; or no training item is left.
    """
    path = Path(path)
    stored, usual_base = _read(path, total)
    given = stored.pop(_BASE, None)
    parts = {
        part: _Stored(name, _whole(path, name, values, total)) for part, (name, values) in stored.items()
    }
    base = (
        _counted_from(path, parts.values(), total, usual_base) if given is None else _told_base(path, given)
    )
    rows = {part: _rows(path, name, values, total, base) for part, (name, values) in parts.items()}
    if "validation" not in rows:
        rows["training"], rows["validation"] = _draw(path, rows["training"], seed, validation_size)
    split = Split(**rows)
    shared = shared_row(split)
    if shared:
        one, other = (parts[part].name for part in shared[:2])
        raise DataError(
            f"{path}: {one} and {other} share item {shared[2] + base} (counted from {base}), "
            "expected no shared item"
        )
    return split


def export_split(path_mat: str | os.PathLike, split: Split) -> None:
    """Writes the split for MATLAB (v5), atomically; `read_split_file` reads it too.

    The arrays query, retrieval, training and validation are columns of doubles that count from 1, which index
    MATLAB's arrays as they are; `base` is 1.
    """
    columns = {field.name: getattr(split, field.name)[:, None] + 1.0 for field in fields(Split)}
    with atomic_path(path_mat) as temporary:
        scipy.io.savemat(temporary, columns | {_BASE: 1.0}, appendmat=False, do_compression=True)


# ---------------------------------------------------------------- from the file


def _read(path: Path, total: int) -> tuple[dict[str, _Stored], int]:
    """The parts and the base that the file has, and what a file of its kind usually counts from."""
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise DataError(f"{path}: empty file, {EXPECTED}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: {reason}, {EXPECTED}") from error
    with _blamed(path, f"no index file; {EXPECTED}"):
        if h5py.is_hdf5(path):
            return _read_hdf5(path, total), 1
        if zipfile.is_zipfile(path):
            return _read_npz(path, total), 0
        return _read_mat5(path, total), 1


@contextlib.contextmanager
def _blamed(path: Path, fault: str) -> Iterator[None]:
    """Turns what NumPy, SciPy and h5py raise on foreign bytes, nearly anything, into DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        reason = _line(str(error)) or type(error).__name__
        raise DataError(f"{path}: {fault} ({reason})") from error


def _read_npz(path: Path, total: int) -> dict[str, _Stored]:
    limit = 2**26 + 64 * total
    with zipfile.ZipFile(path) as archive:
        sizes = [(info.filename.removesuffix(".npy"), info.file_size) for info in archive.infolist()]
    chosen = _chosen(path, (name for name, _ in sizes))
    for name, size in sizes:
        if name in chosen.values() and size > limit:
            raise DataError(f"{path}: {name} declares {size} bytes, expected {limit} at most")
    arrays = {}
    with np.load(path, allow_pickle=False) as file:
        for part, name in chosen.items():
            with _blamed(path, f"{name} cannot be read, expected an array of numbers"):
                values = np.asarray(file[name])
            _require_vector(path, part, name, values.shape, total)
            arrays[part] = _stored(path, name, values, values.dtype == bool)
    return arrays


def _read_mat5(path: Path, total: int) -> dict[str, _Stored]:
    limit = 2**12 + 8 * total
    with open(path, "rb") as file:
        listed = {matrix.name: matrix for matrix in _mat5_matrices(file, limit)}
    arrays = {}
    for part, name in _chosen(path, listed).items():
        matrix = listed[name]
        _require_numbers(path, name, matrix.kind)
        _require_vector(path, part, name, matrix.shape, total)
        with _blamed(path, f"{name} cannot be read, expected an array of numbers"):
            values = matrix.numbers()
        arrays[part] = _stored(path, name, values, matrix.kind == _LOGICAL)
    return arrays


def _read_hdf5(path: Path, total: int) -> dict[str, _Stored]:
    arrays = {}
    with h5py.File(path, "r", locking="best-effort") as file:
        for part, name in _chosen(path, file).items():
            with _blamed(path, f"{name} cannot be read, expected an array of numbers"):
                dataset = file[name]
                if not isinstance(dataset, h5py.Dataset):
                    raise DataError(f"{path}: {name} is a group, expected an array of numbers")
                kind = dataset.attrs.get("MATLAB_class", b"")
                kind = kind.decode() if isinstance(kind, bytes) else str(kind)
                if kind:
                    _require_numbers(path, name, kind)
                # MATLAB stores the shape of an empty array in its place.
                empty = dataset.shape is None or dataset.attrs.get("MATLAB_empty", 0)
                shape = (0,) if empty else dataset.shape
                _require_vector(path, part, name, shape, total)
                _require_type(path, name, dataset.dtype)
                values = np.zeros(0) if empty else np.asarray(dataset[()])
            arrays[part] = _stored(path, name, values, kind == _LOGICAL or values.dtype == bool)
    return arrays


def _chosen(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Which array of the file is which part."""
    names = list(dict.fromkeys(names))
    chosen = {}
    for part, pattern in _PATTERNS.items():
        fitting = [name for name in names if pattern.fullmatch(name)]
        if len(fitting) > 1:
            raise DataError(
                f"{path}: {fitting[0]} and {fitting[1]} both mean {part}, expected one array for it"
            )
        if fitting:
            chosen[part] = fitting[0]
        elif part in ("query", "retrieval", "training"):
            found = _line(", ".join(names)) or "no array"
            raise DataError(f"{path}: {part} is missing, found {found}; {EXPECTED}")
    return chosen


def _stored(path: Path, name: str, values: np.ndarray, mask: bool) -> _Stored:
    _require_type(path, name, values.dtype)
    values = values.reshape(-1)
    return _Stored(name, values != 0 if mask else values)


def _require_type(path: Path, name: str, dtype: np.dtype) -> None:
    if dtype.kind not in "buif":
        raise DataError(f"{path}: {name} is of type {_line(str(dtype))}, expected numbers")


def _require_numbers(path: Path, name: str, kind: str) -> None:
    if kind not in _MATLAB_NUMBERS and kind != _LOGICAL:
        raise DataError(f"{path}: {name} is of MATLAB's class {_line(kind)}, expected numbers")


def _require_vector(path: Path, part: str, name: str, shape: tuple[int, ...], total: int) -> None:
    shape = tuple(int(length) for length in shape)
    size = math.prod(shape)
    if part == _BASE:
        if size != 1:
            raise DataError(f"{path}: {name} has shape {shape}, expected one number, 0 or 1")
        return
    if size < 0 or len(shape) not in (1, 2) or (len(shape) == 2 and min(shape) > 1):
        raise DataError(f"{path}: {name} has shape {shape}, expected (n,), (1, n) or (n, 1)")
    if size > total:
        raise DataError(f"{path}: {name} has {size} entries, expected {total} at most, the items there are")
    if size == 0 and part != "validation":
        raise DataError(f"{path}: {name} is empty, expected one item or more")


# ---------------------------------------------------------------- MATLAB v5
#
# SciPy's reader looks up the type of an element without checking it, so that a damaged file can end the
# process, and it expands a compressed array whole before its size is known. Vectors of numbers need little of
# the format.


class _Matrix(NamedTuple):
    """An array of a v5 file: `content` holds the elements that follow its name, as far as they were read."""

    name: str
    kind: str
    shape: tuple[int, ...]
    content: bytes
    order: str

    def numbers(self) -> np.ndarray:
        number, data, _ = _mat5_element(self.content, 0, self.order)
        if number not in _V5_NUMBERS:
            raise ValueError(f"its data are of type {number}")
        values = np.frombuffer(data, self.order + _V5_NUMBERS[number])
        if len(values) != math.prod(self.shape):
            raise ValueError(f"shape {self.shape}, but data of {len(values)} numbers")
        return values


def _mat5_matrices(file: BinaryIO, limit: int) -> Iterator[_Matrix]:
    """The arrays of a file, of each no more than `limit` bytes, expanded if they are compressed."""
    size_of_file = file.seek(0, os.SEEK_END)
    file.seek(0)
    header = file.read(_V5_HEADER)
    order = {b"IM": "<", b"MI": ">"}.get(header[-2:])
    if len(header) < _V5_HEADER or order is None:
        raise ValueError("neither .npz nor MATLAB v5 or v7.3")
    end = _V5_HEADER
    while end < size_of_file:
        file.seek(end)
        number, size = struct.unpack(f"{order}II", file.read(8))
        end += 8 + size
        if end > size_of_file:
            raise ValueError(f"cut off at {size_of_file} bytes")
        content = file.read(min(size, limit))
        if number == _V5_COMPRESSED:
            content = zlib.decompressobj().decompress(content, limit)
            number, content = struct.unpack_from(f"{order}I", content)[0], content[8:]
        if number != _V5_MATRIX:
            raise ValueError(f"element of type {number} among its arrays")
        matrix = _mat5_matrix(content, order)
        if matrix is not None:
            yield matrix


def _mat5_matrix(content: bytes, order: str) -> _Matrix | None:
    """Reads flags, shape and name; None for an object, which has none of its own."""
    _, flags, at = _mat5_element(content, 0, order)
    (word,) = struct.unpack_from(f"{order}I", flags)
    kind = _V5_CLASSES.get(word & 0xFF)
    if kind is None:
        return None
    if word & _V5_LOGICAL_FLAG:
        kind = _LOGICAL
    elif word & _V5_COMPLEX_FLAG:
        kind = f"complex {kind}"
    _, shape, at = _mat5_element(content, at, order)
    _, name, at = _mat5_element(content, at, order)
    shape = tuple(np.frombuffer(shape, f"{order}i4").tolist())
    return _Matrix(name.decode("latin-1"), kind, shape, content[at:], order)


def _mat5_element(content: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Type and data of the element at `at`, and where the next begins. Data up to 4 bytes share the tag."""
    (word,) = struct.unpack_from(f"{order}I", content, at)
    if word >> 16:
        number, size, start, following = word & 0xFFFF, word >> 16, at + 4, at + 8
        if size > 4:
            raise ValueError(f"small element of {size} bytes")
    else:
        number, (size,), start = word, struct.unpack_from(f"{order}I", content, at + 4), at + 8
        following = start + -(-size // 8) * 8
    if start + size > len(content):
        raise ValueError(f"element of {size} bytes, {len(content) - start} are there")
    return number, content[start : start + size], following


# ---------------------------------------------------------------- what it says


def _whole(path: Path, name: str, values: np.ndarray, total: int) -> np.ndarray:
    """The numbers as int64, from 0 to `total`; masks are as they were."""
    if values.dtype == bool:
        return values
    if values.dtype.kind == "f":
        values = values.astype(np.float64)  # A smaller type may not hold `total`.
    with np.errstate(invalid="ignore"):
        right = (values >= 0) & (values <= total) & (values == np.floor(values))
    if not right.all():
        raise DataError(
            f"{path}: {name} holds {values[~right][0]}, "
            f"expected whole numbers from 0 to {total - 1} or from 1 to {total}"
        )
    return values.astype(np.int64)


def _told_base(path: Path, given: _Stored) -> int:
    value = given.values[0]
    if value not in (0, 1):
        raise DataError(f"{path}: {given.name} is {value}, expected 0 or 1")
    return int(value)


def _counted_from(path: Path, parts: Iterable[_Stored], total: int, usual: int) -> int:
    """What the item numbers of a file without a base count from."""
    numbers = [(name, values) for name, values in parts if values.dtype != bool]
    first = next((name for name, values in numbers if (values == 0).any()), None)
    last = next((name for name, values in numbers if (values == total).any()), None)
    if first and last:
        raise DataError(
            f"{path}: {first} holds 0 and {last} holds {total}, "
            f"expected numbers from 0 to {total - 1} or from 1 to {total}"
        )
    if first or last:
        return 0 if first else 1
    return usual


def _rows(path: Path, name: str, values: np.ndarray, total: int, base: int) -> np.ndarray:
    """The rows of a part, counted from 0, ascending."""
    if values.dtype == bool:
        if len(values) not in (0, total):
            raise DataError(f"{path}: {name} is a mask of {len(values)} entries, expected {total}")
        rows = np.flatnonzero(values).astype(np.int64)
        # Only an array without entries says that there are no validation items on purpose.
        if len(values) and not len(rows):
            raise DataError(f"{path}: {name} is a mask that holds no item, expected one item or more")
        return rows
    rows = np.sort(values) - base
    wrong = rows[(rows < 0) | (rows >= total)]
    if len(wrong):
        raise DataError(
            f"{path}: {name} holds {wrong[0] + base}, "
            f"expected numbers from {base} to {total - 1 + base}, counted from {base}"
        )
    twice = rows[1:][np.diff(rows) == 0]
    if len(twice):
        raise DataError(f"{path}: {name} holds item {twice[0] + base} twice, expected every item once")
    return rows


def _draw(path: Path, training: np.ndarray, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The training items that stay, and those that validate."""
    if size >= len(training):
        raise DataError(
            f"{path}: training has {len(training)} items, "
            f"expected more than the {size} that leave it to validate"
        )
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(training)
    return np.sort(drawn[size:]), np.sort(drawn[:size])


def _line(text: str) -> str:
    """What a file or a library says, short, on one line and without control characters."""
    short = textwrap.shorten(text, 200, placeholder=" ...")
    return "".join(character if character.isprintable() else "?" for character in short)
