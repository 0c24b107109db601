"""Writing coded items so that a process killed at any moment goes on where the note says it was."""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gch.errors import DataError, RunError
from gch.search.codes_folder import NOTE, SKIPPED, CodesNote, Part, item_line, read_note
from gch.search.note_file import write_note_file
from gch.storage import lock

_SAME = ("bits", "modality", "model", "root", "source", "shard", "entries")


class CodesWriter:
    """Appends codes to a folder of `gch.search.codes_folder`; a context that locks it.

    `note` says how far it is. What was written after the last `save` is cut off when it is opened again.

    Raises:
      RunError: the folder holds other codes, another process writes to it, or it cannot be written.
      DataError: what it holds is damaged.
    """

    def __init__(self, folder: Path, note: CodesNote, part_items: int):
        self._folder, self._part_items = folder, part_items
        self._lock = lock(folder, "another process is writing codes to it")
        self.note = self._found(note)
        self._parts, self._skips = list(self.note.parts), self.note.skipped
        self._skipped = self._appending(SKIPPED, self.note.skipped_bytes)
        self._files = self._opened(self._parts[-1]) if self._parts else ()

    def __enter__(self) -> "CodesWriter":
        return self

    def __exit__(self, *error: object) -> None:
        for file in (*self._files, self._skipped):
            file.close()
        self._lock.release()

    def write(self, codes: np.ndarray, items: Iterable[tuple[str, str | None]]) -> None:
        """Appends packed codes, uint8 (n, K / 8), and n pairs of id and text, which is None for pictures."""
        lines = [item_line(*item) for item in items]
        while lines:
            if not self._parts or self._parts[-1].items >= self._part_items:
                for file in self._files:
                    _sync(file)
                    file.close()
                self._parts.append(Part(f"{len(self._parts):05d}", 0, 0))
                self._files = self._opened(self._parts[-1])
            last = self._parts[-1]
            room = self._part_items - last.items
            content = codes[:room].tobytes(), b"".join(lines[:room])
            for file, data in zip(self._files, content, strict=True):
                file.write(data)
            fitting = min(room, len(lines))
            self._parts[-1] = Part(last.name, last.items + fitting, last.items_bytes + len(content[1]))
            codes, lines = codes[room:], lines[room:]

    def skip(self, identity: str, reason: str) -> None:
        """Notes an entry that could not be encoded."""
        self._skipped.write(json.dumps({"id": identity, "reason": reason}).encode("ascii") + b"\n")
        self._skips += 1

    def save(self, done: int) -> None:
        """Makes what was written safe: `done` entries are encoded or skipped."""
        for file in (*self._files, self._skipped):
            _sync(file)
        skipped, length = self._skips, self._skipped.tell()
        self.note = dataclasses.replace(
            self.note, done=done, skipped=skipped, skipped_bytes=length, parts=tuple(self._parts)
        )
        write_note_file(self._folder / NOTE, self.note)

    def _found(self, note: CodesNote) -> CodesNote:
        path = self._folder / NOTE
        if not path.exists():
            for name in os.listdir(self._folder):
                if name != SKIPPED and not name.startswith((".", "00000.")):  # of a start that was killed
                    raise RunError(f"{self._folder}: holds other files and no {NOTE}; expected a new folder")
            write_note_file(path, note)
            return note
        earlier = read_note(self._folder)
        for name in _SAME:
            found, given = getattr(earlier, name), getattr(note, name)
            if found != given:
                raise RunError(
                    f"{self._folder}: holds codes with {name} {found!r:.40}, now it is {given!r:.40}; "
                    "expected the same command, or a new folder"
                )
        return earlier

    def _opened(self, part: Part) -> tuple[BinaryIO, ...]:
        lengths = {"codes": part.items * (self.note.bits // 8), "items": part.items_bytes}
        return tuple(self._appending(f"{part.name}.{suffix}", length) for suffix, length in lengths.items())

    def _appending(self, name: str, length: int) -> BinaryIO:
        path = self._folder / name
        found = path.stat().st_size if path.exists() else 0
        if found < length:
            raise DataError(f"{path}: {found} bytes, expected {length} or more; start anew in another folder")
        file = open(path, "ab")  # noqa: SIM115 closed with the writer
        file.truncate(length)
        file.seek(length)
        return file


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
