"""MATLAB v5 files that anybody may have made.

SciPy's reader can bring the process down on a damaged file, and nothing catches that.

An array is an element of the file, compressed or not, that holds more elements: flags, shape, name, and then
numbers, characters or, for a cell, more arrays. Headers are read without expanding what follows, and numbers
are expanded no further than their declared shape needs. What is read is charged to a budget before it takes
memory, so that a small file that declares or expands to much is refused.
"""

import contextlib
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
_Bytes = bytes | bytearray | memoryview
_HEADER_BYTES = 128
_NAMED_BYTES = 4096  # flags, shape and name of an array fit into so many
_TEXT_BYTES = 192  # what Python needs at most for an item with a short text, besides the text
_MATRIX, _COMPRESSED = 14, 15
_LOGICAL_FLAG, _COMPLEX_FLAG = 0x200, 0x800
_NUMBERS = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_TEXTS = (1, 2, 16)  # bytes and UTF-8
_WIDE_TEXTS = (4, 17)  # 16 bit integers and UTF-16
_CLASSES = {
    **{1: "cell", 4: "char", 5: "sparse", 6: "double", 7: "single"},
    **{8: "int8", 9: "uint8", 10: "int16", 11: "uint16"},
    **{12: "int32", 13: "uint32", 14: "int64", 15: "uint64"},
}
_DTYPES = {"double": "f8", "single": "f4", "logical": "u1"}
_DEEPEST_CELL = 4
_PACKED_STEP, _EXPANDED_STEP = 2**16, 2**20
_SPARSE_COPIES = 16  # times the stored bytes that rows and values may take as int64 and double


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
        budget = _Budget(self.name, max_bytes)
        budget.take(math.prod(self.shape) * self.dtype.itemsize)
        with _damage_told():
            if self.kind == "sparse":
                return self._filled(budget)
            return self._full(budget)

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
        budget = _Budget(self.name, max_bytes)
        with _damage_told():
            content = self._place.expanded(max_bytes + 1)
            budget.take(len(content))
            if self.kind == "char":
                return [[row] for row in _characters(content, self._place.order, self.shape, budget)]
            return _cell(content, self._place.order, self.shape, budget)

    def _full(self, budget: "_Budget") -> np.ndarray:
        order = self._place.order
        head = self._place.expanded(_NAMED_BYTES)
        number, size, start, _ = _tag(head, _after_name(head, order), order)
        stored = _number_type(number, order)
        if size != math.prod(self.shape) * stored.itemsize:
            raise ValueError(f"shape {self.shape}, but {size} bytes of numbers")
        if stored != self.dtype:
            budget.take(size)  # It is there twice, as stored and as given.
        # What may pad the array, so that the stream comes to its checksum.
        content = self._place.expanded(start + size + 8)
        if len(content) < start + size:
            raise ValueError(f"{size} bytes of numbers, {len(content) - start} are there")
        values = np.frombuffer(content, stored, math.prod(self.shape), start)
        return values.reshape(self.shape, order="F").astype(self.dtype, copy=False)

    def _filled(self, budget: "_Budget") -> np.ndarray:
        order = self._place.order
        content = self._place.expanded(budget.left // _SPARSE_COPIES + 1)
        budget.take(len(content) * _SPARSE_COPIES)
        rows, at = _stored(content, _after_name(content, order), order)
        starts, at = _stored(content, at, order)
        values, _ = _stored(content, at, order)
        held = int(starts[-1]) if len(starts) else 0
        matrix = scipy.sparse.csc_array(
            (values[:held].astype(np.float64), rows[:held], starts), shape=self.shape
        )
        matrix.check_format(full_check=True)
        return matrix.toarray()


def list_mat5(path: Path) -> list[Mat5Array]:
    """The arrays of a file, at most MAX_ARRAYS.

    Raises:
      ValueError: it is no MATLAB v5 file, or damaged.
      OSError: it cannot be read.
    """
    with _damage_told(), open(path, "rb") as file:
        return list(_arrays(path, file))


def is_mat5(header: bytes) -> bool:
    """Whether a file begins as one of MATLAB v5."""
    mark = header[124:_HEADER_BYTES]
    return header.startswith(b"MATLAB") and mark in (b"\x00\x01IM", b"\x01\x00MI")


@contextlib.contextmanager
def _damage_told() -> Iterator[None]:
    """Turns what damaged bytes make the libraries raise into a ValueError."""
    try:
        yield
    except (struct.error, zlib.error, MemoryError, OverflowError, TypeError, IndexError) as error:
        raise ValueError(f"damaged, {error}") from error


class _Budget:
    """Bytes that an array may still take."""

    def __init__(self, name: str, size: int):
        self._name = name
        self._size = size
        self.left = size

    def take(self, size: int) -> None:
        """Charges `size` bytes, before they are allocated.

        Raises:
          ValueError: they are not left.
        """
        self.left -= size
        if self.left < 0:
            raise ValueError(f"{self._name} would take more than {self._size} bytes")


class _Place(NamedTuple):
    """Where the content of an array lies in its file."""

    path: Path
    start: int
    size: int
    compressed: bool
    order: str

    def expanded(self, limit: int) -> _Bytes:
        """What follows the array's own tag, at most `limit` bytes of it."""
        with open(self.path, "rb") as file:
            file.seek(self.start)
            if not self.compressed:
                return file.read(min(self.size, limit))
            content = _expanded(file, self.size, limit + 8)
            del content[:8]
            return content


def _expanded(file: BinaryIO, size: int, limit: int) -> bytearray:
    """At most `limit` bytes of a stream of `size` bytes, step by step: zlib holds twice what it gives."""
    expander, content = zlib.decompressobj(), bytearray()
    end = file.tell() + size
    while len(content) < limit and not expander.eof:
        packed = expander.unconsumed_tail or file.read(min(end - file.tell(), _PACKED_STEP))
        step = expander.decompress(packed, min(limit - len(content), _EXPANDED_STEP))
        if not packed and not step:
            break
        content += step
    return content


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


def _described(content: _Bytes, place: _Place) -> Mat5Array | None:
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
    name = bytes(name).decode("latin-1")
    if not name.isprintable():
        raise ValueError(f"an array of the name {name!r}")
    shape = tuple(np.frombuffer(shape, f"{order}i4").tolist())
    if len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"shape {shape}")
    dtype = np.dtype(_DTYPES.get(kind, kind)) if kind in _DTYPES or "int" in kind else None
    dtype = np.dtype("f8") if kind == "sparse" else dtype
    return Mat5Array(name, shape, kind, dtype, place)


def _after_name(content: _Bytes, order: str) -> int:
    at = 0
    for _ in range(3):
        _, _, at = _element(content, at, order)
    return at


def _tag(content: _Bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Type and bytes of the element at `at`, where its data begin, and where the next element does.

    Data up to 4 bytes share the tag.
    """
    (word,) = struct.unpack_from(f"{order}I", content, at)
    if word >> 16:
        if word >> 16 > 4:
            raise ValueError(f"small element of {word >> 16} bytes")
        return word & 0xFFFF, word >> 16, at + 4, at + 8
    (size,) = struct.unpack_from(f"{order}I", content, at + 4)
    return word, size, at + 8, at + 8 + -(-size // 8) * 8


def _element(content: _Bytes, at: int, order: str) -> tuple[int, memoryview, int]:
    """Type and data of the element at `at`, and where the next begins."""
    number, size, start, following = _tag(content, at, order)
    if start + size > len(content):
        raise ValueError(f"element of {size} bytes, {len(content) - start} are there")
    return number, memoryview(content)[start : start + size], following


def _number_type(number: int, order: str) -> np.dtype:
    if number not in _NUMBERS:
        raise ValueError(f"numbers of type {number}")
    return np.dtype(order + _NUMBERS[number])


def _stored(content: _Bytes, at: int, order: str) -> tuple[np.ndarray, int]:
    number, data, at = _element(content, at, order)
    return np.frombuffer(data, _number_type(number, order)), at


def _characters(content: _Bytes, order: str, shape: tuple[int, ...], budget: _Budget) -> list[str]:
    """The rows of a char matrix."""
    number, data, _ = _element(content, _after_name(content, order), order)
    # As decoded, without its padding, and cut into rows: each takes up to 4 bytes for a character.
    budget.take(shape[0] * _TEXT_BYTES + 12 * len(data))
    if number in _WIDE_TEXTS:
        text = str(data, "utf-16-le" if order == "<" else "utf-16-be")
    elif number in _TEXTS:
        text = str(data, "utf-8")
    else:
        raise ValueError(f"characters of type {number}")
    if shape[0] <= 1:
        return [text.rstrip()] if shape[0] else []
    if len(text) != math.prod(shape):
        raise ValueError(f"shape {shape}, but {len(text)} characters")
    # Stored column by column.
    return [text[row :: shape[0]].rstrip() for row in range(shape[0])]


def _cell(content: _Bytes, order: str, shape: tuple[int, ...], budget: _Budget) -> list[list[str]]:
    cells = [_cell_strings(cell, order, 1, budget) for cell in _cells(content, order, shape, budget)]
    if len(shape) == 2 and min(shape) > 1:
        return [[text for cell in cells[row :: shape[0]] for text in cell] for row in range(shape[0])]
    return cells


def _cells(content: _Bytes, order: str, shape: tuple[int, ...], budget: _Budget) -> Iterator[memoryview]:
    """What is in each cell of a cell array, column by column."""
    budget.take(math.prod(shape) * _TEXT_BYTES)
    at = _after_name(content, order)
    for _ in range(math.prod(shape)):
        number, data, at = _element(content, at, order)
        if number != _MATRIX:
            raise ValueError(f"element of type {number} among its cells")
        yield data


def _cell_strings(content: memoryview, order: str, depth: int, budget: _Budget) -> list[str]:
    """The strings of a cell, and of cells in it."""
    if not content:
        return []
    array = _described(content, _Place(Path(), 0, 0, False, order))
    if array is None or depth > _DEEPEST_CELL:
        raise ValueError("a cell that holds no text")
    if math.prod(array.shape) == 0:
        return []
    if array.kind == "char":
        return _characters(content, order, array.shape, budget)
    if array.kind == "cell":
        inner = _cells(content, order, array.shape, budget)
        return [text for cell in inner for text in _cell_strings(cell, order, depth + 1, budget)]
    raise ValueError(f"a cell that holds a {array.kind}")
