"""The user's own collection: a folder of pictures, and a CSV or JSON-lines file that describes them."""

import csv
import itertools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from gch.data.layouts import ANNOTATION_SUFFIXES
from gch.data.pairs import Pairs, multi_hot
from gch.data.pictures import PictureFiles
from gch.data.split import default_sizes
from gch.data.text_files import json_lines, printable, shown, text_lines, whole
from gch.errors import DataError
from gch.storage import digest

MAX_FILE_BYTES = 2**31
_EXPECTED = "expected a file of annotations"
_NAMES = {
    "path": ("path", "image", "file", "filename", "file_name"),
    "text": ("text", "caption", "captions", "title", "description"),
    "tags": ("tags", "keywords"),
    "labels": ("labels", "label", "category", "categories"),
}
_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names}
_GROUPS = (("path",), ("labels",), ("text", "tags"))  # one field of each
_NEEDED = "path, labels, and text or tags"
_DELIMITERS = ",;\t"
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # NUL and halves of surrogate pairs: no file can hold them.


def open_collection(file: Path, folder: Path, size: int, fit: str) -> Pairs:
    """Opens a collection; its texts await a vocabulary. Entries without a label are left out.

    Every entry has a path, a text or tags, and labels, by these names or others that are common, in upper
    or lower case; further columns and fields are ignored. A path is relative to the folder and stays in
    it; a backslash separates its parts just as '/' does. Tags in one string are separated by ';', or by ','
    where there is no ';'; labels in one string by ';' or '|'. In JSON, texts, tags and labels may be lists,
    whose members are not split; the members of a text become its lines; labels may be whole numbers; null
    is no text, no tags or no label. Texts, tags and labels are brought to Unicode's form NFKC first, and
    stripped. The delimiter of CSV, ',', ';' or a tab, is the one that fits the header.

    Args:
      file: .csv, .tsv, .jsonl or .ndjson, UTF-8, of `MAX_FILE_BYTES` at most.
      folder: where the pictures are. They are not read here, and need not exist.
      size: height and width that pictures are brought to.
      fit: 'crop' or 'letterbox'.

    Returns:
      Pairs in the order of the file; ids are the paths, label names ascend.

    Raises:
      DataError: the file cannot be read, an entry is not as described above, a path is there twice, or there
        is no entry with a label, or no text at all; names the line and the field.
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
            found = f"{shown(path)} is on line {line_of[path]} too"
            raise DataError(f"{where}: field 'path': {found}, expected each picture once")
        line_of[path] = line
        if "text" in entry:
            captions.append("\n".join(_strings(entry, "text", where)))
        else:
            captions.append(_strings(entry, "tags", where))
        labels.append(frozenset(_strings(entry, "labels", where)))
    if not labels:
        raise DataError(f"{name}: found no entry, expected one for each picture")
    kept = [row for row, names in enumerate(labels) if names]
    if not kept:
        raise DataError(f"{name}: field 'labels': empty in all {len(labels)} entries, expected labels")
    texts = tuple(captions[row] for row in kept)
    if not any(texts):
        raise DataError(
            f"{name}: field 'text' or 'tags': empty in all {len(kept)} entries with labels, expected text"
        )
    label_names = tuple(sorted(frozenset[str]().union(*labels)))
    try:
        hot = multi_hot([labels[row] for row in kept], label_names)
    except (MemoryError, ValueError) as error:
        found = f"{len(label_names)} labels of {len(kept)} entries"
        raise DataError(f"{name}: field 'labels': {found}, expected as many as fit into memory") from error
    paths = tuple(line_of)
    ids = tuple(paths[row] for row in kept)
    pictures = PictureFiles(folder, ids, size, fit)
    kind = "tags" if any(isinstance(caption, tuple) for caption in texts) else "free text"
    lines = [f"{file.name}: {len(ids)} pictures with {kind} and {len(label_names)} labels"]
    if unlabelled := [path for path, names in zip(paths, labels, strict=True) if not names]:
        first = ", ".join(unlabelled[:3])
        lines.append(f"left out, as they have no label: {len(unlabelled)} entries ({first} ...)")
    return Pairs(
        name="collection",
        texts=np.zeros((len(ids), 0), np.uint8),
        labels=hot,
        label_names=label_names,
        default_sizes=default_sizes("collection", len(ids)),
        digest=digest(hot, repr((texts, label_names)), pictures.digest),
        pictures=pictures,
        captions=texts,
        ids=ids,
        found=tuple(lines),
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
    """Rows that are not blank, with the numbers of their first lines."""
    lines = (line for _, line in text_lines(file, _EXPECTED, MAX_FILE_BYTES))
    start = []
    for line in lines:
        start.append(line)
        if line.strip():
            break
    delimiter = _delimiter("".join(start[-1:]))
    # Not strict, csv would take all that follows an unclosed quote as one cell.
    reader = csv.reader(itertools.chain(start, lines), delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name}: line {first}: {error}, expected a row of CSV") from error
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
    line = 0
    for line, entry in json_lines(file, _EXPECTED, MAX_FILE_BYTES):
        keys = list(entry)
        column_of = _fields(keys, f"{name}: line {line}", "fields")
        yield line, {field: entry[keys[column]] for field, column in column_of.items()}
    if not line:
        raise DataError(f"{name}: empty file, expected one JSON object a line")


def _fields(names: Sequence[str], where: str, kind: str) -> dict[str, int]:
    """The positions of the fields among `names`: path, labels, and text or tags."""
    fields = [_FIELD_OF.get(name.strip().lower(), "") for name in names]
    position_of: dict[str, int] = {}
    for group in _GROUPS:
        wanted = " or ".join(map(repr, group))
        positions = [position for position, field in enumerate(fields) if field in group]
        if not positions:
            found = f"found {kind} {shown(list(names))}"
            raise DataError(f"{where}: field {wanted} not found, {found}, expected {_NEEDED}")
        if len(positions) > 1:
            both = " and ".join(shown(names[position]) for position in positions[:2])
            raise DataError(f"{where}: found {both}, expected one field for {wanted}")
        position_of[fields[positions[0]]] = positions[0]
    return position_of


def _path(value: object, root: str, where: str) -> str:
    path = PurePosixPath(value.replace("\\", "/") if isinstance(value, str) and value.strip() else "")
    if not isinstance(value, str) or not path.parts:
        raise DataError(f"{where}: found {shown(value)}, expected the path of a picture")
    _check_characters(value, where)
    windows = PureWindowsPath(value)
    outside = windows.drive or windows.root or ".." in path.parts
    # What is named may still be a link to elsewhere. Whether the picture is there is found out later.
    if outside or os.path.commonpath([root, os.path.realpath(os.path.join(root, path))]) != root:
        raise DataError(f"{where}: found {shown(value)}, expected a relative path that stays in the folder")
    return path.as_posix()


def _strings(entry: dict[str, object], field: str, where: str) -> tuple[str, ...]:
    """The members of a list, or the parts of a string, normalised and stripped; without empty ones."""
    value, where = entry[field], f"{where}: field {field!r}"
    parts: list[str] = []
    for member in value if isinstance(value, list) else [] if value is None else [value]:
        if field == "labels" and type(member) is int:
            member = str(member)
        if not isinstance(member, str):
            expected = "strings or whole numbers" if field == "labels" else "a string"
            raise DataError(f"{where}: found {shown(member)}, expected {expected}, or a list of them")
        _check_characters(whole(member), where)
        text = unicodedata.normalize("NFKC", whole(member))
        if isinstance(value, list) or field == "text":
            parts.append(text)
        else:
            parts += re.split("[;|]" if field == "labels" else ";" if ";" in text else ",", text)
    return tuple(part.strip() for part in parts if part.strip())


def _check_characters(text: str, where: str) -> None:
    if unusable := _UNUSABLE.search(text):
        raise DataError(f"{where}: found character {unusable[0]!a}, expected text")
