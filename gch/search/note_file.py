"""Notes: dataclasses as JSON files, which describe what a folder holds."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from gch.data.text_files import is_count, printable, read_json, shown
from gch.errors import DataError
from gch.storage import write_json

Note = TypeVar("Note")
FORMAT, MOST_BITS = 1, 2**16
_EXPECTED = {int: "a whole number from 0 on", str: "a text", tuple: "a list", Mapping: "an object"}


def write_note_file(path: Path, note: Any) -> None:
    """Writes a dataclass, whole or not at all."""
    write_json(path, note_value(note))


def note_value(note: Any) -> dict[str, Any]:
    """A note as a value of JSON."""
    return {"format": FORMAT, **dataclasses.asdict(note)}


def note_from(value: object, kind: type[Note]) -> Note:
    """The note in a value of JSON; raises ValueError if it is not one."""
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
    value = read_json(path)
    try:
        return note_from(value, kind)
    except ValueError as error:
        raise DataError(f"{printable(path)}: {error}; {expected}") from error


def require_bits(bits: int) -> None:
    """Raises ValueError unless codes may have this length."""
    if not 8 <= bits <= MOST_BITS or bits % 8:
        raise ValueError(f"bits is {bits}, expected a multiple of 8 up to {MOST_BITS}")


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
        for field in dataclasses.fields(kind):
            required = field.default is field.default_factory is dataclasses.MISSING
            if field.name not in value and required:
                raise ValueError(f"{name}: {field.name} is missing")
        for unknown in value.keys() - fields.keys():
            raise ValueError(f"{name}: {shown(unknown)} is no field of it, expected {', '.join(fields)}")
        return kind(**{key: _typed(key, one, fields[key]) for key, one in value.items()})
    if is_count(value) if kind is int else kind is str and isinstance(value, str):
        return value
    raise ValueError(f"{name} is {shown(value)}, expected {_EXPECTED.get(origin or kind, 'an object')}")
