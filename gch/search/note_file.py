"""Notes as JSON files: what a folder says of itself."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gch.errors import DataError, RunError, SettingError
from gch.storage import read_json, write_json

_Note = TypeVar("_Note")
FORMAT = 1


def write_note_file(path: Path, note: object) -> None:
    """Writes a dataclass, whole or not at all."""
    write_json(path, {"format": FORMAT, **dataclasses.asdict(note)})


def read_note_file(path: Path, what: str, made: Callable[[dict], _Note], expected: str) -> _Note:
    """Reads a note.

    Args:
      path: the file.
      what: it is of, for messages.
      made: makes a note of its fields, and raises ValueError where they make no sense.
      expected: the end of a message.

    Raises:
      DataError: it is damaged, or of another format.
    """
    try:
        value = read_json(path)
        if value.pop("format") != FORMAT:
            raise ValueError(f"another format than {FORMAT}")
        return made(value)
    except (RunError, SettingError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not the note of {what}, {error}; {expected}") from error
