"""The user's own collection: a folder of pictures, and a CSV or JSON-lines file that describes them.

Such a file is written by hand, by a spreadsheet or by a script, so every error names its line and its field.
The pictures themselves are not looked at here.
"""

import csv
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from gch.data.layouts import ANNOTATION_SUFFIXES
from gch.data.pairs import Pairs, multi_hot
from gch.data.picture_files import PictureFiles
from gch.data.split import default_sizes
from gch.data.text_files import json_lines, printable, shortened, shown, text_lines
from gch.errors import DataError
from gch.storage import digest

MAX_FILE_BYTES = 2**31
_EXPECTED = "expected a file of annotations"
_STRINGS = "a string or a list of strings"
_LABELS = "strings or whole numbers, or a list of them"
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


@dataclass(frozen=True, eq=False)
class Annotations:
    """N pictures with their captions and labels, in the order of the file.

    Attributes:
      paths: of the pictures, N, relative to their folder, parts separated by '/', no two alike.
      captions: N; a str is free text, a tuple of str are tags. Either may be empty, not all are.
      labels: uint8 (N, C), multi-hot, 1 or more in each row and column.
      label_names: C names, ascending.
      unlabelled: paths of the entries that are left out because they have no label.
    """

    paths: tuple[str, ...]
    captions: tuple[str | tuple[str, ...], ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    unlabelled: tuple[str, ...]


def open_collection(file: Path, folder: Path, size: int, fit: str) -> Pairs:
    """Opens a collection; its texts await a vocabulary. Entries without a label are left out.

    Args:
      file: of annotations, see `read_annotations`.
      folder: where the pictures are.
      size: height and width that pictures are brought to.
      fit: 'crop' or 'letterbox'.

    Raises:
      DataError: the file is damaged, or a field of it is not what it should be; names the line.
    """
    read = read_annotations(file, folder)
    items = len(read.paths)
    pictures = PictureFiles(folder, read.paths, size, fit)
    kind = "tags" if any(isinstance(caption, tuple) for caption in read.captions) else "free text"
    found = [f"{file.name}: {items} pictures with {kind} and {len(read.label_names)} labels"]
    if read.unlabelled:
        first = ", ".join(read.unlabelled[:3])
        found.append(f"left out, as they have no label: {len(read.unlabelled)} entries ({first} ...)")
    return Pairs(
        name="collection",
        texts=np.zeros((items, 0), np.uint8),
        labels=read.labels,
        label_names=read.label_names,
        default_sizes=default_sizes("collection", items),
        digest=digest(read.labels, repr((read.captions, read.label_names)), pictures.digest),
        pictures=pictures,
        captions=read.captions,
        ids=read.paths,
        found=tuple(found),
    )


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
      DataError: the file cannot be read, an entry is not as described above, a path is there twice, or there
        is no entry with a label, or no text at all.
    """
    name, suffix = printable(file), file.suffix.lower()
    if suffix not in ANNOTATION_SUFFIXES:
        raise DataError(
            f"{name}: found suffix {shown(file.suffix)}, expected {', '.join(ANNOTATION_SUFFIXES)}"
        )
    root = os.path.realpath(folder)
    line_of: dict[str, int] = {}
    captions: list[str | tuple[str, ...]] = []
    labels: list[frozenset[str]] = []
    for line, entry in (_csv_entries if suffix in (".csv", ".tsv") else _json_entries)(file, name):
        where = f"{name}: line {line}"
        path = _path(entry["path"], root, f"{where}: field 'path'")
        if path in line_of:
            raise DataError(
                f"{where}: field 'path': {shown(path)} is on line {line_of[path]} too, expected each picture "
                "once"
            )
        line_of[path] = line
        if "text" in entry:
            lines = _strings(entry["text"], f"{where}: field 'text'", lambda text: [text], _STRINGS)
            captions.append("\n".join(lines))
        else:
            captions.append(_strings(entry["tags"], f"{where}: field 'tags'", _split_tags, _STRINGS))
        names = _strings(entry["labels"], f"{where}: field 'labels'", _split_labels, _LABELS, True)
        labels.append(frozenset(names))
    return _gathered(name, list(line_of), captions, labels)


def _gathered(
    name: str,
    paths: Sequence[str],
    captions: Sequence[str | tuple[str, ...]],
    labels: Sequence[frozenset[str]],
) -> Annotations:
    if not paths:
        raise DataError(f"{name}: found no entry, expected one for each picture")
    kept = [row for row, names in enumerate(labels) if names]
    if not kept:
        raise DataError(f"{name}: field 'labels': empty in all {len(paths)} entries, expected labels")
    if not any(captions[row] for row in kept):
        raise DataError(
            f"{name}: field 'text' or 'tags': empty in all {len(kept)} entries with labels, expected text"
        )
    label_names = tuple(sorted(frozenset[str]().union(*labels)))
    try:
        hot = multi_hot([labels[row] for row in kept], label_names)
    except (MemoryError, ValueError) as error:
        raise DataError(
            f"{name}: field 'labels': {len(label_names)} labels of {len(kept)} entries, expected as many as "
            "fit into memory"
        ) from error
    return Annotations(
        paths=tuple(paths[row] for row in kept),
        captions=tuple(captions[row] for row in kept),
        labels=hot,
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
    lines = (line for _, line in text_lines(file, _EXPECTED, MAX_FILE_BYTES))
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
    for line, entry in json_lines(file, _EXPECTED, MAX_FILE_BYTES):
        keys, empty = list(entry), False
        column_of = _fields(keys, f"{name}: line {line}", "fields")
        yield line, {field: entry[keys[column]] for field, column in column_of.items()}
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
            both = f"{shown(names[found[field]])} and {shown(name)}"
            raise DataError(f"{where}: found {both}, expected one field for '{field}'")
        found[field] = position
    if "text" in found and "tags" in found:
        both = f"{shown(names[found['text']])} and {shown(names[found['tags']])}"
        raise DataError(f"{where}: found {both}, expected either text or tags")
    missing = [f"'{field}'" for field in ("path", "labels") if field not in found]
    if "text" not in found and "tags" not in found:
        missing.append("'text' or 'tags'")
    if missing:
        listed = shortened(", ".join(shown(name) for name in names)) or "none"
        raise DataError(f"{where}: field {missing[0]} not found, found {kind} {listed}, expected {_NEEDED}")
    return found


def _path(value: object, root: str, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: found {shown(value)}, expected a string")
    if not value.strip():
        raise DataError(f"{where}: empty, expected the path of a picture")
    _check_characters(value, where)
    path = PurePosixPath(value.replace("\\", "/"))
    windows = PureWindowsPath(value)
    outside = windows.drive or windows.root or ".." in path.parts
    # What is named may still be a link to elsewhere. Whether the picture is there is found out later.
    real = os.path.realpath(os.path.join(root, path)) if not outside else ""
    if outside or os.path.commonpath([root, real]) != root:
        raise DataError(f"{where}: found {shown(value)}, expected a relative path that stays in the folder")
    if not path.parts:
        raise DataError(f"{where}: found {shown(value)}, expected the path of a picture")
    return path.as_posix()


def _strings(
    value: object, where: str, split: Callable[[str], list[str]], expected: str, whole_numbers: bool = False
) -> tuple[str, ...]:
    """The members of a list, or the parts of a string, stripped; without empty ones."""
    if value is None:
        return ()
    parts: list[str] = []
    for member in value if isinstance(value, list) else [value]:
        if whole_numbers and isinstance(member, int) and not isinstance(member, bool):
            member = str(member)
        if not isinstance(member, str):
            raise DataError(f"{where}: found {shown(member)}, expected {expected}")
        text = _normal(member, where)
        parts += [text] if isinstance(value, list) else split(text)
    return tuple(part.strip() for part in parts if part.strip())


def _split_tags(text: str) -> list[str]:
    return text.split(";" if ";" in text else ",")


def _split_labels(text: str) -> list[str]:
    return re.split("[;|]", text)


def _normal(text: str, where: str) -> str:
    _check_characters(text, where)
    return unicodedata.normalize("NFKC", text).strip()


def _check_characters(text: str, where: str) -> None:
    if unusable := _UNUSABLE.search(text):
        raise DataError(f"{where}: found character {unusable[0]!a}, expected text")
