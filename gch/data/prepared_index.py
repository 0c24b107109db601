"""The index of a prepared data set (`gch.data.prepared`). It is not trusted: every field is checked."""

import json
import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gch.data.layouts import INDEX_NAME
from gch.errors import DataError

FORMAT, VERSION = "gch-prepared", 2
ENCODINGS = ("jpeg", "png", "raw")
SIDES = range(8, 4097)  # of pictures
_MOST = 2**40  # of anything that is counted


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a prepared data set.

    Raises:
      DataError: it is missing, not an index, or of an earlier version; names the field.
    """
    path = folder / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON, {error}") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DataError(f"{path}: expected the index of a prepared data set, format {FORMAT} {VERSION}")
    if index.get("version") != VERSION:
        found = reprlib.repr(index.get("version"))
        raise DataError(
            f"{path}: format version is {found}, expected {VERSION}; run prepare again, into a new folder"
        )
    for field, (expected, fits) in _FIELDS.items():
        if field not in index:
            raise DataError(f"{path}: {field} is missing, expected {expected}")
        if not fits(index[field]):
            raise DataError(f"{path}: {field} is {reprlib.repr(index[field])}, expected {expected}")
    items, (query, retrieval, *_) = index["items"], index["default_sizes"]
    if "split.npz" not in index["files"] and query + retrieval > items:
        raise DataError(f"{path}: default_sizes are of {query + retrieval} items, expected {items} at most")
    return index


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _matches(pattern: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _is_size(value: Any) -> bool:
    return _list_of(_is_count)(value) and len(value) == 2 and all(side in SIDES for side in value)


def _are_sizes(value: Any) -> bool:
    return _list_of(_is_count)(value) and len(value) == 4 and min(value[:2]) > 0


def _are_digests(value: object) -> bool:
    names = _matches(r"\w[\w.-]*")  # of files in the folder itself
    return isinstance(value, dict) and all(map(names, value)) and all(map(_is_text, value.values()))


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("letters, digits, - and _", _matches(r"[\w-]*[^\W_][\w-]*")),
    "items": ("a number from 1 on", lambda value: _is_count(value) and value > 0),
    "size": (f"height and width, {SIDES[0]} to {SIDES[-1]}", _is_size),
    "encoding": (" or ".join(ENCODINGS), lambda value: value in ENCODINGS),
    "bytes": (f"the number of bytes of the pictures, {_MOST} at most", _is_count),
    "default_sizes": ("four numbers of items", _are_sizes),
    "tag_names": ("a list of words", _list_of(_is_text)),
    "label_names": ("a list of names", _list_of(_is_text)),
    "plan": ("a text", _is_text),
    "files": ("digests by the names of files", _are_digests),
    "left_out": ("a list of lines", _list_of(_is_text)),
}
