"""The index of a prepared data set (`gch.data.prepared`), which is not trusted: every field is checked."""

import json
import re
import reprlib
from collections.abc import Callable
from pathlib import Path

from gch.data.layouts import INDEX_NAME
from gch.errors import DataError

FORMAT, VERSION = "gch-prepared", 1
ENCODINGS = ("jpeg", "png", "raw")
SIDES = range(8, 4097)  # of pictures
_MOST = 2**40  # of anything that is counted


def read_index(folder: Path) -> dict:
    """The index of a prepared data set.

    Raises:
      DataError: it is missing or not an index; names the field.
    """
    path = folder / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON, {error}") from error
    if not isinstance(index, dict) or (index.get("format"), index.get("version")) != (FORMAT, VERSION):
        raise DataError(f"{path}: expected the index of a prepared data set, format {FORMAT} {VERSION}")
    for field, (expected, fits) in _FIELDS.items():
        if field not in index:
            raise DataError(f"{path}: {field} is missing, expected {expected}")
        if not fits(index[field]):
            raise DataError(f"{path}: {field} is {reprlib.repr(index[field])}, expected {expected}")
    items, (query, retrieval, *_) = index["items"], index["default_sizes"]
    if sum(shard["records"] for shard in index["shards"]) != items:
        raise DataError(f"{path}: shards do not sum up to {items} items")
    if not index["split"] and query + retrieval > items:
        raise DataError(f"{path}: default_sizes are of {query + retrieval} items, expected {items} at most")
    return index


def read_object(path: Path) -> dict:
    """What a JSON file holds; nothing where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_name(value: object) -> bool:
    """Whether it can be part of a file's name."""
    return isinstance(value, str) and re.fullmatch(r"[\w-]*[^\W_][\w-]*", value) is not None


def _is_file(value: object) -> bool:
    """Whether it is the name of a file in the folder itself."""
    return isinstance(value, str) and re.fullmatch(r"\w[\w.-]*", value) is not None


def _list_of(fits: Callable[[object], bool], least: int = 0) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(fits, value))


def _is_size(value: object) -> bool:
    return _list_of(_is_count)(value) and len(value) == 2 and all(side in SIDES for side in value)


def _are_sizes(value: object) -> bool:
    return _list_of(_is_count)(value) and len(value) == 4 and min(value[:2]) > 0


def _is_shard(value: object) -> bool:
    rules = {"file": _is_file, "records": _is_count, "bytes": _is_count, "sha256": _is_text}
    return isinstance(value, dict) and all(fits(value.get(field)) for field, fits in rules.items())


def _are_digests(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_file, value)) and all(map(_is_text, value.values()))


_FIELDS = {
    "name": ("letters, digits, - and _", _is_name),
    "items": ("a number from 1 on", lambda value: _is_count(value) and value > 0),
    "size": (f"height and width, {SIDES[0]} to {SIDES[-1]}", _is_size),
    "encoding": (" or ".join(ENCODINGS), lambda value: value in ENCODINGS),
    "default_sizes": ("four numbers of items", _are_sizes),
    "tag_names": ("a list of words", _list_of(_is_text)),
    "label_names": ("a list of names", _list_of(_is_text)),
    "described": ("true or false", _is_flag),
    "split": ("true or false", _is_flag),
    "plan": ("a text", _is_text),
    "shards": ("a list of file, records, bytes and sha256", _list_of(_is_shard, least=1)),
    "files": ("digests by the names of files", _are_digests),
    "left_out": ("a list of lines", _list_of(_is_text)),
}
