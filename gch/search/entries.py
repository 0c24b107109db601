"""What is encoded: a list of picture files, or the texts of a file, in an order that is always the same."""

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from gch.data.text_files import json_lines, text_lines
from gch.errors import DataError

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
)
LONGEST_TEXT = 100_000  # characters of a line
LIST_EXPECTED = "expected a path on each line, relative to the folder of the list"
TEXTS_EXPECTED = "expected a text on each line, or JSON objects with 'id' and 'text' or 'tags'"
_JSON = (".jsonl", ".ndjson")


@dataclasses.dataclass(frozen=True)
class Entry:
    """Attributes:
    id: path of a picture relative to the root, or what a text is called.
    text: a free text, or tags; None for a picture.
    """

    id: str
    text: str | tuple[str, ...] | None = None

    @property
    def shown(self) -> str | None:
        """The text as results show it."""
        return self.text if self.text is None or isinstance(self.text, str) else ", ".join(self.text)


class Entries(Protocol):
    """What is encoded; gone through as often as needed, a line or a folder in memory at a time.

    Attributes:
      modality: 'image' or 'text'.
      root: absolute path of the folder that the ids of pictures are relative to; '' for texts.
    """

    modality: str
    root: str

    def __iter__(self) -> Iterator[Entry]: ...


@dataclasses.dataclass(frozen=True)
class PictureFolder:
    """All pictures in a folder and the folders in it, known by their suffixes; hidden ones do not count."""

    folder: Path
    modality: str = "image"

    @property
    def root(self) -> str:
        """Absolute path of the folder."""
        return str(self.folder.resolve())

    def __iter__(self) -> Iterator[Entry]:
        """Raises DataError where a folder cannot be listed."""
        return (Entry(path) for path in _pictures(self.root, ""))


@dataclasses.dataclass(frozen=True)
class PictureList:
    """The pictures that a file names, in its order; a line may be an absolute path inside the folder of the
    list. Empty lines do not count.
    """

    file: Path
    modality: str = "image"

    @property
    def root(self) -> str:
        """Absolute path of the folder of the list."""
        return str(self.file.resolve().parent)

    def __iter__(self) -> Iterator[Entry]:
        """Raises DataError where the file cannot be read, or names something outside its folder."""
        for number, line in text_lines(self.file, LIST_EXPECTED):
            line = line.rstrip("\r\n")
            if line.strip():
                path = os.path.normpath(os.path.join(self.root, line))
                if not path.startswith(self.root.rstrip(os.sep) + os.sep):
                    raise DataError(
                        f"{self.file}: line {number}: {line!r:.80} is not inside {self.root}; {LIST_EXPECTED}"
                    )
                yield Entry(os.path.relpath(path, self.root))


@dataclasses.dataclass(frozen=True)
class TextFile:
    """The texts of a file: one on each line, called by its number from 1 on, or JSON objects."""

    file: Path
    modality: str = "text"
    root: str = ""

    def __iter__(self) -> Iterator[Entry]:
        """Raises DataError where the file cannot be read, or a line is not what is expected."""
        if self.file.suffix.lower() in _JSON:
            for number, value in json_lines(self.file, TEXTS_EXPECTED, max_line=LONGEST_TEXT):
                yield _json_entry(self.file, number, value)
        else:
            for number, line in text_lines(self.file, TEXTS_EXPECTED, max_line=LONGEST_TEXT):
                yield Entry(str(number), line.strip())


def picture_entries(path: Path) -> Entries:
    """The pictures of a folder, or those that a list names.

    Raises:
      DataError: there is no such folder or file.
    """
    if path.is_dir():
        return PictureFolder(path)
    if not path.is_file():
        raise DataError(f"{path}: not found; expected a folder of pictures, or a list of their paths")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        raise DataError(f"{path}: is a picture; expected a folder of pictures, or a list of their paths")
    return PictureList(path)


def text_entries(path: Path) -> Entries:
    """The texts of a file.

    Raises:
      DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(f"{path}: not found; {TEXTS_EXPECTED}")
    return TextFile(path)


def survey(entries: Entries, rule: str) -> tuple[int, str]:
    """Number of entries, and a digest that names them and a rule of how they are encoded.

    Raises:
      DataError: they cannot be read.
    """
    content, count = hashlib.sha256(f"{rule}\n{entries.modality}\n".encode()), 0
    for entry in entries:
        content.update(json.dumps([entry.id, entry.text]).encode("ascii"))
        count += 1
    return count, content.hexdigest()


def part(entries: Entries, start: int, stop: int) -> Iterator[Entry]:
    """The entries `start` to before `stop`."""
    return itertools.islice(entries, start, stop)


def _pictures(root: str, inner: str) -> Iterator[str]:
    try:
        with os.scandir(os.path.join(root, inner)) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise DataError(f"{os.path.join(root, inner)}: cannot be listed, {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = os.path.join(inner, entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _pictures(root, path)
        elif os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES:
            yield path


def _json_entry(file: Path, number: int, value: dict) -> Entry:
    identity = value.get("id", str(number))
    text, tags = value.get("text"), value.get("tags")
    if not isinstance(identity, str) or not identity:
        raise DataError(f"{file}: line {number}: id is {identity!r:.40}; {TEXTS_EXPECTED}")
    if isinstance(text, str):
        return Entry(identity, text.strip())
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        return Entry(identity, tuple(tags))
    raise DataError(
        f"{file}: line {number}: neither 'text', a string, nor 'tags', a list of strings; {TEXTS_EXPECTED}"
    )
