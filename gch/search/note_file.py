"""Notes: dataclasses as JSON files, which say what a folder holds."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from gch.data.text_files import read_json
from gch.errors import DataError
from gch.storage import write_json

Note = TypeVar("Note")
FORMAT = 1
_EXPECTED = {int: "a whole number from 0 up", str: "a string"}


def write_note_file(path: Path, note: Any) -> None:
    """Writes a dataclass, whole or not at all."""
    write_json(path, note_value(note))


def note_value(note: Any) -> dict[str, Any]:
    """A note as a value of JSON."""
    return {"format": FORMAT, **dataclasses.asdict(note)}


def note_from(value: object, kind: type[Note]) -> Note:
    """The note of a value of JSON; raises ValueError where it is none."""
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise ValueError(f"not a note of format {FORMAT}")
    return _typed("note", value, kind)


def read_note_file(path: Path, kind: type[Note], expected: str) -> Note:
    """Reads a note of `kind`: int from 0 up, str, tuples, mappings and dataclasses of these.

    Raises:
      DataError: the file is missing or damaged, or of another format; the message ends with `expected`.
    """
    if not path.is_file():
        raise DataError(f"{path.parent}: no {path.name} in it; {expected}")
    try:
        return note_from(read_json(path), kind)
    except (DataError, ValueError) as error:
        raise DataError(f"{path}: {error}; {expected}") from error


def require_bytes(path: Path, size: int, expected: str) -> None:
    """Raises DataError unless a file has `size` bytes."""
    found = f"{path.stat().st_size} bytes" if path.is_file() else "missing"
    if found != f"{size} bytes":
        raise DataError(f"{path}: {found}, expected {size} bytes; {expected}")


def _typed(name: str, value: Any, kind: Any) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # X | None
        return None if value is None else _typed(name, value, inner[0])
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) == len(value):
            return tuple(_typed(name, *one) for one in zip(value, kinds, strict=True))
    if origin is Mapping and isinstance(value, dict):
        return {key: _typed(f"{name}.{key}", one, inner[1]) for key, one in value.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        fields = typing.get_type_hints(kind)
        try:
            return kind(**{key: _typed(key, one, fields.get(key, Any)) for key, one in value.items()})
        except TypeError as error:  # a field is missing or unknown
            raise ValueError(f"{name}: {error}") from error
    fits = type(value) is int and value >= 0 if kind is int else isinstance(value, str)
    if fits or kind is Any:
        return value
    raise ValueError(f"{name} is {value!r:.60}, not {_EXPECTED.get(kind, kind)}")
