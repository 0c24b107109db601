"""The entries to encode: picture files, texts, pairs of both, or vectors, always in the same order."""

import dataclasses
import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import numpy as np

from gch.data.annotations import read_described
from gch.data.layouts import array_of
from gch.data.pictures import as_stored
from gch.data.text_files import json_lines, require_file, text_lines
from gch.data.vector_files import Rows
from gch.data.vocabulary import Caption
from gch.errors import DataError

READ_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
)
UNREAD_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg"})  # pictures all the same
LONGEST_TEXT = 100_000  # characters of a line
LIST_EXPECTED = "expected a path on each line, relative to the folder of the list"
NAMES_EXPECTED = "expected a line for each vector: the path of the picture, or the text"
TEXTS_EXPECTED = "expected a text on each line, or JSON objects with 'id' and 'text' or 'tags'"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A picture, a text, a pair, or a vector of a picture or a text."""

    id: str  # path of a picture relative to the root, or name of a text
    text: str | tuple[str, ...] | None = None  # a free text, or tags; None for a picture alone
    pictured: bool = False  # whether `id` is the path of a picture, to be read
    vector: np.ndarray | None = None  # float32 (F,), which is coded in place of a picture or a text
    one_line: bool = False  # whether results show the lines of the text as one

    @property
    def shown(self) -> str | None:
        """The text as results show it."""
        if isinstance(self.text, str):
            return self.text.replace("\n", " / ") if self.one_line else self.text
        return None if self.text is None else ", ".join(self.text)


@dataclasses.dataclass(frozen=True)
class Entries:
    """The entries to encode, which can be iterated repeatedly. Pairs are held in memory; of others, one line
    or folder at a time.

    Iterating raises DataError where something cannot be read.
    """

    modality: str  # 'image', 'text' or 'pair'
    root: str  # absolute path of the folder that ids of pictures are relative to; '' for texts
    read: Callable[[], Iterator[Entry]]

    def __iter__(self) -> Iterator[Entry]:
        return self.read()


def picture_entries(path: Path) -> Entries:
    """The pictures of a folder and its subfolders, known by their suffixes, or those that a file lists.

    Hidden files and folders, and empty lines, do not count. A line is a path relative to the folder of the
    file, or an absolute one inside it, see `_inside`. Raises DataError where there is no such folder or file.
    """
    if path.is_dir():
        root = str(path.resolve())
        return Entries("image", root, lambda: (Entry(one, None, True) for one in _files(root, READ_SUFFIXES)))
    expected = "expected a folder of pictures, or a list of their paths"
    require_file(path, expected)
    if path.suffix.lower() in READ_SUFFIXES:
        raise DataError(f"{path}: is a picture, {expected}")
    root = str(path.resolve().parent)
    return Entries("image", root, lambda: _listed(path, root))


def unread_pictures(folder: Path) -> int:
    """The number of pictures in a folder and its subfolders whose formats are not read."""
    return sum(1 for _ in _files(str(folder), UNREAD_SUFFIXES))


def text_entries(path: Path) -> Entries:
    """The texts of a file: one on each line, whose id is its number from 1 on, or JSON objects."""
    return Entries("text", "", lambda: _texts(path))


def vector_entries(path: Path, modality: str, width: int, names: Path | None) -> Entries:
    """The vectors of a file, known by their rows, from 0 on; in a .npy file they stay on disk.

    Args:
      path: of an array (N, F) or (F, N); with several vectors an item, see `gch.data.vector_files`.
      modality: 'image' or 'text'.
      width: F, 0 for any.
      names: file with a line for each vector: the path of the picture, as in `picture_entries`, or the text.

    Raises:
      DataError: a file cannot be read, vectors are not finite or of another width, or there are more or fewer
        names.
    """
    array = array_of(path, f"{modality}s")
    vectors = Rows(array, width)
    root = str(names.resolve().parent) if names and modality == "image" else ""
    if names is not None:
        found = sum(1 for _ in text_lines(names, NAMES_EXPECTED, max_line=LONGEST_TEXT))
        if found != len(vectors):
            raise DataError(f"{names}: {found} lines, expected {len(vectors)}, one for each vector of {path}")

    def read() -> Iterator[Entry]:
        if names is None:
            yield from (Entry(str(row), vector=vector) for row, vector in enumerate(vectors))
            return
        lines = text_lines(names, NAMES_EXPECTED, max_line=LONGEST_TEXT)
        for (row, vector), (number, line) in zip(enumerate(vectors), lines, strict=False):
            if root:
                yield Entry(_inside(line.rstrip("\r\n"), root, f"{names}: line {number}"), vector=vector)
            else:
                yield Entry(str(row), line.strip(), vector=vector)

    return Entries(modality, root, read)


def pair_entries(path: Path) -> Entries:
    """The pairs of a file, see `gch.data.annotations.read_described`, known by the paths of their pictures.

    Texts without a picture are known by the numbers of their lines. Several texts of a picture are the lines
    of one, as in training; results show them on one line. Raises DataError as that function does.
    """

    def entry(line: int, picture: str, caption: Caption) -> Entry:
        return Entry(picture or str(line), caption or None, bool(picture), one_line=True)

    found = [entry(*one) for one in read_described(path)]
    return Entries("pair", str(path.resolve().parent), lambda: iter(found))


def survey(entries: Entries, rule: str) -> tuple[int, str]:
    """Number of entries, and a digest of the entries and of the rule by which they are encoded."""
    content, count = hashlib.sha256(f"{rule}\n{entries.modality}\n".encode()), 0
    for entry in entries:
        content.update(json.dumps([entry.id, entry.text]).encode("ascii"))
        content.update(b"" if entry.vector is None else entry.vector.tobytes())
        count += 1
    return count, content.hexdigest()


def _files(root: str, suffixes: Container[str], inner: str = "") -> Iterator[str]:
    try:
        with os.scandir(os.path.join(root, inner)) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise DataError(f"{os.path.join(root, inner)}: cannot be listed, {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = posixpath.join(inner, entry.name)  # an id, alike on all systems
        if entry.is_dir(follow_symlinks=False):
            yield from _files(root, suffixes, path)
        elif os.path.splitext(entry.name)[1].lower() in suffixes:
            yield path


def _listed(file: Path, root: str) -> Iterator[Entry]:
    for number, line in text_lines(file, LIST_EXPECTED):
        line = line.rstrip("\r\n")
        if line.strip():
            yield Entry(_inside(line, root, f"{file}: line {number}"), None, True)


def _inside(line: str, root: str, where: str) -> str:
    """The path of a line of a list, relative to its root. Where there is no such file, backslashes count as
    slashes, blanks around it are left out, and Unicode's other form is tried.
    """
    spelling = as_stored(root, line, line.strip().replace("\\", "/"))
    path = os.path.normpath(os.path.join(root, spelling))
    if not path.startswith(root.rstrip(os.sep) + os.sep):
        raise DataError(f"{where}: {line!r:.80} is not inside {root}; {LIST_EXPECTED}")
    return os.path.relpath(path, root).replace(os.sep, "/")


def _texts(file: Path) -> Iterator[Entry]:
    if file.suffix.lower() not in (".jsonl", ".ndjson"):
        for number, line in text_lines(file, TEXTS_EXPECTED, max_line=LONGEST_TEXT):
            yield Entry(str(number), line.strip())
        return
    for number, value in json_lines(file, TEXTS_EXPECTED, max_line=LONGEST_TEXT):
        identity, text, tags = value.get("id", str(number)), value.get("text"), value.get("tags")
        where = f"{file}: line {number}"
        if not isinstance(identity, str) or not identity:
            raise DataError(f"{where}: id is {identity!r:.40}; expected a string that is not empty")
        if isinstance(text, str):
            yield Entry(identity, text.strip())
        elif isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
            yield Entry(identity, tuple(tags))
        else:
            raise DataError(
                f"{where}: neither 'text', a string, nor 'tags', a list of strings; {TEXTS_EXPECTED}"
            )
