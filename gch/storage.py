"""Writing files so that a reader never sees half of one, and naming content by its digest."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import numpy as np

from gch.errors import DataError, RunError, writing

UNFINISHED = ".gch-unfinished-"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a path of the same name in a folder beside `path`; the written file replaces `path` on success.

    When the body raises, or the process is killed, `path` is what it was before. An OSError names `path`.
    """
    path = Path(path)
    try:
        with unfinished_folder(path.parent) as folder:
            temporary = folder / path.name
            yield temporary
            with open(temporary, "r+b") as file:  # Windows syncs no file that is only read
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        if error.filename is None or UNFINISHED in str(error.filename):
            error.filename = str(path)
            del error.filename2  # a None would be printed
        raise


@contextlib.contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """Yields a new folder in `parent`, for what is moved to its place when it is whole. The folder goes at
    the end; that of a process that was killed goes when another one writes there, and not before it ended.
    """
    parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(parent)
    for attempt in range(3):
        folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=parent))
        try:
            held = lock(folder, "another process removes it")
            break
        except RunError:  # it took a folder without a lock for that of a killed process
            if attempt == 2:
                raise
    try:
        yield folder
    finally:
        held.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(parent: Path) -> None:
    """Removes what processes that were killed left in a folder, see `unfinished_folder`."""
    for folder in parent.glob(f"{UNFINISHED}*"):
        if folder.is_symlink() or not folder.is_dir():
            continue
        try:
            with filelock.FileLock(folder / ".lock", 0):
                shutil.rmtree(folder, ignore_errors=True)
        except (filelock.Timeout, OSError):
            continue  # its process lives, or is another user's
        shutil.rmtree(folder, ignore_errors=True)  # Windows keeps the file of a lock that is taken


@contextlib.contextmanager
def literal_path(folder: Path) -> Iterator[Path]:
    """Within the `with` block, the path of an existing folder, or a link where TensorFlow would misread it.

    TensorFlow matches what it reads, and what it deletes, as patterns, and takes every path for UTF-8.
    """
    name = str(folder)
    same = os.fsencode(name) == name.encode("utf-8", "replace")
    if os.name == "nt" or (same and not set(name) & set("[*?\\")):
        yield folder
        return
    with unfinished_folder(Path(tempfile.gettempdir())) as place:
        link = place / "folder"
        link.symlink_to(folder.resolve(), target_is_directory=True)
        yield link


def require_place(path: Path) -> None:
    """Raises RunError unless a folder is at `path`, or can be made there, and can be written; makes nothing
    that stays.
    """
    places = (path, *path.absolute().parents)
    nearest = next(filter(os.path.lexists, places), path)  # not even the root: a drive that Windows lacks
    with writing(path), tempfile.TemporaryDirectory(prefix=".gch-", dir=nearest):
        pass


def lock(folder: Path, busy: str, *, wait: bool = False) -> filelock.BaseFileLock:
    """Takes the lock of a folder, its file .lock, and creates the folder if it is missing; removes what
    killed processes left. The lock is held until it is released, its `with` block ends, or the process ends.

    Raises RunError where the folder cannot be written, or where another process has the lock and is `busy`,
    such as 'another process is writing codes to it'; with `wait`, prints that and waits.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(folder / ".lock", thread_local=False)
        try:
            held.acquire(timeout=0)
        except filelock.Timeout as error:
            if not wait:
                raise RunError(f"{folder}: {busy}") from error
            print(f"{folder}: {busy}; waiting for it", flush=True)
            held.acquire()
        remove_unfinished(folder)
    return held


def new_array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """A memory-mapped .npy file of zeros. Its disk space is reserved, as a full disk would end the process;
    raises OSError, which says how many bytes are needed.
    """
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
    except OSError as error:
        needed = f"{error.strerror or error}; expected room for {size:,} bytes"
        raise OSError(error.errno, needed, str(path)) from error
    return array


def cached_array(
    path: Path, dtype: type, shape: tuple[int, ...], fill: Callable[[np.memmap], None]
) -> np.memmap:
    """A memory-mapped .npy file. If it is not there, damaged, or of another shape or dtype, `fill` is called
    with an array of zeros, which it fills. Raises DataError where the file cannot be written.
    """
    remove_unfinished(path.parent)
    array = _mapped(path, dtype, shape)
    if array is None:
        with writing(path, DataError), atomic_path(path) as temporary:
            filled = new_array(temporary, dtype, shape)
            fill(filled)
            filled.flush()
            del filled  # Windows moves no file that is mapped
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def cached_rows(
    path: Path,
    dtype: type,
    shape: tuple[int, ...],
    rows: Callable[[int, int], np.ndarray],
    at_once: int = 4096,
) -> np.memmap:
    """`cached_array` of what `rows(start, stop)` returns, so many rows `at_once`."""

    def fill(array: np.memmap) -> None:
        for start in range(0, shape[0], at_once):
            stop = min(start + at_once, shape[0])
            array[start:stop] = rows(start, stop)

    return cached_array(path, dtype, shape, fill)


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap | None:
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy parses a damaged header as Python
        return None
    return array if array.shape == shape and array.dtype == dtype else None


def write_json(path: str | os.PathLike, value: object) -> None:
    """Writes `value` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text as UTF-8, atomically; what UTF-8 lacks, as in names of files that are not, is escaped, in
    a form that JSON reads.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def digest(*parts: np.ndarray | bytes | str | int | float | None) -> str:
    """SHA-256 of the parts in order, as 64 hexadecimal digits; an array counts with its shape and dtype."""
    state = hashlib.sha256()
    for part in parts:
        content: bytes | memoryview = b""
        if isinstance(part, np.ndarray):
            header, content = f"array {part.dtype.str} {part.shape}", np.ascontiguousarray(part).data
        elif isinstance(part, bytes):
            header, content = f"bytes {len(part)}", part
        else:
            header = f"{type(part).__name__} {part!r}"
        state.update(header.encode())
        state.update(content)
    return state.hexdigest()


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of the content of the file at `path`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
