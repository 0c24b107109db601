"""The files of a download: those in a folder, and those in the zip files there, which are read in place.

A zip file is like a folder of its name: 'mirflickr25k.zip/mirflickr/im1.jpg'. Names have '/' between their
parts and are relative to the folder.
"""

import collections
import contextlib
import functools
import math
import os
import posixpath
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from gch.data.pictures import MAX_FILE_BYTES, PictureFiles
from gch.data.text_files import opened, printable, shown
from gch.errors import DataError, damage, reason
from gch.storage import digest

_DEPTH = 5  # of folders that are looked into
_SKIPPED = ("cache",)  # our own
_TEXT_BYTES = 2**28
# Pictures of one size, from how many on they are compared, and how many of them; of how many sizes.
_ALIKE, _SAMPLE, _SIZES = 20, 10, 3
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


class Files:
    """The files under a folder, listed once. Any thread may read them.

    Args:
      folder: their folder, or one of its zip files.

    Raises:
      DataError: the folder cannot be listed.
    """

    def __init__(self, folder: Path):
        self.folder = folder.parent if folder.is_file() else folder
        self.unreadable: dict[str, str] = {}  # why a zip file cannot be read, by its name
        self._archives: dict[str, zipfile.ZipFile] = {}
        # The names of the files in each folder that holds any; '' is the whole folder itself.
        self.folders: dict[str, list[str]] = {}
        self._list("", _DEPTH)

    def find(self, tail: str) -> list[str]:
        """The files whose names end with these parts, in upper or lower case; those of few folders first."""
        inner, name = posixpath.split(tail.lower())
        ends = f"/{inner}" if inner else ""
        named = self._by_name.get(name, ())
        found = (path for path in named if f"/{posixpath.dirname(path).lower()}".endswith(ends))
        return sorted(found, key=lambda path: (path.count("/"), path))

    def first(self, tail: str) -> str:
        """The first of `find`; '' where there is none."""
        return next(iter(self.find(tail)), "")

    @functools.cached_property
    def _by_name(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for folder, names in self.folders.items():
            for name in names:
                found.setdefault(name.lower(), []).append(posixpath.join(folder, name))
        return found

    def fullest(self, fits: Callable[[str, str], bool]) -> str:
        """The folder that holds most files that fit, by folder and name. '' is the whole folder, or none.

        Of equals, one that is not in a zip file, then one in few folders.
        """
        counts = {folder: sum(fits(folder, name) for name in names) for folder, names in self.folders.items()}
        return max(
            filter(counts.get, counts),
            key=lambda folder: (counts[folder], self._split(f"{folder}/")[0] is None, -folder.count("/")),
            default="",
        )

    def faults(self, *names: str) -> list[str]:
        """Why zip files of these names cannot be read, a line each."""
        return [
            f"{name} cannot be read, {why}; load it again"
            for name, why in self.unreadable.items()
            if posixpath.basename(name).lower() in names
        ]

    def pictures(self) -> Iterator[str]:
        """The files that are pictures by their suffixes."""
        for folder, names in self.folders.items():
            for name in names:
                if name.lower().endswith(PICTURE_SUFFIXES):
                    yield posixpath.join(folder, name)

    def where(self, name: str) -> str:
        """A name for messages."""
        return printable(self.folder / name)

    def unexpected(self, name: str, line: int, found: bytes, expected: str) -> DataError:
        """The error of a line of a text."""
        what = shown(found.decode("utf-8", "replace"))
        return DataError(f"{self.where(name)}: line {line}: found {what}, expected {expected}")

    @contextlib.contextmanager
    def opened(self, name: str, max_bytes: float = math.inf) -> Iterator[IO[bytes]]:
        """Opens a file; raises DataError where it is larger than `max_bytes`, or cannot be read, then or in
        the `with` block.
        """
        if (size := self.state(name)[0]) > max_bytes:
            raise DataError(f"{self.where(name)}: {size} bytes, expected {max_bytes} at most")
        archive, member = self._split(name)
        if archive is None:
            with opened(self.folder / name, "expected a file of the download") as file:
                yield file
            return
        advice = "; unpack the zip file, or load it again"
        with damage(f"{self.where(name)}: cannot be read", advice), archive.open(member) as inner:
            yield inner

    def read(self, name: str, max_bytes: int = _TEXT_BYTES) -> bytes:
        """What a file holds; see `opened`."""
        with self.opened(name, max_bytes) as file:
            return file.read()

    def state(self, name: str) -> tuple[int, int]:
        """Bytes of a file, and a number that changes with its content: its date, or a member's CRC-32."""
        archive, member = self._split(name)
        try:
            if archive is not None:
                info = archive.getinfo(member)
                return info.file_size, info.CRC
            found = os.stat(self.folder / name)
        except (OSError, KeyError) as error:
            raise DataError(f"{self.where(name)}: not found, expected a file of the download") from error
        return found.st_size, found.st_mtime_ns

    def lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """The lines of a text without their ends and outer blanks, numbered from 1; blank ones are left out.

        Lines end as on any system. A byte order mark is left out.
        """
        content = self.read(name).removeprefix(b"\xef\xbb\xbf")
        for number, line in enumerate(content.splitlines(), 1):
            if line := line.strip():
                yield number, line

    def _split(self, name: str) -> tuple[zipfile.ZipFile | None, str]:
        for end, letter in enumerate(name):
            if letter == "/" and (archive := self._archives.get(name[:end])) is not None:
                return archive, name[end + 1 :]
        return None, name

    def _list(self, folder: str, depth: int) -> None:
        try:
            with os.scandir(self.folder / folder) as entries:
                found = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda one: one.name)
        except OSError as error:
            if not folder:
                raise DataError(f"{printable(self.folder)}: cannot be listed, {error.strerror}") from error
            return
        for entry in found:
            name = posixpath.join(folder, entry.name)
            if entry.is_dir():
                if depth and entry.name not in _SKIPPED:
                    self._list(name, depth - 1)
            elif entry.name.lower().endswith(".zip") and entry.is_file():
                self._list_archive(name)
            else:
                self.folders.setdefault(folder, []).append(entry.name)

    def _list_archive(self, name: str) -> None:
        try:
            archive = zipfile.ZipFile(self.folder / name)
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            self.unreadable[name] = reason(error)
            return
        self._archives[name] = archive
        held = collections.defaultdict(list)
        for info in archive.infolist():
            inner, last = posixpath.split(info.filename)
            outside = inner.startswith("/") or ".." in inner.split("/") or last == ".."
            if last and not outside and not inner.startswith("__MACOSX"):
                held[posixpath.join(name, inner).rstrip("/")].append(last)
        self.folders |= held


class DownloadPictures(PictureFiles):
    """`PictureFiles` of a download; `paths` are names of `files`."""

    def __init__(self, files: Files, paths: Sequence[str], size: int, fit: str):
        super().__init__(files.folder, paths, size, fit)
        self.files = files

    @property
    def digest(self) -> str:
        """Changes as that of `PictureFiles`; of pictures in a zip file, with their content."""
        state = [(path, *self.files.state(path)) for path in self.paths]
        return digest("pictures of a download", repr(state), self.size[0], self.fit)

    def missing(self) -> list[str]:
        """None: a download's pictures were listed."""
        return []

    def content(self, row: int) -> bytes:
        """The bytes of the file of one row; raises DataError, which names it, where it cannot be read."""
        return self.files.read(self.paths[row], MAX_FILE_BYTES)

    def oddities(self) -> list[str]:
        """A line where many pictures are one file, as that which says that a photo is no longer there."""
        alike: dict[int, list[str]] = {}
        for path in self.paths:
            alike.setdefault(self.files.state(path)[0], []).append(path)
        lines = []
        for size, paths in sorted(alike.items(), key=lambda one: -len(one[1]))[:_SIZES]:
            sample = paths[:: max(1, len(paths) // _SAMPLE)]
            if len(paths) >= _ALIKE and len({self.files.read(path, MAX_FILE_BYTES) for path in sample}) == 1:
                found = f"{len(paths):,} pictures seem to be one file of {size:,} bytes, such as {paths[0]}"
                lines.append(f"{found}: likely it stands for photos that are gone")
        return lines
