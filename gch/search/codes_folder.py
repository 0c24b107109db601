"""The codes of a collection on disk: what `encode` writes and an index is built from.

codes.json     what the codes are (`CodesNote`), and how far the encoding is
00000.codes    codes packed as by numpy.packbits, K / 8 bytes an item; then 00001.codes ...
00000.items    the items of the same rows, a JSON object a line: id, and text where there is one
skipped.jsonl  what could not be encoded, or of a pair only its text: id and reason

A folder may hold folders 'shard-1-of-3' ... 'shard-3-of-3' instead, which count as one once all are there.
"""

import bisect
import dataclasses
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gch.data.text_files import json_of, object_of, opened, shown
from gch.errors import DataError, RunError
from gch.search.note_file import read_note_file, require_bits, require_bytes, write_note_file
from gch.storage import lock

NOTE = "codes.json"
SKIPPED = "skipped.jsonl"
MODALITIES = ("image", "text", "pair")
PART_ITEMS = 1_000_000  # most codes in a file
_AT_ONCE, _LINE_END = 2**20, ord("\n")  # bytes that are searched for ends of lines
_SAME = ("bits", "modality", "model", "root", "source", "shard", "entries")
_SHARD = re.compile(r"shard-([0-9]{1,6})-of-([0-9]{1,6})")
_TEXT = ("a text", lambda value: isinstance(value, str))


@dataclasses.dataclass(frozen=True)
class Part:
    """A pair of files."""

    name: str  # without suffix
    items: int
    items_bytes: int  # length of the .items file
    checksum: int = 0  # CRC-32 of the .codes file; 0: of an earlier version, which kept none


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodesNote:
    """The content of codes.json."""

    bits: int  # length of a code K, a multiple of 8
    modality: str
    model: str  # digest of the model
    root: str  # absolute path of the folder that ids of pictures are relative to; '' for texts
    source: str  # digest of the list of what is encoded
    shard: tuple[int, int]  # number of this shard, from 1 on, and number of shards
    entries: int  # of this shard, broken ones too
    done: int = 0  # entries that are encoded or skipped
    skipped: int = 0  # of these
    text_only: int = 0  # of the coded pairs, those whose picture could not be read
    skipped_bytes: int = 0  # length of skipped.jsonl
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        require_bits(self.bits)
        if self.modality not in MODALITIES:
            raise ValueError(f"modality is {shown(self.modality)}, expected {' or '.join(MODALITIES)}")
        if any(not re.fullmatch("[0-9]{5}", part.name) for part in self.parts):
            raise ValueError("a part has another name than five digits")
        if self.items + self.skipped != self.done or self.done > self.entries:
            found = f"{self.items} items and {self.skipped} skipped of {self.entries} entries"
            raise ValueError(f"done is {self.done}, {found}; expected their sum")

    @property
    def items(self) -> int:
        """Number of coded items N."""
        return sum(part.items for part in self.parts)

    @property
    def finished(self) -> bool:
        """Whether every entry was encoded or skipped."""
        return self.done == self.entries


class Items:
    """Items by row, dictionaries of id and perhaps text, in files that may be larger than memory.

    Raises:
      DataError: a file is missing, or its number of lines differs from the one given with its path.
    """

    def __init__(self, files: Sequence[tuple[Path, int]]):
        self._files = []  # path, content, uint8, and where its lines end
        for path, count in files:
            content = np.empty(0, np.uint8)
            if count:
                with opened(path, f"expected {count} items") as file:
                    content = np.asarray(np.memmap(file, np.uint8, "r"))
            starts = range(0, len(content), _AT_ONCE)
            found = [
                start + np.flatnonzero(content[start : start + _AT_ONCE] == _LINE_END) for start in starts
            ]
            ends = np.concatenate([np.empty(0, np.int64), *found])
            if len(ends) != count:
                raise DataError(f"{path}: {len(ends)} lines, expected {count} items")
            self._files.append((path, content, ends))
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
        return item_of(content[start : ends[line]].tobytes(), f"{path}: line {line + 1}")

    def at(self, rows: Sequence[int]) -> list[dict[str, str]]:
        """The items at rows."""
        return [self[row] for row in rows]

    def content(self) -> Iterator[np.ndarray]:
        """The bytes of each file, uint8."""
        return (content[: ends[-1] + 1 if len(ends) else 0] for _, content, ends in self._files)


def item_line(identity: str, text: str | None = None) -> bytes:
    """An item as a line of a file; `Items` reads it."""
    item = {"id": identity} | ({} if text is None else {"text": text})
    try:
        line = json.dumps(item, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # a file's name that is not UTF-8
        line = json.dumps(item).encode("ascii")
    return line + b"\n"


def item_of(line: str | bytes, where: str) -> dict[str, str]:
    """The item of a line that `item_line` made; raises DataError where it is another one."""
    item = json_of(line, where)
    has_text = isinstance(item, dict) and "text" in item
    return object_of(item, where, dict.fromkeys(("id", "text") if has_text else ("id",), _TEXT))


@dataclasses.dataclass(frozen=True, eq=False)
class Codes:
    """Coded items of one modality; see `CodesNote`."""

    path: Path  # where they are
    bits: int
    modality: str
    model: str
    root: str
    codes: np.ndarray  # uint8 (N, K / 8), packed; memory-mapped where there is one part
    items: Items  # N


def open_codes(path: Path) -> Codes:
    """Opens the codes in a folder, or in the folder of all its shards.

    Raises:
      DataError: they are missing, unfinished or damaged, or a shard is missing or from another command.
    """
    path = Path(path)
    folders = _folders(path)
    notes = [read_note(folder) for folder in folders]
    first = notes[0]
    for folder, note in zip(folders, notes, strict=True):
        if not note.finished:
            done = f"{note.done} of {note.entries} entries are encoded"
            raise DataError(f"{folder}: {done}; expected all; run encode again")
        for name in ("bits", "modality", "model", "root", "source"):
            found, expected = getattr(note, name), getattr(first, name)
            if found != expected:
                raise DataError(
                    f"{folder}: {name} is {found!r}; expected {expected!r}, as of {folders[0].name}"
                )
    parts = [(folder, part) for folder, note in zip(folders, notes, strict=True) for part in note.parts]
    arrays = [
        read_codes_file(
            place / f"{part.name}.codes", part.items, first.bits, part.checksum, "encode into another folder"
        )
        for place, part in parts
    ]
    none = np.empty((0, first.bits // 8), np.uint8)
    codes = arrays[0] if len(arrays) == 1 else np.concatenate([none, *arrays])
    items = Items([(folder / f"{part.name}.items", part.items) for folder, part in parts])
    return Codes(path, first.bits, first.modality, first.model, first.root, codes, items)


def read_note(folder: Path) -> CodesNote:
    """The content of codes.json in a folder."""
    return read_note_file(folder / NOTE, CodesNote, "expected a folder that `encode` wrote")


def shard_folder(out: Path, shard: tuple[int, int]) -> Path:
    """The folder of a shard: `out` itself if it is the only one."""
    number, count = shard
    return out if count == 1 else out / f"shard-{number}-of-{count}"


def read_codes_file(path: Path, items: int, bits: int, checksum: int = 0, advice: str = "") -> np.ndarray:
    """Packed codes, uint8 (N, K / 8), memory-mapped; their CRC-32 is checked where it is not 0."""
    shape = items, bits // 8
    require_bytes(path, items * shape[1], f"{items} codes of {shape[1]}")
    codes = np.memmap(path, np.uint8, "r", shape=shape) if items else np.empty(shape, np.uint8)
    if checksum and zlib.crc32(codes.data) != checksum:
        raise DataError(f"{path}: damaged, its checksum differs; {advice}")
    return codes


def by_modality(sources: Sequence[Codes]) -> dict[str, list[Codes]]:
    """The codes by modality, without modalities of which nothing was coded."""
    groups = {name: [one for one in sources if one.modality == name] for name in MODALITIES}
    return {name: group for name, group in groups.items() if any(len(one.codes) for one in group)}


def require_one_model(sources: Sequence[Codes], others: Sequence[tuple[str, int, str]] = ()) -> None:
    """Raises DataError where there are no codes, or they do not compare with `others`: place, bits, model."""
    if not any(len(codes.codes) for codes in sources):
        where = ", ".join(str(codes.path) for codes in sources) or "nothing"
        raise DataError(f"{where}: no codes to index; expected folders that `encode` wrote")
    first, *rest = [*others, *((str(one.path), one.bits, one.model) for one in sources)]
    for other in rest:
        if other[1:] != first[1:]:
            found = [
                f"{place}: {bits} bits by the model {model[:12]}" for place, bits, model in (other, first)
            ]
            raise DataError(f"{', '.join(found)}; expected codes of one model")


def _folders(path: Path) -> list[Path]:
    if (path / NOTE).is_file() or not path.is_dir():
        return [path]
    shards = [found for inner in path.iterdir() if (found := _SHARD.fullmatch(inner.name))]
    if not shards:
        return [path]
    count, *others = sorted({int(shard[2]) for shard in shards})
    if others:
        raise DataError(f"{path}: shards of {count} and of {others[0]}; expected those of one command")
    folders = [shard_folder(path, (number, count)) for number in range(1, count + 1)]
    missing = [str(number) for number, folder in enumerate(folders, 1) if not folder.exists()]
    if missing:
        raise DataError(f"{path}: shard {', '.join(missing)} of {count} is missing; expected all of them")
    return folders


class CodesWriter:
    """Appends codes to a folder, in parts of `PART_ITEMS`; a context that locks it.

    `note` holds the progress. Opening it again cuts off what was written after the last `save`.

    Raises:
      RunError: the folder holds other codes, another process writes to it, or it cannot be written.
      DataError: what it holds is damaged.
    """

    def __init__(self, folder: Path, note: CodesNote):
        self._folder = folder
        self._require_own()  # before a lock is written into a folder of something else
        self._lock = lock(folder, "another process is writing codes to it")
        self.note = self._found(note)
        self._parts, self._skips = list(self.note.parts), self.note.skipped
        for name, length in {SKIPPED: self.note.skipped_bytes, **self._lengths(*self._parts)}.items():
            self._require(name, length)  # before any is changed
        self._text_only = self.note.text_only
        self._skipped = self._appending(SKIPPED, self.note.skipped_bytes)
        self._files = self._opened(self._parts[-1]) if self._parts else ()

    def __enter__(self) -> "CodesWriter":
        return self

    def __exit__(self, *error: object) -> None:
        for file in (*self._files, self._skipped):
            file.close()
        self._lock.release()

    def write(self, codes: np.ndarray, items: Iterable[tuple[str, str | None]]) -> None:
        """Appends packed codes, uint8 (n, K / 8), and n tuples of id and text, or None for pictures."""
        lines = [item_line(*item) for item in items]
        while lines:
            if not self._parts or self._parts[-1].items >= PART_ITEMS:
                for file in self._files:
                    _sync(file)
                    file.close()
                self._parts.append(Part(f"{len(self._parts):05d}", 0, 0))
                self._files = self._opened(self._parts[-1])
            last = self._parts[-1]
            room = PART_ITEMS - last.items
            content = codes[:room].tobytes(), b"".join(lines[:room])
            for file, data in zip(self._files, content, strict=True):
                file.write(data)
            fitting = min(room, len(lines))
            known = last.checksum or not last.items  # not where an earlier version began the part
            self._parts[-1] = Part(
                last.name,
                last.items + fitting,
                last.items_bytes + len(content[1]),
                zlib.crc32(content[0], last.checksum) if known else 0,
            )
            codes, lines = codes[room:], lines[room:]

    def skip(self, identity: str, reason: str, text_only: bool = False) -> None:
        """Notes an entry that could not be encoded, or of which only the text could."""
        self._skipped.write(json.dumps({"id": identity, "reason": reason}).encode("ascii") + b"\n")
        self._skips += not text_only
        self._text_only += text_only

    def save(self, done: int) -> None:
        """Makes the written codes durable: `done` entries are encoded or skipped."""
        for file in (*self._files, self._skipped):
            _sync(file)
        self.note = dataclasses.replace(
            self.note,
            done=done,
            skipped=self._skips,
            text_only=self._text_only,
            skipped_bytes=self._skipped.tell(),
            parts=tuple(self._parts),
        )
        write_note_file(self._folder / NOTE, self.note)

    def _require_own(self) -> None:
        names = os.listdir(self._folder) if self._folder.is_dir() else ()
        for name in () if NOTE in names else names:
            if name != SKIPPED and not name.startswith((".", "00000.")):  # of a start that was killed
                raise RunError(f"{self._folder}: holds other files and no {NOTE}; expected a new folder")

    def _found(self, note: CodesNote) -> CodesNote:
        path = self._folder / NOTE
        if not path.exists():
            self._require_own()
            write_note_file(path, note)
            return note
        earlier = read_note(self._folder)
        for name in _SAME:
            found, given = getattr(earlier, name), getattr(note, name)
            if found != given:
                differs = f"with {name} {found!r}, now it is {given!r}; expected the same command"
                if name == "source":  # a digest, which tells people nothing
                    differs = "of other entries or of another --batch; expected the same ones"
                raise RunError(f"{self._folder}: holds codes {differs}, or a new folder")
        return earlier

    def _opened(self, part: Part) -> tuple[BinaryIO, ...]:
        return tuple(self._appending(name, length) for name, length in self._lengths(part).items())

    def _lengths(self, *parts: Part) -> dict[str, int]:
        codes = {f"{part.name}.codes": part.items * (self.note.bits // 8) for part in parts}
        return codes | {f"{part.name}.items": part.items_bytes for part in parts}

    def _require(self, name: str, length: int) -> None:
        path = self._folder / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise RunError(f"{path}: a link or no file; expected one that `encode` wrote, or a new folder")
        found = path.stat().st_size if path.exists() else 0
        if found < length:
            raise DataError(f"{path}: {found} bytes, expected {length} or more; encode into another folder")

    def _appending(self, name: str, length: int) -> BinaryIO:
        self._require(name, length)
        file = open(self._folder / name, "ab")  # noqa: SIM115 closed with the writer
        file.truncate(length)
        file.seek(length)
        return file


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
