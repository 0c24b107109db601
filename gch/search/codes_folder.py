"""The codes of a collection on disk: what `encode` writes and an index is built from.

codes.json     what the codes are (`CodesNote`), and how far the encoding is
00000.codes    packed codes, K / 8 bytes an item and nothing else; then 00001.codes ...
00000.items    the items of the same rows, a JSON object a line: id, and text where there is one
skipped.jsonl  what could not be encoded: id and reason

Codes and items of several parts or folders are one after the other, so `cat` joins them. A folder may hold
folders 'shard-1-of-3' ... 'shard-3-of-3' instead, which count as one when all are there.

A byte holds eight bits of a code, the first in its highest bit, as of numpy.packbits and of FAISS.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gch.errors import DataError
from gch.search.items import Items
from gch.search.note_file import read_note_file

NOTE = "codes.json"
SKIPPED = "skipped.jsonl"
MODALITIES = ("image", "text")
EXPECTED = "expected a folder that `encode` wrote"
_SHARD = re.compile(r"shard-(\d+)-of-(\d+)")


@dataclasses.dataclass(frozen=True)
class Part:
    """Attributes:
    name: of its two files, without suffix.
    items: number of items in it.
    items_bytes: length of its .items file.
    """

    name: str
    items: int
    items_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodesNote:
    """What codes.json says.

    Attributes:
      bits: length of a code K, a multiple of 8.
      modality: 'image' or 'text'.
      model: digest of the model.
      root: absolute path of the folder that the ids of pictures are relative to; '' for texts.
      source: digest of the list of what is encoded.
      shard: number of this shard, from 1 on, and number of shards.
      entries: number of entries of this shard, broken ones too.
      done: entries that are encoded or skipped.
      skipped: number of them that could not be encoded.
      skipped_bytes: length of skipped.jsonl.
      parts: the pairs of files, in order.
    """

    bits: int
    modality: str
    model: str
    root: str
    source: str
    shard: tuple[int, int]
    entries: int
    done: int = 0
    skipped: int = 0
    skipped_bytes: int = 0
    parts: tuple[Part, ...] = ()

    @property
    def items(self) -> int:
        """Number of coded items N."""
        return sum(part.items for part in self.parts)

    @property
    def finished(self) -> bool:
        """Whether every entry was encoded or skipped."""
        return self.done == self.entries


@dataclasses.dataclass(frozen=True, eq=False)
class Codes:
    """Coded items of one modality.

    Attributes:
      path: where they were read.
      bits: length of a code K.
      modality: 'image' or 'text'.
      model: digest of the model that made them.
      root: folder that ids of pictures are relative to; '' for texts.
      codes: uint8 (N, K / 8), packed; memory-mapped where there is one part.
      items: N items.
    """

    path: Path
    bits: int
    modality: str
    model: str
    root: str
    codes: np.ndarray
    items: Items


def open_codes(path: Path) -> Codes:
    """Opens the codes that `encode` wrote.

    Args:
      path: a folder of codes, or the folder of all shards of one.

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
    files = [(folder, part) for folder, note in zip(folders, notes, strict=True) for part in note.parts]
    arrays = [
        read_codes_file(folder / f"{part.name}.codes", part.items, first.bits) for folder, part in files
    ]
    codes = (
        arrays[0] if len(arrays) == 1 else np.concatenate([np.empty((0, first.bits // 8), np.uint8), *arrays])
    )
    items = Items([(folder / f"{part.name}.items", part.items) for folder, part in files])
    return Codes(path, first.bits, first.modality, first.model, first.root, codes, items)


def read_note(folder: Path) -> CodesNote:
    """What codes.json in a folder says.

    Raises:
      DataError: it is missing, damaged, or of another format.
    """
    path = folder / NOTE
    if not path.is_file():
        raise DataError(f"{folder}: no {NOTE} in it; {EXPECTED}")
    return read_note_file(path, "codes", _note, EXPECTED)


def _note(value: dict) -> CodesNote:
    parts = tuple(Part(**part) for part in value.pop("parts"))
    note = CodesNote(**value | {"shard": tuple(value["shard"]), "parts": parts})
    numbers = (note.entries, note.done, note.skipped, note.skipped_bytes, note.items)
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a number of items is none")
    if note.modality not in MODALITIES or note.bits < 8 or note.bits % 8:
        raise ValueError(f"modality {note.modality!r}, {note.bits!r} bits")
    if any(not re.fullmatch(r"\d{5}", part.name) for part in parts):
        raise ValueError("a part has another name than five digits")
    return note


def shard_folder(out: Path, shard: tuple[int, int]) -> Path:
    """Where a shard is written: `out` itself where it is the only one."""
    number, count = shard
    return out if count == 1 else out / f"shard-{number}-of-{count}"


def _folders(path: Path) -> Sequence[Path]:
    if (path / NOTE).is_file() or not path.is_dir():
        return [path]
    shards = {
        tuple(map(int, found.groups())) for name in path.iterdir() if (found := _SHARD.fullmatch(name.name))
    }
    if not shards:
        return [path]
    counts = sorted({count for _, count in shards})
    if len(counts) > 1:
        raise DataError(f"{path}: shards of {counts[0]} and of {counts[1]}; expected those of one command")
    missing = [str(number) for number in range(1, counts[0] + 1) if (number, counts[0]) not in shards]
    if missing:
        raise DataError(f"{path}: shard {', '.join(missing)} of {counts[0]} is missing; expected all of them")
    return [shard_folder(path, (number, counts[0])) for number in range(1, counts[0] + 1)]


def read_codes_file(path: Path, items: int, bits: int) -> np.ndarray:
    """Packed codes, uint8 (N, K / 8), memory-mapped.

    Raises:
      DataError: the file is missing or has another length.
    """
    width = bits // 8
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read, {error.strerror or error}; {EXPECTED}") from error
    if size != items * width:
        raise DataError(f"{path}: {size} bytes, expected {items} codes of {width}")
    return np.memmap(path, np.uint8, "r", shape=(items, width)) if items else np.empty((0, width), np.uint8)


def require_one_model(sources: Sequence[Codes], held: Sequence[tuple[str, int, str]] = ()) -> None:
    """Refuses codes that do not compare.

    Args:
      sources: codes that are put together.
      held: where others are that they are put to, and their bits and model.

    Raises:
      DataError: they are of several models or lengths, or there are none.
    """
    if not any(len(codes.codes) for codes in sources):
        where = ", ".join(str(codes.path) for codes in sources) or "nothing"
        raise DataError(f"{where}: no codes to index; expected folders that `encode` wrote")
    (where, bits, model), *others = [*held, *((str(one.path), one.bits, one.model) for one in sources)]
    for other, its_bits, its_model in others:
        if (its_bits, its_model) != (bits, model):
            raise DataError(
                f"{other}: codes of {its_bits} bits by the model {its_model[:12]}, {where}: of {bits} bits "
                f"by {model[:12]}; expected codes of one model"
            )
