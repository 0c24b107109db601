"""The file that describes a user's own folder of pictures: CSV with a header, or one JSON object a line.

Such a file is written by hand, by a spreadsheet or by a script of the user's, so every fault in it is told
with its line and its field. The pictures themselves are not looked at here.
"""

import csv
import itertools
import json
import os
import re
import reprlib
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from gch.errors import DataError

MAX_FILE_BYTES = 2**31
_CSV = (".csv", ".tsv")
_JSON = (".jsonl", ".ndjson")
SUFFIXES = _CSV + _JSON
_NAMES = {
    "path": ("path", "image", "file", "filename", "file_name"),
    "text": ("text", "caption", "captions", "title", "description"),
    "tags": ("tags", "keywords"),
    "labels": ("labels", "label", "category", "categories"),
}
_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names}
_NEEDED = "'path', 'labels' and one of 'text' and 'tags'"
_DELIMITERS = ",;\t"
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # NUL and halves of surrogate pairs: no file can hold them.
_LONGEST = 60


@dataclass(frozen=True, eq=False)
class Annotations:
    """N pictures with their captions and labels, in the order of the file.

    Attributes:
      file: where they were read.
      paths: of the pictures, N, relative to their folder, parts separated by '/', no two alike.
      captions: N; a str is free text, a tuple of str are tags. Either may be empty, not all are.
      labels: uint8 (N, C), multi-hot, 1 or more in each row and column.
      label_names: C names, ascending.
      unlabelled: paths of the entries that are left out because they have no label.
    """

    file: Path
    paths: tuple[str, ...]
    captions: tuple[str | tuple[str, ...], ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    unlabelled: tuple[str, ...]


def find_annotations(folder: Path) -> Path | None:
    """The one .csv, .tsv, .jsonl or .ndjson file directly in the folder; hidden files do not count.

    Returns:
      Its path, or None where there is none.

    Raises:
      DataError: there are several, or the folder cannot be listed.
    """
    try:
        found = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise DataError(f"{_printable(folder)}: {error.strerror}, expected a folder of pictures") from error
    if len(found) > 1:
        names = ", ".join(_printable(path.name) for path in found[:5]) + (", ..." if len(found) > 5 else "")
        raise DataError(
            f"{_printable(folder)}: found {len(found)} files of annotations ({names}), expected one; "
            f"the setting annotations can name it"
        )
    return found[0] if found else None


def read_annotations(file: Path, folder: Path) -> Annotations:
    """Reads and checks a file of annotations.

    Every entry has a path, a text or tags, and labels, by these names or others that are common, in upper
    or lower case; further columns and fields are ignored. A path is relative to the folder and stays in
    it; a backslash separates its parts just as '/' does. Tags in one string are separated by ';', or by ','
    where there is no ';'; labels in one string by ';' or '|'. In JSON, texts, tags and labels may be lists,
    whose members are not split; the members of a text become its lines; labels may be whole numbers; null
    is no text, no tags or no label. Texts, tags and labels are brought to Unicode's form NFKC first, and
    stripped. The delimiter of CSV, ',', ';' or a tab, is the one that fits the header.

    Args:
      file: .csv, .tsv, .jsonl or .ndjson, UTF-8, of `MAX_FILE_BYTES` at most.
      folder: where the pictures are. They need not exist.

    Raises:
      DataError: the file cannot be read, an entry is not as told above, a path is there twice, or there is
        no entry with a label, or no text at all.
    """
    name = _printable(file)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{name}: found suffix {_shown(file.suffix)}, expected {', '.join(SUFFIXES)}")
    root = os.path.realpath(folder)
    line_of: dict[str, int] = {}
    captions: list[str | tuple[str, ...]] = []
    labels: list[frozenset[str]] = []
    for line, entry in _csv_entries(file, name) if suffix in _CSV else _json_entries(file, name):
        where = f"{name}: line {line}"
        path = _path(entry["path"], root, f"{where}: field 'path'")
        if path in line_of:
            raise DataError(
                f"{where}: field 'path': {_shown(path)} is on line {line_of[path]} too, "
                f"expected each picture once"
            )
        line_of[path] = line
        if "text" in entry:
            captions.append(_text(entry["text"], f"{where}: field 'text'"))
        else:
            captions.append(_tags(entry["tags"], f"{where}: field 'tags'"))
        labels.append(_labels(entry["labels"], f"{where}: field 'labels'"))
    return _gathered(file, list(line_of), captions, labels)


def _gathered(
    file: Path,
    paths: Sequence[str],
    captions: Sequence[str | tuple[str, ...]],
    labels: Sequence[frozenset[str]],
) -> Annotations:
    name = _printable(file)
    if not paths:
        raise DataError(f"{name}: found no entry, expected one for each picture")
    kept = [row for row, names in enumerate(labels) if names]
    if not kept:
        raise DataError(f"{name}: field 'labels': empty in all {len(paths)} entries, expected labels")
    if not any(captions[row] for row in kept):
        raise DataError(
            f"{name}: field 'text' or 'tags': empty in all {len(kept)} entries with labels, expected text"
        )
    label_names = tuple(sorted(frozenset().union(*labels)))
    try:
        multi_hot = np.zeros((len(kept), len(label_names)), np.uint8)
    except (MemoryError, ValueError) as error:
        raise DataError(
            f"{name}: field 'labels': {len(label_names)} labels of {len(kept)} entries, "
            f"expected as many as fit into memory"
        ) from error
    column = {label: i for i, label in enumerate(label_names)}
    for i, row in enumerate(kept):
        multi_hot[i, [column[label] for label in labels[row]]] = 1
    return Annotations(
        file=file,
        paths=tuple(paths[row] for row in kept),
        captions=tuple(captions[row] for row in kept),
        labels=multi_hot,
        label_names=label_names,
        unlabelled=tuple(path for path, names in zip(paths, labels, strict=True) if not names),
    )


def _csv_entries(file: Path, name: str) -> Iterator[tuple[int, dict[str, object]]]:
    rows = _csv_rows(file, name)
    line, header = next(rows, (0, None))
    if header is None:
        raise DataError(f"{name}: empty file, expected a header line with {_NEEDED}")
    column_of = _fields(header, f"{name}: line {line}", "columns")
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{name}: line {line}: {len(row)} cells, expected {len(header)} as in the header; "
                f"a cell that holds the delimiter needs quotes"
            )
        yield line, {field: row[column] for field, column in column_of.items()}


def _csv_rows(file: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    lines = _lines(file, name)
    start = []
    for line in lines:
        start.append(line)
        if line.strip():
            break
    else:
        return
    # Not strict, csv would take all that follows an unclosed quote as one cell.
    reader = csv.reader(itertools.chain(start, lines), delimiter=_delimiter(start[-1]), strict=True)
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{name}: line {first}: {error}, expected a row of CSV") from error
        if row is None:
            return
        if len(row) > 1 or "".join(row).strip():
            yield first, row


def _delimiter(header: str) -> str:
    def fitness(delimiter: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            return 0, 0
        return sum(cell.strip().lower() in _FIELD_OF for cell in cells), len(cells)

    return max(_DELIMITERS, key=fitness)


def _json_entries(file: Path, name: str) -> Iterator[tuple[int, dict[str, object]]]:
    empty = True
    for number, line in enumerate(_lines(file, name), 1):
        line = line.rstrip()
        if not line:
            continue
        empty = False
        where = f"{name}: line {number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            rest = _shown(line[error.pos :]) if error.pos < len(line) else "the end of the line"
            raise DataError(
                f"{where}: column {error.colno}: {error.msg}, found {rest}, expected a JSON object"
            ) from error
        except (ValueError, RecursionError) as error:  # A number of too many digits; lists in lists in lists.
            raise DataError(f"{where}: {error}, expected a simple JSON object") from error
        if not isinstance(entry, dict):
            raise DataError(f"{where}: found {_shown(entry)}, expected a JSON object")
        keys = list(entry)
        yield number, {field: entry[keys[i]] for field, i in _fields(keys, where, "fields").items()}
    if empty:
        raise DataError(f"{name}: empty file, expected one JSON object a line")


def _fields(names: Sequence[str], where: str, kind: str) -> dict[str, int]:
    """The positions of the fields among `names`: path, labels, and text or tags."""
    found: dict[str, int] = {}
    for position, name in enumerate(names):
        field = _FIELD_OF.get(name.strip().lower())
        if field is None:
            continue
        if field in found:
            both = f"{_shown(names[found[field]])} and {_shown(name)}"
            raise DataError(f"{where}: found {both}, expected one field for '{field}'")
        found[field] = position
    if "text" in found and "tags" in found:
        both = f"{_shown(names[found['text']])} and {_shown(names[found['tags']])}"
        raise DataError(f"{where}: found {both}, expected either text or tags")
    missing = [f"'{field}'" for field in ("path", "labels") if field not in found]
    if "text" not in found and "tags" not in found:
        missing.append("'text' or 'tags'")
    if missing:
        listed = _shortened(", ".join(_shown(name) for name in names)) or "none"
        raise DataError(f"{where}: field {missing[0]} not found, found {kind} {listed}, expected {_NEEDED}")
    return found


def _lines(file: Path, name: str) -> Iterator[str]:
    """The lines of the file with their ends, without a byte order mark."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise DataError(f"{name}: {kind}, expected a file of annotations")
        if found.st_size > MAX_FILE_BYTES:
            raise DataError(f"{name}: {found.st_size} bytes, expected {MAX_FILE_BYTES} at most")
        with open(file, "rb") as stream:
            for number, line in enumerate(stream, 1):
                yield _decoded(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, name, number)
    except FileNotFoundError as error:
        raise DataError(f"{name}: not found, expected a file of annotations") from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read, {error.strerror}; expected annotations") from error


def _decoded(line: bytes, name: str, number: int) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: line {number}: byte {error.start + 1} of the line is 0x{line[error.start]:02x}, "
            f"expected UTF-8"
        ) from error
    if "\0" in text:
        raise DataError(f"{name}: line {number}: found a NUL byte, expected text")
    return text


def _path(value: object, root: str, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: found {_shown(value)}, expected a string")
    if not value.strip():
        raise DataError(f"{where}: empty, expected the path of a picture")
    _check_characters(value, where)
    path = PurePosixPath(value.replace("\\", "/"))
    windows = PureWindowsPath(value)
    outside = windows.drive or windows.root or ".." in path.parts
    # What is named may still be a link to elsewhere; a picture that is missing is told later.
    real = os.path.realpath(os.path.join(root, path)) if not outside else ""
    if outside or os.path.commonpath([root, real]) != root:
        raise DataError(f"{where}: found {_shown(value)}, expected a relative path that stays in the folder")
    if not path.parts:
        raise DataError(f"{where}: found {_shown(value)}, expected the path of a picture")
    return path.as_posix()


def _text(value: object, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _normal(value, where)
    return "\n".join(_members(value, where, "a string or a list of strings"))


def _tags(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        text = _normal(value, where)
        return _parts(text.split(";" if ";" in text else ","))
    return _members(value, where, "a string or a list of strings")


def _labels(value: object, where: str) -> frozenset[str]:
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return frozenset(_parts(re.split("[;|]", _normal(value, where))))
    if isinstance(value, list):
        value = [str(label) if _is_whole(label) else label for label in value]
        return frozenset(_members(value, where, "strings or whole numbers, or a list of them"))
    if _is_whole(value):
        return frozenset([str(value)])
    raise DataError(f"{where}: found {_shown(value)}, expected strings or whole numbers, or a list of them")


def _members(value: object, where: str, expected: str) -> tuple[str, ...]:
    members = value if isinstance(value, list) else [value]
    wrong = [member for member in members if not isinstance(member, str)]
    if wrong:
        raise DataError(f"{where}: found {_shown(wrong[0])}, expected {expected}")
    return _parts(_normal(member, where) for member in members)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parts(parts: Sequence[str] | Iterator[str]) -> tuple[str, ...]:
    return tuple(part.strip() for part in parts if part.strip())


def _normal(text: str, where: str) -> str:
    _check_characters(text, where)
    return unicodedata.normalize("NFKC", text).strip()


def _check_characters(text: str, where: str) -> None:
    unusable = _UNUSABLE.search(text)
    if unusable:
        raise DataError(f"{where}: found character {unusable[0]!a}, expected text")


def _shown(value: object) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxlong = short.maxother = _LONGEST
    return _shortened(short.repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _printable(name: str | Path) -> str:
    return str(name) if str(name).isprintable() else ascii(str(name))
