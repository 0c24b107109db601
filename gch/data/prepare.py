"""Writing a prepared data set (`gch.data.prepared`): in parallel, resumable, and never half.

Workers read and encode pictures, the calling thread appends them to one file and then notes their places.
"""

import contextlib
import dataclasses
import errno
import json
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from gch.data.layouts import INDEX_NAME
from gch.data.pairs import Pairs, Pictures, subset
from gch.data.prepared import FORMAT, MAX_PICTURE_BYTES, PICTURES, PLACES, SIDES, VERSION, read_index
from gch.data.reading import read_blocks
from gch.data.text_files import read_object
from gch.errors import DataError
from gch.storage import UNFINISHED, atomic_path, digest, lock, new_array, write_json

_PLAN_NAME = "plan.json"
_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND\xae\x42\x60\x82"}
# NumPy and Pillow give no error number for a short write.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)


@dataclasses.dataclass(frozen=True)
class _Work:
    pairs: Pairs
    source: Pictures
    folder: Path
    encoding: str
    quality: int
    broken: str

    def plan(self) -> str:
        # Names what the folder will hold.
        pairs = self.pairs
        described = (pairs.name, pairs.default_sizes, pairs.tag_names, pairs.label_names)
        options = (self.encoding, self.quality if self.encoding == "jpeg" else None, len(pairs.labels))
        words = repr((*described, pairs.captions, pairs.ids))
        split = pairs.own_split.parts().values() if pairs.own_split else ()
        return digest(FORMAT, VERSION, pairs.digest, words, *options, *split)

    def encoded(self, picture: np.ndarray, content: bytes) -> tuple[bytes, int]:
        """The bytes of a picture in the prepared set, and their CRC-32."""
        data = picture.tobytes() if self.encoding == "raw" else _compressed(picture, self)
        return data, zlib.crc32(data)


def prepare(
    pairs: Pairs,
    folder: Path,
    *,
    encoding: str = "jpeg",
    quality: int = 95,
    jobs: int = 2,
    broken: str = "skip",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Writes a prepared data set, or resumes where it was stopped; repairs a finished one that is damaged.

    Args:
      pairs: the data set, with pictures.
      folder: new, empty, or begun by the same call.
      encoding: 'jpeg', 'png' (no loss) or 'raw' (no loss; three bytes a pixel).
      quality: of JPEG, 1 to 100.
      jobs: threads that read and encode; they do not change what is written.
      broken: pictures of a folder that cannot be decoded are left out ('skip') or end the run ('stop').
      progress: called with the number of pictures done and of all.

    Raises:
      DataError: the folder holds something else, a picture is broken under 'stop', all are, or the disk is
        full; what was written before stays, and the same call resumes.
      RunError: the folder cannot be made.
    """
    if pairs.pictures is None:
        expected = "expected pictures to prepare (training reads features from their own file)"
        raise DataError(f"{pairs.name}: has features in place of pixels; {expected}")
    if not all(side in SIDES for side in pairs.pictures.size):
        height, width = pairs.pictures.size
        expected = f"sides of {SIDES[0]} to {SIDES[-1]} pixels"
        raise DataError(f"{pairs.name}: pictures are {height} x {width}, expected {expected}")
    work = _Work(pairs, pairs.pictures, folder, encoding, quality, broken)
    plan = work.plan()
    try:
        if folder.is_dir():
            _require_own(folder, plan)  # before a lock is written into a folder of something else
        with lock(folder, "another process is preparing it", wait=True):
            _require_own(folder, plan)
            if _plan_in(folder / _PLAN_NAME) != plan:
                write_json(folder / _PLAN_NAME, {"plan": plan})
            places, left_out = _write_pictures(work, jobs, progress)
            _write_tables(work, plan, places, left_out)
    except OSError as error:
        advice = "; make room, and run the same command to resume" if error.errno in _DISK_FULL else ""
        raise DataError(f"{folder}: cannot be written, {error.strerror or error}{advice}") from error
    report_broken(folder, broken)


def report_broken(folder: Path, broken: str) -> None:
    """Prints which pictures a prepared data set left out; raises DataError where `broken` is 'stop'."""
    left_out = read_index(folder)["left_out"]
    if left_out and broken == "stop":
        raise DataError(f"{left_out[0]}; broken is 'stop' (all {len(left_out)} in {folder / INDEX_NAME})")
    if left_out:
        print(f"Left out, because unreadable: {len(left_out)} pictures (all in {folder / INDEX_NAME})")
        for message in left_out[:5]:
            print(f"  {' '.join(message.split())}")


def _require_own(folder: Path, plan: str) -> None:
    """Raises DataError unless a folder is empty or begun with the same plan."""
    plans = (_plan_in(folder / name) for name in (_PLAN_NAME, INDEX_NAME))
    begun = {found for found in plans if found is not None}
    for name in (PICTURES, PLACES):  # would be written through
        if (folder / name).is_symlink() or ((folder / name).exists() and not (folder / name).is_file()):
            raise DataError(f"{folder / name}: a link or no file; expected a new folder")
    names = {path.name for path in folder.iterdir()} - {".lock"}
    if not begun and not all(name.startswith(UNFINISHED) for name in names):
        raise DataError(f"{folder}: not empty, expected a new folder")
    if not begun <= {plan}:
        if (folder / INDEX_NAME).exists():
            read_index(folder)  # It may be of an earlier version.
        raise DataError(f"{folder}: begun with other data or other options; expected a new folder")


def _plan_in(path: Path) -> str | None:
    """The plan that a JSON file names; None where it is missing, damaged, or names none."""
    try:
        return read_object(path, {"plan": ("a text", lambda value: isinstance(value, str))})["plan"]
    except DataError:
        return None


def _write_pictures(
    work: _Work, jobs: int, progress: Callable[[int, int], None]
) -> tuple[np.ndarray, list[str]]:
    """Appends the pictures that are missing or damaged; retries those left out before.

    Returns places, int64 (R, 3), and why pictures are left out.
    """
    places = _open_places(work.folder / PLACES, len(work.pairs.labels))
    left_out: list[str] = []
    with open(work.folder / PICTURES, "a+b") as file:
        missing = np.flatnonzero(~_sound(file, places))
        if len(missing):  # or the file would get a new date
            places[missing] = 0
        end = int(places[:, :2].sum(axis=1).max())
        if file.seek(0, os.SEEK_END) > end:  # a process was killed between a picture and its place
            file.truncate(end)
        done = len(places) - len(missing)
        progress(done, len(places))
        with contextlib.closing(read_blocks(work.source, missing, work.encoded, jobs, work.broken)) as blocks:
            for encoded, broken in blocks:
                left_out += broken
                if encoded:
                    (work.folder / INDEX_NAME).unlink(missing_ok=True)
                    file.write(b"".join(data for _, (data, _) in encoded))
                    file.flush()
                for row, (data, checksum) in encoded:
                    places[row] = end, len(data), checksum
                    end += len(data)
                done += len(encoded) + len(broken)
                progress(done, len(places))
        if len(missing) > len(left_out):
            os.fsync(file.fileno())
            places.flush()
    return places, left_out


def _open_places(path: Path, rows: int) -> np.memmap:
    try:
        places = np.load(path, mmap_mode="r+", allow_pickle=False)
        if isinstance(places, np.memmap) and (places.shape, places.dtype) == ((rows, 3), np.int64):
            return places
    except Exception:  # NumPy raises nearly anything on a header that is not its own
        pass
    return new_array(path, np.int64, (rows, 3))


def _sound(file: BinaryIO, places: np.ndarray) -> np.ndarray:
    """Which pictures are in the file as they were written, bool (R,)."""
    sound = np.zeros(len(places), bool)
    size = file.seek(0, os.SEEK_END)
    for row in np.flatnonzero(places[:, 1]).tolist():
        offset, length, checksum = places[row].tolist()
        if 0 < length <= MAX_PICTURE_BYTES and 0 <= offset <= size - length:
            file.seek(offset)
            sound[row] = zlib.crc32(file.read(length)) == checksum
    return sound


def _compressed(picture: np.ndarray, work: _Work) -> bytes:
    options = {"jpeg": {"quality": work.quality, "subsampling": 0}, "png": {"compress_level": 1}}
    # Into a true file Pillow encodes without Python's lock; into one in memory, threads wait for each other.
    with tempfile.TemporaryFile(buffering=0) as file:
        Image.fromarray(picture).save(file, work.encoding, **options[work.encoding])
        file.seek(0)
        data = file.read()
    if not data.endswith(_ENDS[work.encoding]):
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} in {tempfile.gettempdir()}")
    return data


def _write_tables(work: _Work, plan: str, places: np.ndarray, left_out: list[str]) -> None:
    """Writes everything but the pictures, the index last."""
    folder, kept = work.folder, np.flatnonzero(places[:, 1])
    pairs = subset(work.pairs, kept, str(folder), left_out)
    for name, table in (("texts.npy", pairs.texts), ("labels.npy", pairs.labels)):
        with atomic_path(folder / name) as path:
            np.save(path, table)
    split = pairs.own_split
    index = {
        "format": FORMAT,
        "version": VERSION,
        "name": pairs.name,
        "items": len(kept),
        "size": list(map(int, work.source.size)),
        "encoding": work.encoding,
        "bytes": (folder / PICTURES).stat().st_size,
        "default_sizes": list(map(int, pairs.default_sizes)),
        "tag_names": list(pairs.tag_names),
        "label_names": list(pairs.label_names),
        "ids": pairs.ids,
        "captions": pairs.captions,
        "single_vectors": pairs.single_vectors,
        "split": split and {part: rows.tolist() for part, rows in split.parts().items()},
        "plan": plan,
        "left_out": left_out,
    }
    with atomic_path(folder / INDEX_NAME) as path:
        path.write_text(json.dumps(index), encoding="ascii")  # halves of surrogate pairs are escaped
