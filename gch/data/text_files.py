"""Text files of the user's, read line by line; every fault names its line."""

import json
import reprlib
import stat
from collections.abc import Iterator
from pathlib import Path

from gch.errors import DataError

_LONGEST = 60


def text_lines(
    file: Path, expected: str, max_bytes: int | None = None, max_line: int | None = None
) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their ends, numbered from 1; a byte order mark is left out.

    Args:
      file: a regular file.
      expected: what it should hold, for messages: 'expected a text on each line'.
      max_bytes: of the file, where there is a limit.
      max_line: characters of a line, likewise.

    Raises:
      DataError: it cannot be read, is too large, or a line is not UTF-8 or holds NUL.
    """
    name, number = printable(file), 0
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise DataError(f"{name}: {kind}, {expected}")
        if max_bytes is not None and found.st_size > max_bytes:
            raise DataError(f"{name}: {found.st_size} bytes, expected {max_bytes} at most")
        with open(file, "rb") as stream:
            for number, line in enumerate(stream, 1):
                text = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).decode("utf-8")
                if "\0" in text:
                    raise DataError(f"{name}: line {number}: found a NUL byte; {expected}")
                if max_line is not None and len(text) > max_line:
                    raise DataError(
                        f"{name}: line {number}: {len(text)} characters, expected {max_line} at most"
                    )
                yield number, text
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: line {number}: byte {error.start + 1} is 0x{error.object[error.start]:02x}, not UTF-8; "
            f"{expected}"
        ) from error
    except FileNotFoundError as error:
        raise DataError(f"{name}: not found, {expected}") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise DataError(f"{name}: cannot be read, {getattr(error, 'strerror', error)}; {expected}") from error


def json_lines(
    file: Path, expected: str, max_bytes: int | None = None, max_line: int | None = None
) -> Iterator[tuple[int, dict]]:
    """The objects of a file of one JSON object a line, numbered from 1; blank lines are passed over.

    Raises:
      DataError: as in `text_lines`, or a line is no JSON object.
    """
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
        except (ValueError, RecursionError) as error:  # a number of too many digits; lists in lists in lists
            raise DataError(f"{where}: {error}, expected a simple JSON object") from error
        if not isinstance(value, dict):
            raise DataError(f"{where}: found {shown(value)}, expected a JSON object")
        yield number, value


def shown(value: object) -> str:
    """A value for a message: at most 60 characters, on one line."""
    short = reprlib.Repr()
    short.maxstring = short.maxlong = short.maxother = _LONGEST
    return shortened(short.repr(value))


def shortened(text: str) -> str:
    """A text of at most 60 characters."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def printable(name: str | Path) -> str:
    """A name for a message: on one line, whatever it holds."""
    return str(name) if str(name).isprintable() else ascii(str(name))
