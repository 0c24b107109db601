"""MATLAB v5 files that anybody may have made.

SciPy's reader can bring the process down on a damaged file, and nothing catches that.

An array is an element of the file, compressed or not, that holds more elements: flags, shape, name, and then
numbers, characters or, for a cell, more arrays. Headers are read without expanding what follows, and numbers
are expanded no further than their declared shape needs.
"""

import dataclasses
import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import scipy.sparse

MAX_ARRAYS = 1000
_HEADER_BYTES = 128
_NAMED_BYTES = 4096  # flags, shape and name of an array fit into so many
_MATRIX, _COMPRESSED = 14, 15
_LOGICAL_FLAG, _COMPLEX_FLAG = 0x200, 0x800
_NUMBERS = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_TEXTS = {1: "utf-8", 2: "utf-8", 16: "utf-8"}
_CLASSES = {
    **{1: "cell", 4: "char", 5: "sparse", 6: "double", 7: "single"},
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
_DTYPES = {"double": "f8", "single": "f4", "logical": "u1"}
_DEEPEST_CELL = 4


@dataclasses.dataclass(frozen=True)
class Mat5Array:
    """An array in a file, not read yet.

    Attributes:
      name: of the array.
      shape: as MATLAB has it.
      kind: its class: 'double', 'uint8', 'logical', 'char', 'cell', 'sparse' ..., or 'other'.
      dtype: of its numbers, or None where it holds none.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    dtype: np.dtype | None
    _place: "_Place"

    def numbers(self, max_bytes: int) -> np.ndarray:
        """The array as numbers, axes in MATLAB's order; a sparse matrix is filled up.

        Raises:
          ValueError: it is damaged, holds no numbers, or would be larger than `max_bytes`.
        """
        if self.dtype is None:
            raise ValueError(f"{self.name} is of class {self.kind}")
        size = math.prod(self.shape)
        if size * self.dtype.itemsize > max_bytes:
            raise ValueError(f"{self.name} {self.shape} would be {size * self.dtype.itemsize} bytes")
        try:
            content = self._place.expanded(max_bytes if self.kind == "sparse" else _NAMED_BYTES + 8 * size)
            order = self._place.order
            if self.kind == "sparse":
                return _sparse(content, order, self.shape)
            values, _ = _stored(content, _after_name(content, order), order)
            return _shaped(values, self.shape).astype(self.dtype, copy=False)
        except (struct.error, zlib.error, MemoryError, OverflowError, TypeError, IndexError) as error:
            raise ValueError(f"damaged, {error}") from error

    def strings(self, max_bytes: int) -> list[list[str]]:
        """The texts of a char matrix, one for each row, or of a cell array.

        A cell array of one row or one column has an item for each cell, another cell array one for each row.

        Returns:
          For each item its strings, trailing blanks dropped.

        Raises:
          ValueError: it is damaged, holds no texts, or would be larger than `max_bytes`.
        """
        if self.kind not in ("char", "cell"):
            raise ValueError(f"{self.name} is of class {self.kind}")
        try:
            content, order = self._place.expanded(max_bytes), self._place.order
            if self.kind == "char":
                return [[row] for row in _characters(content, order, self.shape)]
            return _cell(content, order, self.shape)
        except (struct.error, zlib.error, MemoryError, OverflowError, TypeError, IndexError) as error:
            raise ValueError(f"damaged, {error}") from error


def list_mat5(path: Path) -> list[Mat5Array]:
    """The arrays of a file, at most MAX_ARRAYS.

    Raises:
      ValueError: it is no MATLAB v5 file, or damaged.
      OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return list(_arrays(path, file))
    except (struct.error, zlib.error, OverflowError, IndexError) as error:
        raise ValueError(f"damaged, {error}") from error


def is_mat5(header: bytes) -> bool:
    """Whether a file begins as one of MATLAB v5."""
    return (
        len(header) >= _HEADER_BYTES
        and header[126:128] in (b"IM", b"MI")
        and header[124:126]
        in (
            b"\x00\x01",
            b"\x01\x00",
        )
    )


class _Place(NamedTuple):
    """Where the content of an array lies in its file."""

    path: Path
    start: int
    size: int
    compressed: bool
    order: str

    def expanded(self, limit: int) -> bytes:
        """What follows the array's own tag, at most `limit` bytes of it."""
        with open(self.path, "rb") as file:
            file.seek(self.start)
            if not self.compressed:
                return file.read(min(self.size, limit))
            return zlib.decompressobj().decompress(file.read(self.size), limit + 8)[8:]


def _arrays(path: Path, file: BinaryIO) -> Iterator[Mat5Array]:
    end_of_file = file.seek(0, os.SEEK_END)
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    if not is_mat5(header):
        raise ValueError("not a MATLAB v5 file")
    order = "<" if header[126:128] == b"IM" else ">"
    at = _HEADER_BYTES
    for _ in range(MAX_ARRAYS):
        if at >= end_of_file:
            return
        file.seek(at)
        number, size = struct.unpack(f"{order}II", file.read(8))
        place = _Place(path, at + 8, size, number == _COMPRESSED, order)
        at += 8 + size
        if at > end_of_file:
            raise ValueError(f"cut off at {end_of_file} bytes")
        content = file.read(min(size, _NAMED_BYTES))
        if number == _COMPRESSED:
            content = zlib.decompressobj().decompress(content, _NAMED_BYTES)
            (number,), content = struct.unpack_from(f"{order}I", content), content[8:]
        if number != _MATRIX:
            raise ValueError(f"element of type {number} among its arrays")
        array = _described(content, place)
        if array is not None:
            yield array


def _described(content: bytes, place: _Place) -> Mat5Array | None:
    """An array by its flags, shape and name; None for MATLAB's own objects, which lack them."""
    order = place.order
    _, flags, at = _element(content, 0, order)
    word = struct.unpack_from(f"{order}I", flags)[0]
    kind = _CLASSES.get(word & 0xFF, "other")
    if kind == "other" and word & 0xFF not in (2, 3):
        return None
    if word & _COMPLEX_FLAG:
        kind = "complex"
    elif word & _LOGICAL_FLAG and kind != "sparse":
        kind = "logical"
    _, shape, at = _element(content, at, order)
    _, name, _ = _element(content, at, order)
    shape = tuple(np.frombuffer(shape, f"{order}i4").tolist())
    if len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"shape {shape}")
    dtype = np.dtype(_DTYPES.get(kind, kind)) if kind in _DTYPES or "int" in kind else None
    dtype = np.dtype("f8") if kind == "sparse" else dtype
    return Mat5Array(bytes(name).decode("latin-1"), shape, kind, dtype, place)


def _after_name(content: bytes, order: str) -> int:
    at = 0
    for _ in range(3):
        _, _, at = _element(content, at, order)
    return at


def _element(content: bytes, at: int, order: str) -> tuple[int, memoryview, int]:
    """Type and data of the element at `at`, and where the next begins. Data up to 4 bytes share the tag."""
    (word,) = struct.unpack_from(f"{order}I", content, at)
    if word >> 16:
        number, size, start, following = word & 0xFFFF, word >> 16, at + 4, at + 8
        if size > 4:
            raise ValueError(f"small element of {size} bytes")
    else:
        number, (size,), start = word, struct.unpack_from(f"{order}I", content, at + 4), at + 8
        following = start + (size if number == _COMPRESSED else -(-size // 8) * 8)
    if start + size > len(content):
        raise ValueError(f"element of {size} bytes, {len(content) - start} are there")
    return number, memoryview(content)[start : start + size], following


def _stored(content: bytes, at: int, order: str) -> tuple[np.ndarray, int]:
    number, data, at = _element(content, at, order)
    if number not in _NUMBERS:
        raise ValueError(f"numbers of type {number}")
    return np.frombuffer(data, order + _NUMBERS[number]), at


def _shaped(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if len(values) != math.prod(shape):
        raise ValueError(f"shape {shape}, but data of {len(values)} numbers")
    return values.reshape(shape, order="F")


def _sparse(content: bytes, order: str, shape: tuple[int, ...]) -> np.ndarray:
    rows, at = _stored(content, _after_name(content, order), order)
    starts, at = _stored(content, at, order)
    values, _ = _stored(content, at, order)
    held = int(starts[-1]) if len(starts) else 0
    matrix = scipy.sparse.csc_array((values[:held], rows[:held], starts), shape=shape)
    matrix.check_format(full_check=True)
    return matrix.toarray().astype(np.float64)


def _characters(content: bytes, order: str, shape: tuple[int, ...]) -> list[str]:
    """The rows of a char matrix."""
    number, data, _ = _element(content, _after_name(content, order), order)
    if number in (4, 17):
        text = bytes(data).decode("utf-16-le" if order == "<" else "utf-16-be")
        units = list(text) if len(text) * 2 == len(data) else None
    elif number in _TEXTS:
        text = bytes(data).decode("utf-8")
        units = list(text)
    else:
        raise ValueError(f"characters of type {number}")
    if shape[0] <= 1:
        return [text.rstrip()] if shape[0] else []
    if units is None or len(units) != math.prod(shape):
        raise ValueError(f"shape {shape}, but {len(text)} characters")
    # Stored column by column.
    return ["".join(units[row :: shape[0]]).rstrip() for row in range(shape[0])]


def _cell(content: bytes, order: str, shape: tuple[int, ...]) -> list[list[str]]:
    at, cells = _after_name(content, order), []
    for _ in range(math.prod(shape)):
        number, data, at = _element(content, at, order)
        if number != _MATRIX:
            raise ValueError(f"element of type {number} among its cells")
        cells.append(_cell_strings(bytes(data), order, 1))
    if len(shape) == 2 and min(shape) > 1:
        return [[text for cell in cells[row :: shape[0]] for text in cell] for row in range(shape[0])]
    return cells


def _cell_strings(content: bytes, order: str, depth: int) -> list[str]:
    """The strings of a cell, and of cells in it."""
    if not content:
        return []
    array = _described(content, _Place(Path(), 0, 0, False, order))
    if array is None or depth > _DEEPEST_CELL:
        raise ValueError("a cell that holds no text")
    if math.prod(array.shape) == 0:
        return []
    if array.kind == "char":
        return _characters(content, order, array.shape)
    if array.kind == "cell":
        at, found = _after_name(content, order), []
        for _ in range(math.prod(array.shape)):
            number, data, at = _element(content, at, order)
            if number != _MATRIX:
                raise ValueError(f"element of type {number} among its cells")
            found += _cell_strings(bytes(data), order, depth + 1)
        return found
    raise ValueError(f"a cell that holds a {array.kind}")
