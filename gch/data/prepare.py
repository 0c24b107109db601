"""Preparing a data set (`gch.data.prepared`): side by side, resumable, and never half.

Workers read and encode pictures, the calling thread appends them to one file and then notes their places. A
run that was stopped, or that finds damage, goes on with the pictures that are not as they were written.
"""

import collections
import concurrent.futures
import dataclasses
import errno
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from gch.data.layouts import INDEX_NAME
from gch.data.pairs import OwnSplit, Pairs, Pictures, SplitSizes
from gch.data.picture_files import PictureFiles
from gch.data.prepared import FORMAT, MAX_PICTURE_BYTES, PICTURES, PLACES, SIDES, VERSION, read_index
from gch.errors import DataError
from gch.storage import atomic_path, digest, lock, new_array, write_json

BROKEN = ("skip", "stop")
_BLOCK = 16  # pictures that a worker reads at once, or some more
_PLAN_NAME = "plan.json"
_TEMPORARY = re.compile(r"\.(index|labels|plan|texts)-.*")  # as `gch.storage` names them
_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND\xae\x42\x60\x82"}
# NumPy and Pillow give no number where a write was cut short.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)


@dataclasses.dataclass(frozen=True)
class _Work:
    """What `prepare` was called with."""

    pairs: Pairs
    source: Pictures
    folder: Path
    encoding: str
    quality: int
    broken: str

    def plan(self) -> str:
        """Names what the folder will hold."""
        pairs = self.pairs
        described = (pairs.name, pairs.default_sizes, pairs.tag_names, pairs.label_names)
        options = (self.encoding, self.quality if self.encoding == "jpeg" else None, len(pairs.labels))
        words = repr((*described, pairs.captions, pairs.ids))
        return digest(FORMAT, VERSION, pairs.digest, words, *options, *(pairs.own_split or ()))


class _Block(NamedTuple):
    """Pictures that were read together: (row, bytes, CRC-32) of each, and why others are left out."""

    rows: np.ndarray
    encoded: list[tuple[int, bytes, int]]
    left_out: list[str]


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
    """Writes a prepared data set, or goes on where it was stopped; mends a finished one that is damaged.

    A second process that prepares into the same folder waits for the first, and then finds all done.

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
        full; what was written before stays, and the same call goes on.
      RunError: the folder cannot be made.
    """
    if pairs.pictures is None:
        raise DataError(f"{pairs.name}: has features in place of pixels; expected pictures to prepare")
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
            for path in folder.iterdir():
                if _TEMPORARY.fullmatch(path.name):  # of a process that was killed
                    path.unlink()
            if _plan_in(folder / _PLAN_NAME) != plan:
                write_json(folder / _PLAN_NAME, {"plan": plan})
            places, left_out = _write_pictures(work, jobs, progress)
            _write_tables(work, plan, places, left_out)
    except OSError as error:
        advice = "; make room, and the same command goes on" if error.errno in _DISK_FULL else ""
        raise DataError(f"{folder}: cannot be written, {error.strerror or error}{advice}") from error
    report_broken(folder, broken)


def report_broken(folder: Path, broken: str) -> None:
    """Prints which pictures a prepared data set left out; raises DataError where `broken` is 'stop'."""
    left_out = read_index(folder)["left_out"]
    if left_out and broken == "stop":
        raise DataError(f"{left_out[0]}; broken is 'stop' (all {len(left_out)} in {folder / INDEX_NAME})")
    if left_out:
        print(f"Left out, as they cannot be read: {len(left_out)} pictures (all in {folder / INDEX_NAME})")
        for message in left_out[:5]:
            print(f"  {' '.join(message.split())}")


def _require_own(folder: Path, plan: str) -> None:
    """Raises DataError unless a folder is empty or begun with the same plan."""
    begun = {_plan_in(folder / name) for name in (_PLAN_NAME, INDEX_NAME)} - {None}
    names = {path.name for path in folder.iterdir()} - {".lock"}
    if not begun and not all(map(_TEMPORARY.fullmatch, names)):
        raise DataError(f"{folder}: not empty, expected a new folder")
    if not begun <= {plan}:
        index = _object(folder / INDEX_NAME)
        if index.get("format") == FORMAT and index.get("version") != VERSION:
            read_index(folder)  # says that it is of an earlier version
        raise DataError(f"{folder}: begun with other data or other options; expected a new folder")


def _plan_in(path: Path) -> str | None:
    plan = _object(path).get("plan")
    return plan if isinstance(plan, str) else None


def _object(path: Path) -> dict[str, object]:
    """The object in a JSON file; an empty one where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_pictures(
    work: _Work, jobs: int, progress: Callable[[int, int], None]
) -> tuple[np.ndarray, list[str]]:
    """Appends the pictures that are not there as they were written. Those left out before are tried again.

    Returns:
      The places, int64 (R, 3), and why pictures are left out.
    """
    places = _open_places(work.folder / PLACES, len(work.pairs.labels))
    left_out: list[str] = []
    with (
        open(work.folder / PICTURES, "a+b") as file,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        missing = np.flatnonzero(~_sound(file, places))
        if len(missing):
            places[missing] = 0
        end = int(places[:, :2].sum(axis=1).max())
        if file.seek(0, os.SEEK_END) > end:  # a process was killed between a picture and its place
            file.truncate(end)
        done = len(places) - len(missing)
        progress(done, len(places))
        try:
            for rows, encoded, broken in _ahead(pool, jobs, work, _blocks(missing, work.source.block)):
                left_out += broken
                if encoded:
                    (work.folder / INDEX_NAME).unlink(missing_ok=True)
                    file.write(b"".join(data for _, data, _ in encoded))
                    file.flush()
                for row, data, checksum in encoded:
                    places[row] = end, len(data), checksum
                    end += len(data)
                done += len(rows)
                progress(done, len(places))
        finally:
            pool.shutdown(cancel_futures=True)
        if len(missing) > len(left_out):
            os.fsync(file.fileno())
            places.flush()
    return places, left_out


def _open_places(path: Path, rows: int) -> np.memmap:
    try:
        places = np.load(path, mmap_mode="r+", allow_pickle=False)
        if isinstance(places, np.memmap) and (places.shape, places.dtype) == ((rows, 3), np.int64):
            return places
    except (OSError, ValueError, EOFError):
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


def _blocks(rows: np.ndarray, block: int) -> list[np.ndarray]:
    """Rows that are read together: cut where the blocks of the source are, so that each is read once."""
    size = block * -(-_BLOCK // block)
    return [part for part in np.split(rows, np.flatnonzero(np.diff(rows // size)) + 1) if len(part)]


def _ahead(
    pool: concurrent.futures.Executor, jobs: int, work: _Work, blocks: Iterable[np.ndarray]
) -> Iterator[_Block]:
    """Encoded blocks in order, a few begun before they are needed."""
    begun: collections.deque[concurrent.futures.Future[_Block]] = collections.deque()
    for rows in blocks:
        begun.append(pool.submit(_encode, work, rows))
        if len(begun) > jobs + 1:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _encode(work: _Work, rows: np.ndarray) -> _Block:
    block = _Block(rows, [], [])
    for row, picture in zip(rows.tolist(), _read(work.source, rows), strict=True):
        if not isinstance(picture, DataError):
            data = picture.tobytes() if work.encoding == "raw" else _compressed(picture, work)
            block.encoded.append((row, data, zlib.crc32(data)))
        elif work.broken == "stop":
            raise picture
        else:
            block.left_out.append(str(picture))
    return block


def _read(source: Pictures, rows: np.ndarray) -> Iterable[np.ndarray | DataError]:
    """Pictures, uint8 (H, W, 3); of files that cannot be read, why."""
    if not isinstance(source, PictureFiles):
        return source.read(rows)
    read: list[np.ndarray | DataError] = []
    for row in rows.tolist():
        try:
            read.append(source.decode(row))
        except DataError as error:
            read.append(error)
    return read


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
    """Writes everything but the pictures, the index last.

    Raises:
      DataError: fewer than two pictures can be read, or none of a part of the source's split.
    """
    pairs, folder = work.pairs, work.folder
    kept = np.flatnonzero(places[:, 1])
    if len(kept) < 2:
        found = "one picture" if len(kept) else "no picture"
        raise DataError(f"{folder}: {found} can be read, expected two or more; {''.join(left_out[:1])}")
    split = _split_of(work, kept)
    rows = slice(None) if len(kept) == len(pairs.labels) else kept
    with atomic_path(folder / "texts.npy") as path:
        np.save(path, pairs.texts[rows])
    with atomic_path(folder / "labels.npy") as path:
        np.save(path, pairs.labels[rows])
    index = {
        "format": FORMAT,
        "version": VERSION,
        "name": pairs.name,
        "items": len(kept),
        "size": list(map(int, work.source.size)),
        "encoding": work.encoding,
        "bytes": (folder / PICTURES).stat().st_size,
        "default_sizes": list(map(int, _sizes(pairs, len(kept), split))),
        "tag_names": list(pairs.tag_names),
        "label_names": list(pairs.label_names),
        "ids": _kept(pairs.ids, kept),
        "captions": _kept(pairs.captions, kept),
        "split": None if split is None else {part: rows.tolist() for part, rows in split._asdict().items()},
        "plan": plan,
        "left_out": left_out,
    }
    with atomic_path(folder / INDEX_NAME) as path:
        path.write_text(json.dumps(index), encoding="ascii")  # halves of surrogate pairs are escaped


def _kept(values: Sequence | None, rows: np.ndarray) -> list | None:
    return None if values is None else [values[row] for row in rows.tolist()]


def _split_of(work: _Work, kept: np.ndarray) -> OwnSplit | None:
    """The source's own split, in the numbers of the rows that were kept."""
    if work.pairs.own_split is None:
        return None
    split = OwnSplit(*(np.flatnonzero(np.isin(kept, rows)) for rows in work.pairs.own_split))
    for part, rows in split._asdict().items():
        if not len(rows):
            raise DataError(f"{work.folder}: {part}: no picture of it can be read")
    return split


def _sizes(pairs: Pairs, items: int, split: OwnSplit | None) -> SplitSizes:
    """The default split, less the items that were left out; queries stay as many as they can."""
    sizes = pairs.default_sizes
    if items == len(pairs.labels):
        return sizes
    if split is not None:
        query, retrieval, training = map(len, split)
        validation = min(sizes.validation, training - 1)
        return SplitSizes(query, retrieval, training - validation, validation)
    query = min(sizes.query, max(1, items // 2))
    retrieval = min(sizes.retrieval, items - query)
    validation = min(sizes.validation, retrieval - 1)
    return SplitSizes(query, retrieval, min(sizes.training, retrieval - validation), validation)
