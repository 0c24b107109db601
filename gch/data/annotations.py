"""Users' own collections: a folder of pictures, and a CSV or JSON-lines file that describes them."""

import csv
import itertools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np

from gch.data.cells import is_broken_list, is_missing, positions, read_list, split_list
from gch.data.layouts import ANNOTATION_SUFFIXES
from gch.data.pairs import Origin, Pairs, multi_hot
from gch.data.pictures import PictureFiles, as_stored
from gch.data.split import default_sizes
from gch.data.text_files import json_lines, printable, shown, split_returns, text_lines, whole
from gch.errors import DataError
from gch.storage import digest

MAX_FILE_BYTES = 2**31
_EXPECTED = "expected a file of annotations"
_NAMES = {
    "path": ("path", "image", "file", "filename", "file_name", "image_name", "filepath"),
    "text": ("text", "caption", "captions", "title", "description"),
    "tags": ("tags", "keywords"),
    "labels": ("labels", "label", "category", "categories"),
}
_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names}
_DELIMITERS = ",;\t|"
_DECLARED_DELIMITER = re.compile('"?sep=([^\\w"\\r\\n])"?', re.IGNORECASE)


_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # NUL and halves of surrogate pairs: no file can hold them.


def open_collection(file: Path, folder: Path, size: int, fit: str) -> Pairs:
    """Opens a collection; its texts await a vocabulary. Entries without a label are left out, unless none has
    one: then all are kept, without labels.

    Every entry has a path, a text or tags, and labels if any; docs/data.md lists names of columns and ways to
    write values. A path stays in the folder. Texts, tags and labels are brought to Unicode's form NFKC, and
    stripped. As many zeros and ones in every entry say which of the labels, or tags, it has. Entries of one
    picture, such as five captions, are joined.

    Args:
      file: .csv, .tsv, .txt (CSV), .jsonl or .ndjson, UTF-8 or UTF-16, of `MAX_FILE_BYTES` at most.
      folder: where the pictures are. They are not read here, and need not exist.
      size: height and width that pictures are scaled to.
      fit: 'crop' or 'letterbox'.

    Returns:
      Pairs in the order of the file; ids are the paths, label names ascend.

    Raises:
      DataError: the file cannot be read, an entry is not as described above, or there is no text at all;
        names the line and the field.
    """
    name = printable(file)
    items, entries = _items(file, name, folder, of_pairs=False)
    labelled = [item for item, names in items.items() if names]
    kept = labelled or list(items)
    texts = tuple(item.caption for item in kept)
    if not any(texts):
        some = f"{len(kept)} entries" + (" with labels" if labelled else "")
        raise DataError(f"{name}: field 'text' or 'tags': empty in all {some}, expected text")
    label_names = tuple(sorted(frozenset[str]().union(*items.values())))
    try:
        hot = multi_hot([items[item] for item in kept], label_names)
    except (MemoryError, ValueError) as error:
        found = f"{len(label_names)} labels of {len(kept)} entries"
        raise DataError(f"{name}: field 'labels': {found}, expected as many as fit into memory") from error
    ids = tuple(item.path for item in kept)
    pictures = PictureFiles(folder, ids, size, fit)
    kind = "tags" if any(isinstance(caption, tuple) for caption in texts) else "free text"
    and_labels = f"and {len(label_names)} labels" if labelled else "and no labels"
    unread = [] if labelled else [one for one in _names(file, name) if one.strip().lower() not in _FIELD_OF]
    and_labels += f"; not read: {', '.join(map(shown, unread[:5]))}" if unread else ""
    lines = [f"{file.name}: {len(ids)} pictures with {kind} {and_labels}"]
    if entries > len(items):
        joined = "texts and labels of a picture are joined"
        lines.append(f"{entries} entries describe {len(items)} pictures; {joined}")
    unlabelled = [item for item, names in items.items() if not names]
    if labelled and unlabelled:
        first = ", ".join(item.path for item in unlabelled[:3]) + " ..." * (len(unlabelled) > 3)
        lines.append(f"left out, because they have no label: {len(unlabelled)} entries ({first})")
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
        origin=Origin(folder=folder, sources=(file.name,)),
    )


class Described(NamedTuple):
    """A pair, or one half of it."""

    line: int  # of its first entry
    path: str  # of the picture, relative to the folder; '' where there is none
    caption: str | tuple[str, ...]  # free text or tags; empty where there are none


def read_described(file: Path) -> list[Described]:
    """Pictures with text or tags from a file as of `open_collection`, whose folder is that of the file.

    Labels are not read and need not be there. An entry may lack its picture, or its text or tags. A picture
    that is a link to another folder is no error here.

    Raises:
      DataError: the file cannot be read, an entry is not as described, or none has a picture, or none a text.
    """
    name, folder = printable(file), file.parent
    items, entries = _items(file, name, folder, of_pairs=True)
    _, paths, captions = zip(*items, strict=True)
    for field, column in (("'path'", paths), ("'text' or 'tags'", captions)):
        if not any(column):
            raise DataError(f"{name}: field {field}: empty in all {entries} entries, expected pairs")
    return list(items)


def _items(file: Path, name: str, folder: Path, *, of_pairs: bool) -> tuple[dict[Described, set[str]], int]:
    """The labels of each picture, in the order of their first entries, and the number of entries. Texts and
    labels of several entries of a picture are joined; texts without a picture stay apart.
    """
    suffix = file.suffix.lower()
    if suffix not in (*ANNOTATION_SUFFIXES, ".txt"):
        given = "a folder" if file.is_dir() else f"suffix {shown(file.suffix)}"
        raise DataError(f"{name}: found {given}, expected {', '.join(ANNOTATION_SUFFIXES)}")
    read = _json_entries if _is_json(file) else _csv_entries
    roots = os.path.realpath(folder), os.path.abspath(folder)
    rows: list[tuple[int, str, bool, tuple[str, ...], tuple[str, ...]]] = []
    checked: dict[str, str] = {}  # paths: links take long to follow, and five captions name one picture
    for line, entry in read(file, name, of_pairs):
        where, path = f"{name}: line {line}", entry.get("path")
        none = of_pairs and (is_missing(path) or (isinstance(path, str) and not path.strip()))
        found = "" if none else checked.get(path) if isinstance(path, str) else None
        if found is None:
            found = checked[str(path)] = _path(path, roots, f"{where}: field 'path'", links=of_pairs)
        field = "text" if "text" in entry else "tags"
        own, names = _strings(entry, field, where), _strings(entry, "labels", where)
        rows.append((line, found, field == "text", own, names))
    if not rows:
        raise DataError(f"{name}: found no entry, expected one for each picture")
    lines, paths, free, words, labels = map(list, zip(*rows, strict=True))
    if not any(free):
        words = positions(words)
    first = next(filter(None, paths), "")
    if first and (inner := _inner_folder(folder, first)) is not None:
        paths = [path and f"{inner}/{path}" for path in paths]
    joined: dict[str | int, tuple[int, str, bool, list[str], set[str]]] = {}
    for line, path, text, own, names in zip(lines, paths, free, words, positions(labels), strict=True):
        first_line, _, of_text, known, all_names = joined.get(path or line, (line, path, text, [], set()))
        merged = known + [word for word in own if word not in known]
        joined[path or line] = first_line, path, of_text if known else text, merged, all_names | {*names}
    items = {
        Described(line, path, "\n".join(own) if text else tuple(own)): names
        for line, path, text, own, names in joined.values()
    }
    return items, len(paths)


def _is_json(file: Path) -> bool:
    return file.suffix.lower() in (".jsonl", ".ndjson")


def _names(file: Path, name: str) -> list[str]:
    """The columns of a file that has been read, or the fields of its first entry."""
    if _is_json(file):
        return list(next(json_lines(file, _EXPECTED, MAX_FILE_BYTES))[1])
    return next(_csv_rows(file, name))[1]


def _csv_entries(file: Path, name: str, of_pairs: bool) -> Iterator[tuple[int, dict[str, object]]]:
    rows = _csv_rows(file, name)
    line, header = next(rows, (1, []))
    column_of = _columns(header, f"{name}: line {line}", "columns", of_pairs)
    for line, row in rows:
        if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"{name}: line {line}: {len(row)} cells, expected {len(header)} as in the header; "
                f"a cell that holds the delimiter needs quotes"
            )
        yield line, {field: row[column] for field, column in column_of.items()}


def _csv_rows(file: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with the numbers of their first lines."""
    csv.field_size_limit(2**31 - 1)
    lines = _csv_lines(file)
    start, delimiter = [], ""
    for line in lines:
        start.append(line)
        if declared := _DECLARED_DELIMITER.fullmatch(line.strip("\r\n")):
            start[-1], delimiter = "\n", declared[1]  # as Excel reads it
        elif line.strip():
            break
    delimiter = delimiter or _delimiter("".join(start[-1:]))
    sign = re.escape(delimiter)
    # Only where needed: the names of pictures may begin with blanks.
    before_quote = re.compile(rf'(?:^|{sign}) +"(?!"[^"{sign}\r\n])')
    skip_blanks = any(before_quote.search(line) for line in _csv_lines(file))
    # Not strict, csv would take all that follows an unclosed quote as one cell.
    reader = csv.reader(
        itertools.chain(start, lines), delimiter=delimiter, skipinitialspace=skip_blanks, strict=True
    )
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name}: line {first}: {error}, expected a row of CSV") from error
        if "".join(row).strip():
            yield first, row


def _csv_lines(file: Path) -> Iterator[str]:
    for _, line in text_lines(file, _EXPECTED, MAX_FILE_BYTES):
        yield from split_returns(line)


def _delimiter(header: str) -> str:
    def fitness(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        return sum(cell.strip().lower() in _FIELD_OF for cell in cells), len(cells)

    return max(_DELIMITERS, key=fitness)


def _json_entries(file: Path, name: str, of_pairs: bool) -> Iterator[tuple[int, dict[str, object]]]:
    for line, entry in json_lines(file, _EXPECTED, MAX_FILE_BYTES):
        keys = list(entry)
        column_of = _columns(keys, f"{name}: line {line}", "fields", of_pairs)
        yield line, {field: entry[keys[column]] for field, column in column_of.items()}


def _columns(names: Sequence[str], where: str, kind: str, of_pairs: bool) -> dict[str, int]:
    """The positions of the fields among `names`: a path, text or tags, and labels if any; or, `of_pairs`, a
    path or text or tags.
    """
    fields = [_FIELD_OF.get(name.strip().lower(), "") for name in names]
    position_of: dict[str, int] = {}
    absent = []
    for group in (("path",), ("text", "tags"), *([] if of_pairs else [("labels",)])):
        one = " or ".join(map(repr, group))
        positions = [position for position, field in enumerate(fields) if field in group]
        if len(positions) > 1:
            both = " and ".join(shown(names[position]) for position in positions[:2])
            raise DataError(f"{where}: found {both}, expected one field for {one}")
        if positions:
            position_of[fields[positions[0]]] = positions[0]
        elif group != ("labels",):
            absent.append(one)
    if absent and not (of_pairs and position_of):
        found = f"found {kind} {shown(list(names))}"
        expected = "path, text or tags" + ("" if of_pairs else ", and labels if any")
        raise DataError(f"{where}: field {absent[0]} not found, {found}, expected {expected}")
    return position_of


def _inner_folder(folder: Path, path: str) -> str | None:
    """The only folder beside the file that holds a picture which the folder itself lacks, as Kaggle packs."""
    if (folder / path).exists() or not folder.is_dir():
        return None
    found = [child for child in folder.iterdir() if not child.is_symlink() and (child / path).is_file()]
    return found[0].name if len(found) == 1 else None


def _path(value: object, roots: tuple[str, str], where: str, links: bool) -> str:
    """The path of a picture in the folder; `roots` are the folder without links, and as it is named. It may
    be a link to elsewhere if `links` are allowed.
    """
    root, text = roots[0], value.replace("\\", "/") if isinstance(value, str) and value.strip() else ""
    _check_characters(text, where)
    text = as_stored(root, text, text.strip())
    path = PurePosixPath(text)
    if not isinstance(value, str) or not path.parts:
        raise DataError(f"{where}: found {shown(value)}, expected the path of a picture")
    for base in (root.replace("\\", "/") for root in roots):
        if text.startswith(base) and path.is_relative_to(base):
            path = path.relative_to(base)
    windows = PureWindowsPath(path)
    outside = not path.parts or windows.drive or windows.root or ".." in path.parts or "://" in text
    # What is named may still be a link to elsewhere. Whether the picture is there is found out later.
    if not outside and not links:
        outside = os.path.commonpath([root, os.path.realpath(os.path.join(root, path))]) != root
    if outside:
        raise DataError(f"{where}: found {shown(value)}, expected a path that stays in the folder")
    return path.as_posix()


def _strings(entry: dict[str, object], field: str, where: str) -> tuple[str, ...]:
    """The members of a list, or the parts of a string, normalised and stripped; without empty ones."""
    value, where = entry.get(field), f"{where}: field {field!r}"
    value = whole(value) if isinstance(value, str) else value
    members: list = value if isinstance(value, list) else [] if is_missing(value) else [value]
    if isinstance(value, str) and members:
        _check_characters(value, where)
        written = read_list(value)
        if field != "text" and is_broken_list(value, written):
            raise DataError(f"{where}: found {shown(value)}, expected a whole list of strings")
        if written and (field != "text" or written[1]):
            members = written[0]
        elif field != "text":
            members = split_list(unicodedata.normalize("NFKC", value), ";|" if field == "labels" else ";")
    if isinstance(value, list) and all(type(member) is bool for member in members):
        members = [str(member) for member in members]  # see `positions`
    parts: list[str] = []
    for member in members:
        if member is None or member != member:
            continue
        if field == "labels" and (type(member) is int or (type(member) is float and member.is_integer())):
            member = str(int(member))
        if not isinstance(member, str):
            expected = "strings or whole numbers" if field == "labels" else "a string"
            raise DataError(f"{where}: found {shown(member)}, expected {expected}, or a list of them")
        _check_characters(whole(member), where)
        parts.append(unicodedata.normalize("NFKC", whole(member)).strip())
    return tuple(filter(None, parts))


def _check_characters(text: str, where: str) -> None:
    if unusable := _UNUSABLE.search(text):
        raise DataError(f"{where}: found character {unusable[0]!a}, expected text")
