"""Text and JSON files that users write or may damage. Every error names its line or field."""

import codecs
import contextlib
import io
import json
import math
import os
import reprlib
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gch.errors import DataError, GCHError, reason

# What a value of JSON must be: what is expected and whether a value fits; a list of values of one shape; or
# an object of these fields, by ... for any other field.
Shape = tuple[str, Callable[[Any], bool]] | list["Shape"] | Mapping[Any, "Shape"]
Fields = Mapping[Any, Shape]
_MOST = 2**40  # of anything that is counted
_SMALL_BYTES = 2**28  # that any file may hold
_MOST_PACKED = 250  # times that the content of a file is larger than the file


def require_file(path: str | os.PathLike, expected: str, fault: type[GCHError] = DataError) -> os.stat_result:
    """The state of a regular file, or of the one that a link leads to; raises `fault` for anything else."""
    name = printable(path)
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        raise fault(f"{name}: not found, {expected}") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise fault(f"{name}: cannot be read, {getattr(error, 'strerror', error)}; {expected}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise fault(f"{name}: {kind}, {expected}")
    return found


def require_stored(
    path: str | os.PathLike, size: int, fault: type[GCHError] = DataError, what: str = ""
) -> None:
    """Raises `fault` where a file is too small to hold `size` bytes: never written, or a bomb.

    `what` is the name and shape of an array, for messages.
    """
    stored = os.stat(path).st_size
    if size > max(_SMALL_BYTES, _MOST_PACKED * stored):
        found = f"{size / 2**30:.1f} GiB of a file of {stored} bytes"
        raise fault(f"{printable(path)}: {what}would be {found}, expected content that was written whole")


@contextlib.contextmanager
def opened(
    path: str | os.PathLike, expected: str, max_bytes: float = math.inf, fault: type[GCHError] = DataError
) -> Iterator[BinaryIO]:
    """Opens a regular file, or a link to one; anything else could be endless, or be waited for without end.

    Raises `fault` where it cannot be read or is larger than `max_bytes`; names the file and what is
    `expected`: 'expected a picture file'.
    """
    name, size = printable(path), require_file(path, expected, fault).st_size
    if size > max_bytes:
        raise fault(f"{name}: {size} bytes, expected {max_bytes} at most")
    try:
        with open(path, "rb") as file:
            yield file
    except (OSError, ValueError) as error:
        raise fault(f"{name}: cannot be read, {getattr(error, 'strerror', error)}; {expected}") from error


def file_bytes(path: str | os.PathLike, expected: str, fault: type[GCHError] = DataError) -> bytes:
    """What a regular file holds; see `opened`."""
    with opened(path, expected, fault=fault) as file:
        return file.read()


def text_lines(
    file: Path, expected: str, max_bytes: float = math.inf, max_line: float = math.inf
) -> Iterator[tuple[int, str]]:
    """The lines of a file with their ends, numbered from 1; a byte order mark is left out.

    Text is UTF-8, or UTF-16 with a byte order mark. A file without a single line feed may end its lines by
    carriage returns. `expected` says for messages what it should hold: 'expected a text on each line'.

    Raises:
      DataError: it cannot be read, is larger than `max_bytes`, or a line is not UTF-8, holds NUL, or has more
        than `max_line` characters.
    """
    with opened(file, expected, max_bytes) as stream:
        yield from stream_lines(stream, printable(file), expected, max_line)


def stream_lines(
    stream: BinaryIO, name: str, expected: str, max_line: float = math.inf
) -> Iterator[tuple[int, str]]:
    """`text_lines` of a stream that can be sought in; messages call it `name`."""
    for number, line in enumerate(_decoded(stream, name, expected), 1):
        if "\0" in line:
            raise DataError(f"{name}: line {number}: found a NUL byte; {expected}")
        if len(line) > max_line:
            raise DataError(f"{name}: line {number}: {len(line)} characters, expected {max_line} at most")
        yield number, line


def _decoded(stream: BinaryIO, name: str, expected: str) -> Iterator[str]:
    mark = stream.read(2)
    stream.seek(0)
    lines: Iterable[str] = (
        binary.decode("utf-8" if before else "utf-8-sig") for before, binary in enumerate(stream)
    )
    if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        lines = io.TextIOWrapper(stream, "utf-16", newline="\n")
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            yield from split_returns(line) if number == 1 and line[-1:] != "\n" else [line]
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} is 0x{error.object[error.start]:02x}, not UTF-8"
        found = "not UTF-16" if error.encoding.startswith("utf-16") else byte
        raise DataError(f"{name}: line {number + 1}: {found}; {expected}") from error


def split_returns(line: str) -> Iterator[str]:
    """The parts of a line that carriage returns end, with their ends."""
    return iter(io.StringIO(line, newline=""))


def json_lines(
    file: Path, expected: str, max_bytes: float = math.inf, max_line: float = math.inf
) -> Iterator[tuple[int, dict]]:
    """The objects of a file of one JSON object a line, as in `text_lines`; blank lines are passed over."""
    for number, line in text_lines(file, expected, max_bytes, max_line):
        line = line.rstrip()
        if not line:
            continue
        where = f"{printable(file)}: line {number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            rest = shown(line[error.pos :]) if error.pos < len(line) else "the end of the line"
            raise DataError(
                f"{where}: column {error.colno}: {error.msg}, found {rest}, expected a JSON object"
            ) from error
        except (ValueError, RecursionError) as error:  # a number of too many digits; deep nesting
            raise DataError(f"{where}: {error}, expected a simple JSON object") from error
        yield number, object_of(value, where, {})


def read_object(path: Path, fields: Fields) -> dict[str, Any]:
    """The object of a JSON file; raises DataError where it cannot be read, or is not one of such fields, and
    names the first that does not fit.
    """
    return object_of(read_json(path), printable(path), fields)


def read_json(path: Path) -> Any:
    """The value of a JSON file; raises DataError where it cannot be read, or is not JSON."""
    return json_of(file_bytes(path, "expected a JSON file"), printable(path))


def json_of(content: str | bytes, where: str) -> Any:
    """The value of JSON; raises DataError where it is none. `where` it is, for messages."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: cannot be read as JSON, {reason(error)}") from error


def object_of(value: Any, where: str, fields: Fields) -> dict[str, Any]:
    """A value of JSON that is an object, checked as by `read_object`; `where` it is, for messages."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: found {shown(value)}, expected a JSON object")
    _require(value, where, "", fields)
    return value


def _require(value: Any, where: str, field: str, shape: Shape) -> None:
    """Raises DataError unless the value of a field fits its shape; ... where the field is missing."""
    if isinstance(shape, tuple):
        expected, fits = shape[0], value is not ... and shape[1](value)
    else:
        kind = list if isinstance(shape, list) else dict
        expected, fits = f"a JSON {'list' if kind is list else 'object'}", isinstance(value, kind)
    if not fits:
        found = "missing" if value is ... else shown(value)
        raise DataError(f"{where}: {field} is {found}, expected {expected}")
    if isinstance(shape, list):
        for number, part in enumerate(value):
            _require(part, where, f"{field}[{number}]", shape[0])
    elif isinstance(shape, Mapping):
        parts = [(name, value.get(name, ...), one) for name, one in shape.items() if name is not ...]
        if ... in shape:
            parts += [(name, value[name], shape[...]) for name in value if name not in shape]
        for name, part, one in parts:
            _require(part, where, f"{field}.{printable(name)}".lstrip("."), one)


def whole(text: str) -> str:
    """A text whose halves of surrogate pairs, which UTF-8 cannot hold, are replaced by U+FFFD.

    Pairs become the characters that they stand for.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_count(value: object) -> bool:
    """Whether a value of JSON is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def is_number(value: object) -> bool:
    """Whether a value of JSON is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # an int may be too long for a float


def list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a value of JSON is a list whose members fit."""
    return lambda value: isinstance(value, list) and all(map(fits, value))


def shown(value: object) -> str:
    """A value for a message: at most 60 characters, on one line."""
    short = reprlib.Repr()
    short.maxstring = short.maxlong = short.maxother = 60
    try:
        text = short.repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def printable(name: str | os.PathLike) -> str:
    """A name for a message: on one line, whatever it holds."""
    return str(name) if str(name).isprintable() else ascii(str(name))
