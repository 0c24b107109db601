"""The codes of a collection on disk: what `encode` writes and an index is built from.

codes.json     what the codes are (`CodesNote`), and how far the encoding is
00000.codes    packed codes, K / 8 bytes an item and nothing else; then 00001.codes ...
00000.items    the items of the same rows, a JSON object a line: id, and text where there is one
skipped.jsonl  what could not be encoded: id and reason

Codes and items of several parts or folders are one after the other, so `cat` joins them. A folder may hold
folders 'shard-1-of-3' ... 'shard-3-of-3' instead, which count as one when all are there.

A byte holds eight bits of a code, the first in its highest bit, as of numpy.packbits and of FAISS.
"""

import bisect
import dataclasses
import json
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gch.errors import DataError
from gch.search.note_file import read_note_file

NOTE = "codes.json"
SKIPPED = "skipped.jsonl"
MODALITIES = ("image", "text")
EXPECTED = "expected a folder that `encode` wrote"
_SHARD = re.compile(r"shard-(\d+)-of-(\d+)")


@dataclasses.dataclass(frozen=True)
class Part:
    """A pair of files: their name without suffix, the number of items, and the length of the .items file."""

    name: str
    items: int
    items_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodesNote:
    """What codes.json says."""

    bits: int  # length of a code K, a multiple of 8
    modality: str
    model: str  # digest of the model
    root: str  # absolute path of the folder that ids of pictures are relative to; '' for texts
    source: str  # digest of the list of what is encoded
    shard: tuple[int, int]  # number of this shard, from 1 on, and number of shards
    entries: int  # of this shard, broken ones too
    done: int = 0  # entries that are encoded or skipped
    skipped: int = 0  # of these
    skipped_bytes: int = 0  # length of skipped.jsonl
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES or self.bits < 8 or self.bits % 8:
            raise ValueError(f"codes of {self.bits} bits of {self.modality!r}")
        if any(not re.fullmatch(r"\d{5}", part.name) for part in self.parts):
            raise ValueError("a part has another name than five digits")

    @property
    def items(self) -> int:
        """Number of coded items N."""
        return sum(part.items for part in self.parts)

    @property
    def finished(self) -> bool:
        """Whether every entry was encoded or skipped."""
        return self.done == self.entries


class Items:
    """The items of codes by row, in files that may be larger than memory.

    `items[row]` is a dictionary with `id`, and `text` where there is one.

    Args:
      files: paths, each with the number of its lines.

    Raises:
      DataError: a file is missing or has another number of lines.
    """

    def __init__(self, files: Sequence[tuple[Path, int]]):
        self._files = [(path, *_lines(path, count)) for path, count in files]
        self._starts = np.cumsum([0, *(count for _, count in files)]).tolist()

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, row: int) -> dict[str, str]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        number = bisect.bisect_right(self._starts, row) - 1
        path, content, ends = self._files[number]
        line = row - self._starts[number]
        start = ends[line - 1] + 1 if line else 0
        try:
            item = json.loads(content[start : ends[line]])
            if not isinstance(item["id"], str) or not isinstance(item.get("text", ""), str):
                raise TypeError("id or text is no string")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: line {line + 1}: not an item, {error}; expected id") from error
        return item

    def at(self, rows: Sequence[int]) -> list[dict[str, str]]:
        """The items at rows."""
        return [self[row] for row in rows]

    def content(self) -> Iterator[memoryview]:
        """The bytes of all lines as they are in the files, file by file."""
        for _, content, ends in self._files:
            yield memoryview(content)[: ends[-1] + 1 if len(ends) else 0]


def item_line(identity: str, text: str | None = None) -> bytes:
    """An item as a line of a file; `Items` reads it."""
    item = {"id": identity} | ({} if text is None else {"text": text})
    try:
        line = json.dumps(item, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # a file's name that is not UTF-8
        line = json.dumps(item).encode("ascii")
    return line + b"\n"


@dataclasses.dataclass(frozen=True, eq=False)
class Codes:
    """Coded items of one modality, which were read from `path`; see `CodesNote`."""

    path: Path
    bits: int
    modality: str
    model: str
    root: str
    codes: np.ndarray  # uint8 (N, K / 8), packed; memory-mapped where there is one part
    items: Items  # N


def open_codes(path: Path) -> Codes:
    """Opens the codes in a folder, or in the folder of all shards of one.

    Raises:
      DataError: there are none, they are not finished, damaged, or a shard is missing or of something else.
    """
    path = Path(path)
    folders = _folders(path)
    notes = [read_note(folder) for folder in folders]
    first = notes[0]
    for folder, note in zip(folders, notes, strict=True):
        if not note.finished:
            raise DataError(
                f"{folder}: {note.done} of {note.entries} entries are encoded; expected all, run encode again"
            )
        for name in ("bits", "modality", "model", "root", "source"):
            if getattr(note, name) != getattr(first, name):
                raise DataError(
                    f"{folder}: {name} is {getattr(note, name)!r}, of {folders[0].name} "
                    f"{getattr(first, name)!r}; expected shards of the same command"
                )
    parts = [
        (folder / part.name, part.items)
        for folder, note in zip(folders, notes, strict=True)
        for part in note.parts
    ]
    arrays = [read_codes_file(part.with_suffix(".codes"), items, first.bits) for part, items in parts]
    none = np.empty((0, first.bits // 8), np.uint8)
    codes = arrays[0] if len(arrays) == 1 else np.concatenate([none, *arrays])
    items = Items([(part.with_suffix(".items"), items) for part, items in parts])
    return Codes(path, first.bits, first.modality, first.model, first.root, codes, items)


def read_note(folder: Path) -> CodesNote:
    """What codes.json in a folder says; raises DataError where it is missing or damaged."""
    return read_note_file(folder / NOTE, CodesNote, EXPECTED)


def shard_folder(out: Path, shard: tuple[int, int]) -> Path:
    """Where a shard is written: `out` itself where it is the only one."""
    number, count = shard
    return out if count == 1 else out / f"shard-{number}-of-{count}"


def read_codes_file(path: Path, items: int, bits: int) -> np.ndarray:
    """Packed codes, uint8 (N, K / 8), memory-mapped; raises DataError where the file is not of them."""
    width = bits // 8
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read, {error.strerror or error}; {EXPECTED}") from error
    if size != items * width:
        raise DataError(f"{path}: {size} bytes, expected {items} codes of {width}")
    return np.memmap(path, np.uint8, "r", shape=(items, width)) if items else np.empty((0, width), np.uint8)


def require_one_model(sources: Sequence[Codes], others: Sequence[tuple[str, int, str]] = ()) -> None:
    """Raises DataError where codes do not compare, or there are none.

    Args:
      sources: codes that are put together.
      others: place, bits and model of codes that they are put to.
    """
    if not any(len(codes.codes) for codes in sources):
        where = ", ".join(str(codes.path) for codes in sources) or "nothing"
        raise DataError(f"{where}: no codes to index; expected folders that `encode` wrote")
    (place, *first), *rest = [*others, *((str(one.path), one.bits, one.model) for one in sources)]
    for other, bits, model in rest:
        if [bits, model] != first:
            raise DataError(
                f"{other}: codes of {bits} bits by the model {model[:12]}, {place}: of {first[0]} bits "
                f"by {str(first[1])[:12]}; expected codes of one model"
            )


def _folders(path: Path) -> list[Path]:
    if (path / NOTE).is_file() or not path.is_dir():
        return [path]
    names = (_SHARD.fullmatch(inner.name) for inner in path.iterdir())
    shards = {(int(name[1]), int(name[2])) for name in names if name}
    if not shards:
        return [path]
    count, *others = sorted({count for _, count in shards})
    if others:
        raise DataError(f"{path}: shards of {count} and of {others[0]}; expected those of one command")
    missing = [str(number) for number in range(1, count + 1) if (number, count) not in shards]
    if missing:
        raise DataError(f"{path}: shard {', '.join(missing)} of {count} is missing; expected all of them")
    return [shard_folder(path, (number, count)) for number in range(1, count + 1)]


def _lines(path: Path, count: int) -> tuple[mmap.mmap | bytes, np.ndarray]:
    """The content of a file, and where its lines end."""
    try:
        with open(path, "rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if count else b""
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read, {error}; expected {count} items") from error
    ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))
    if len(ends) != count:
        raise DataError(f"{path}: {len(ends)} lines, expected {count} items")
    return content, ends
