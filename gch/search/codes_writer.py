"""Writing coded items so that a process killed at any moment goes on where the note says it was."""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gch.errors import DataError, RunError
from gch.search.codes_folder import NOTE, SKIPPED, CodesNote, Part, read_note
from gch.search.items import item_line
from gch.search.note_file import write_note_file
from gch.storage import lock

_SAME = ("bits", "modality", "model", "root", "source", "shard", "entries")


class CodesWriter:
    """Appends codes to a folder of `gch.search.codes_folder`; a context that holds a lock on it.

    What `write` was given is safe once `save` has returned; what comes after that is cut off when the folder
    is opened again.

    Args:
      folder: where; it is made.
      note: of what is encoded. A folder that holds codes of something else is left as it is.
      part_items: most items of a part.

    Attributes:
      note: how far it is.

    Raises:
      RunError: the folder holds other codes, another process writes to it, or it cannot be written.
      DataError: what it holds is damaged.
    """

    def __init__(self, folder: Path, note: CodesNote, part_items: int):
        self._folder, self._part_items = folder, part_items
        self._lock = lock(folder, "another process is writing codes to it")
        self.note = self._found(note)
        self._parts = list(self.note.parts)
        self._files = {}
        self._skipped = self._appending(SKIPPED, self.note.skipped_bytes)
        self._skips = self.note.skipped
        self._open_last()

    def __enter__(self) -> "CodesWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._close_part()
        self._skipped.close()
        self._lock.release()

    def write(self, codes: np.ndarray, items: Iterable[tuple[str, str | None]]) -> None:
        """Appends n items.

        Args:
          codes: uint8 (n, K / 8), packed.
          items: n pairs of id and text, which is None for pictures.
        """
        lines = [item_line(*item) for item in items]
        start = 0
        while start < len(lines):
            if not self._parts or self._parts[-1].items >= self._part_items:
                self._close_part()
                self._parts.append(Part(f"{len(self._parts):05d}", 0, 0))
                self._open_last()
            last = self._parts[-1]
            stop = min(len(lines), start + self._part_items - last.items)
            text = b"".join(lines[start:stop])
            self._files["codes"].write(np.ascontiguousarray(codes[start:stop]).tobytes())
            self._files["items"].write(text)
            self._parts[-1] = Part(last.name, last.items + stop - start, last.items_bytes + len(text))
            start = stop

    def skip(self, identity: str, reason: str) -> None:
        """Notes an entry that could not be encoded."""
        self._skipped.write(json.dumps({"id": identity, "reason": reason}).encode("ascii") + b"\n")
        self._skips += 1

    def save(self, done: int) -> None:
        """Makes everything up to here safe: `done` entries are encoded or skipped."""
        for file in (*self._files.values(), self._skipped):
            _sync(file)
        self.note = dataclasses.replace(
            self.note,
            done=done,
            skipped=self._skips,
            skipped_bytes=self._skipped.tell(),
            parts=tuple(self._parts),
        )
        write_note_file(self._folder / NOTE, self.note)

    def _found(self, note: CodesNote) -> CodesNote:
        """The note of an earlier start of the same work, or a new one."""
        path = self._folder / NOTE
        if not path.exists():
            others = [name for name in os.listdir(self._folder) if name not in (".lock",)]
            leftover = all(name == SKIPPED or name.startswith("00000.") or name[0] == "." for name in others)
            if not leftover:
                raise RunError(f"{self._folder}: holds other files and no {NOTE}; expected a new folder")
            write_note_file(path, note)
            return note
        earlier = read_note(self._folder)
        for name in _SAME:
            if getattr(earlier, name) != getattr(note, name):
                raise RunError(
                    f"{self._folder}: holds codes with {name} {_short(getattr(earlier, name))}, now it is "
                    f"{_short(getattr(note, name))}; expected the same command, or a new folder"
                )
        return earlier

    def _open_last(self) -> None:
        if self._parts:
            last, width = self._parts[-1], self.note.bits // 8
            self._files = {
                "codes": self._appending(f"{last.name}.codes", last.items * width),
                "items": self._appending(f"{last.name}.items", last.items_bytes),
            }

    def _close_part(self) -> None:
        for file in self._files.values():
            _sync(file)
            file.close()
        self._files = {}

    def _appending(self, name: str, length: int):
        """A file cut to the length that is noted, to be written on."""
        path = self._folder / name
        found = path.stat().st_size if path.exists() else 0
        if found < length:
            raise DataError(f"{path}: {found} bytes, expected {length} or more; start anew in another folder")
        file = open(path, "ab")  # noqa: SIM115 closed with the writer
        file.truncate(length)
        file.seek(length)
        return file


def _sync(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _short(value: object) -> str:
    return repr(value)[:40]
