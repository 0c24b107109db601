"""The items of codes by row: a JSON object a line in files that may be larger than memory."""

import bisect
import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gch.errors import DataError


class Items(Sequence):
    """Items, read when they are asked for: `items[row]` is a dictionary with `id`, and `text` where there is
    one.

    Args:
      files: paths, each with the number of its lines.

    Raises:
      DataError: a file is missing or has another number of lines.
    """

    def __init__(self, files: Sequence[tuple[Path, int]]):
        self._files = [_Lines(path, count) for path, count in files]
        self._starts = np.cumsum([0, *(count for _, count in files)]).tolist()

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, row: int) -> dict[str, str]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        number = bisect.bisect_right(self._starts, row) - 1
        return self._files[number].read(row - self._starts[number])

    def content(self) -> Iterator[memoryview]:
        """The bytes of all lines as they are in the files, file by file."""
        return (file.content() for file in self._files)


class _Lines:
    def __init__(self, path: Path, count: int):
        self._path = path
        try:
            with open(path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if count else b""
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read, {error}; expected {count} items") from error
        ends = np.flatnonzero(np.frombuffer(self._bytes, np.uint8) == ord("\n"))
        if len(ends) != count:
            raise DataError(f"{path}: {len(ends)} lines, expected {count} items")
        self._ends = ends

    def content(self) -> memoryview:
        return memoryview(self._bytes)[: self._ends[-1] + 1 if len(self._ends) else 0]

    def read(self, line: int) -> dict[str, str]:
        start = self._ends[line - 1] + 1 if line else 0
        try:
            item = json.loads(self._bytes[start : self._ends[line]])
            if not isinstance(item["id"], str) or not isinstance(item.get("text", ""), str):
                raise TypeError("id or text is no text")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self._path}: line {line + 1}: not an item, {error}; expected id") from error
        return item


def item_line(identity: str, text: str | None = None) -> bytes:
    """An item as a line of a file; `Items` reads it."""
    item = {"id": identity} | ({} if text is None else {"text": text})
    try:
        line = json.dumps(item, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # a file's name that is not UTF-8
        line = json.dumps(item).encode("ascii")
    return line + b"\n"
