"""Writing a prepared data set (`gch.data.prepared`): side by side, resumable, and never half.

Workers read and encode blocks of pictures; the calling thread writes them, shard after shard. A shard is
written beside its place and renamed, then a note of its records. A run that was stopped, or that finds
damage, goes on with the shards that are not what their notes say. The index comes last.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import errno
import fcntl
import functools
import itertools
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from gch.data.layouts import INDEX_NAME
from gch.data.pairs import OwnSplit, Pairs, SplitSizes
from gch.data.picture_files import PictureFiles
from gch.data.prepared_index import FORMAT, SIDES, VERSION, read_index
from gch.errors import DataError
from gch.quiet import native_stderr_held
from gch.storage import atomic_path, digest, file_digest, write_json

BROKEN = ("skip", "stop")
_PLAN_NAME = "plan.json"
_RECORD_HEADER, _RECORD_FRAME = 12, 16  # bytes that TFRecord writes before a record, and around it
_BLOCK = 16  # pictures that a worker reads at once, or some more
_TEMPORARY = re.compile(
    r"\.(images|index|items|labels|plan|records|split|texts)-.*"
)  # as `atomic_path` names
# NumPy and Pillow tell no number where a write was cut short.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)


@dataclasses.dataclass(frozen=True)
class _Work:
    """What `prepare` is asked for."""

    pairs: Pairs
    folder: Path
    encoding: str
    quality: int
    shard_items: int
    jobs: int
    broken: str

    @functools.cached_property
    def plan(self) -> str:
        """Names what the folder will hold."""
        pairs = self.pairs
        described = (pairs.name, pairs.default_sizes, pairs.tag_names, pairs.label_names)
        described += (pairs.captions, pairs.ids)
        quality = self.quality if self.encoding == "jpeg" else None
        options = (self.encoding, quality, self.shard_items, len(pairs.labels))
        split = pairs.own_split or ()
        return digest(FORMAT, VERSION, pairs.digest, repr(described), *options, *split)

    @functools.cached_property
    def shards(self) -> dict[Path, range]:
        """The rows of each shard."""
        total, size = len(self.pairs.labels), self.shard_items
        rows = [range(start, min(start + size, total)) for start in range(0, total, size)]
        name = "images-{:05d}-of-{:05d}.tfrecord"
        return {self.folder / name.format(number, len(rows)): own for number, own in enumerate(rows)}

    def blocks(self, rows: range) -> list[range]:
        """Rows that are read together: cut where the blocks of the source are, so that each is read once."""
        size = self.pairs.pictures.block
        size *= -(-_BLOCK // size)
        ends = [*range(rows.start // size * size + size, rows.stop, size), rows.stop]
        return [range(start, end) for start, end in itertools.pairwise([rows.start, *ends])]


def prepare(
    pairs: Pairs,
    folder: Path,
    *,
    encoding: str = "jpeg",
    quality: int = 95,
    shard_items: int = 1024,
    jobs: int = 2,
    broken: str = "skip",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Writes a prepared data set, or goes on where it was stopped; mends a finished one that is damaged.

    A second process that prepares into the same folder waits for the first, and then finds all done.

    Args:
      pairs: the data set, with pictures.
      folder: new, empty, or begun by the same call.
      encoding: 'jpeg', or 'raw' (no loss; three bytes a pixel).
      quality: of JPEG, 1 to 100.
      shard_items: pictures in a shard.
      jobs: threads that read and encode; they do not change what is written.
      broken: pictures of a folder that cannot be decoded are left out ('skip') or end the run ('stop').
      progress: called with the number of pictures done and of all.

    Raises:
      DataError: the folder holds something else, a picture is broken under 'stop', all are, or the disk is
        full; what was written before stays, and the same call goes on.
    """
    if pairs.pictures is None:
        raise DataError(f"{pairs.name}: has features in place of pixels; expected pictures to prepare")
    if not all(side in SIDES for side in pairs.pictures.size):
        height, width = pairs.pictures.size
        expected = f"sides of {SIDES[0]} to {SIDES[-1]} pixels"
        raise DataError(f"{pairs.name}: pictures are {height} x {width}, expected {expected}")
    work = _Work(pairs, folder, encoding, quality, shard_items, jobs, broken)
    try:
        with _alone_in(folder):
            _begin(folder, work.plan)
            _finish(work, _write_shards(work, progress))
    except OSError as error:
        advice = "; make room, and the same command goes on" if error.errno in _DISK_FULL else ""
        raise DataError(f"{folder}: cannot be written, {error.strerror or error}{advice}") from error
    report_broken(folder, broken)


def report_broken(folder: Path, broken: str) -> None:
    """Tells which pictures a prepared data set left out; raises DataError where `broken` is 'stop'."""
    left_out = read_index(folder)["left_out"]
    if left_out and broken == "stop":
        raise DataError(f"{left_out[0]}; broken is 'stop' (all {len(left_out)} in {folder / INDEX_NAME})")
    if left_out:
        print(f"Left out, as they cannot be read: {len(left_out)} pictures (all in {folder / INDEX_NAME})")
        for message in left_out[:5]:
            print(f"  {' '.join(message.split())}")


# ---------------------------------------------------------------- the folder


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other processes from preparing into it; they wait."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is preparing {folder}; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # A file system without locks.
            pass
        yield
    finally:
        os.close(lock)


def _begin(folder: Path, plan: str) -> None:
    """Notes the plan in a new folder, or checks that the folder is of the same plan."""
    begun = {_plan_in(folder / name) for name in (_PLAN_NAME, INDEX_NAME)} - {None}
    temporary = [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]
    if not begun and len(temporary) < len(list(folder.iterdir())):
        raise DataError(f"{folder}: not empty, expected a new folder")
    if not begun <= {plan}:
        raise DataError(f"{folder}: begun with other data or other options; expected a new folder")
    for path in temporary:  # of a process that was killed
        path.unlink()
    if _plan_in(folder / _PLAN_NAME) != plan:
        write_json(folder / _PLAN_NAME, {"plan": plan})


def _plan_in(path: Path) -> str | None:
    plan = _read_object(path).get("plan")
    return plan if isinstance(plan, str) else None


def _read_object(path: Path) -> dict:
    """What a JSON file holds; nothing where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# ---------------------------------------------------------------- shards


@dataclasses.dataclass(frozen=True)
class _Block:
    """Encoded pictures: (row, bytes, CRC-32), and why others are left out."""

    rows: range
    records: list[tuple[int, bytes, int]]
    left_out: list[str]


def _write_shards(work: _Work, progress: Callable[[int, int], None]) -> list[dict]:
    """Writes the shards that are not there as their notes say; returns the notes of all."""
    pool = concurrent.futures.ThreadPoolExecutor(work.jobs)
    try:
        notes = dict(zip(work.shards, pool.map(_read_note, work.shards), strict=True))
        missing = {shard: work.blocks(rows) for shard, rows in work.shards.items() if notes[shard] is None}
        if missing:
            (work.folder / INDEX_NAME).unlink(missing_ok=True)
            with native_stderr_held():
                import tensorflow  # noqa: F401
        blocks = list(itertools.chain(*missing.values()))
        encoded = _ahead(pool, functools.partial(_encode, work), blocks, work.jobs)
        told = _told(encoded, len(work.pairs.labels), sum(map(len, blocks)), progress)
        for shard, own in missing.items():
            notes[shard] = _write_shard(shard, itertools.islice(told, len(own)))
        return list(notes.values())
    finally:
        pool.shutdown(cancel_futures=True)


def _told(
    blocks: Iterable[_Block], total: int, missing: int, progress: Callable[[int, int], None]
) -> Iterator[_Block]:
    progress(total - missing, total)
    for block in blocks:
        missing -= len(block.rows)
        progress(total - missing, total)
        yield block


def _ahead(pool: concurrent.futures.Executor, work: Callable, things: Iterable, jobs: int) -> Iterator:
    """The results of `work` in order, a few begun before they are asked for."""
    begun = collections.deque()
    for thing in things:
        begun.append(pool.submit(work, thing))
        if len(begun) > jobs + 1:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _encode(work: _Work, rows: range) -> _Block:
    records, left_out = [], []
    for row, picture in _pictures(work, rows, left_out):
        data = picture.tobytes() if work.encoding == "raw" else _jpeg(picture, work.quality)
        records.append((row, data, zlib.crc32(data)))
    return _Block(rows, records, left_out)


def _pictures(work: _Work, rows: range, left_out: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    """The pictures that can be read: (row, uint8 (H, W, 3)); notes the others in `left_out`."""
    source = work.pairs.pictures
    if not isinstance(source, PictureFiles):
        yield from zip(rows, source.read(np.arange(rows.start, rows.stop)), strict=True)
        return
    for row in rows:
        try:
            picture = source.decode(row)
        except DataError as error:
            if work.broken == "stop":
                raise
            left_out.append(str(error))
        else:
            yield row, picture


def _jpeg(picture: np.ndarray, quality: int) -> bytes:
    # Into a true file Pillow encodes without Python's lock; into one in memory, threads wait for each other.
    with tempfile.TemporaryFile(buffering=0) as file:
        Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
        file.seek(0)
        data = file.read()
    if not data.endswith(b"\xff\xd9"):
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} in {tempfile.gettempdir()}")
    return data


def _write_shard(shard: Path, blocks: Iterable[_Block]) -> dict:
    """Writes a shard and its note; returns the note."""
    records, left_out, position = [], [], 0
    with atomic_path(shard) as temporary:
        with _tfrecord_writer(temporary) as writer:
            for block in blocks:
                left_out += block.left_out
                for row, data, checksum in block.records:
                    writer.write(data)
                    records.append((row, position + _RECORD_HEADER, len(data), checksum))
                    position += _RECORD_FRAME + len(data)
        if temporary.stat().st_size != position:
            raise OSError(errno.EIO, f"{shard.name} has another size than was written")
        known = file_digest(temporary)
    note = {"records": records, "left_out": left_out, "bytes": position, "sha256": known}
    write_json(_note_path(shard), {"note": note, "digest": _note_digest(note)})
    return note


@contextlib.contextmanager
def _tfrecord_writer(path: Path) -> Iterator:
    """A writer of TensorFlow's, whose errors are those of any other file."""
    import tensorflow as tf

    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            yield writer
    except (tf.errors.ResourceExhaustedError, tf.errors.OutOfRangeError) as error:  # ENOSPC and EFBIG
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, " ".join(error.message.split())) from error


def _read_note(shard: Path) -> dict | None:
    """The note of a shard, or None where the shard is not there as it was written."""
    read = _read_object(_note_path(shard))
    note = read.get("note")
    if note is None or read.get("digest") != _note_digest(note):
        return None
    whole = shard.is_file() and shard.stat().st_size == note["bytes"] and file_digest(shard) == note["sha256"]
    return note if whole else None


def _note_path(shard: Path) -> Path:
    return shard.with_suffix(".json")


def _note_digest(note: object) -> str:
    return digest(json.dumps(note, sort_keys=True))


# ---------------------------------------------------------------- everything else


def _finish(work: _Work, notes: list[dict]) -> None:
    """Writes everything but the shards, unless it is there."""
    records = np.concatenate([np.array(note["records"], np.int64).reshape(-1, 4) for note in notes])
    left_out = [message for note in notes for message in note["left_out"]]
    if len(records) < 2:
        found = "one picture" if len(records) else "no picture"
        raise DataError(f"{work.folder}: {found} can be read, expected two or more; {''.join(left_out[:1])}")
    kept = records[:, 0]
    split = _split_of(work, kept)
    writers = _tables(work.pairs, kept, records[:, 1:], split)
    index = {
        "format": FORMAT,
        "version": VERSION,
        "name": work.pairs.name,
        "items": len(kept),
        "size": list(map(int, work.pairs.pictures.size)),
        "encoding": work.encoding,
        "default_sizes": list(map(int, _sizes(work.pairs, len(kept), split))),
        "tag_names": list(work.pairs.tag_names),
        "label_names": list(work.pairs.label_names),
        "described": "items.jsonl" in writers,
        "split": split is not None,
        "plan": work.plan,
        "shards": [
            {"file": shard.name, "records": len(note["records"]), "bytes": note["bytes"]}
            | {"sha256": note["sha256"]}
            for shard, note in zip(work.shards, notes, strict=True)
        ],
        "left_out": left_out,
    }
    if _read_object(work.folder / INDEX_NAME) == index | {"files": _digests(work.folder, writers)}:
        return
    (work.folder / INDEX_NAME).unlink(missing_ok=True)
    for name, write in writers.items():
        with atomic_path(work.folder / name) as temporary:
            write(temporary)
    write_json(work.folder / INDEX_NAME, index | {"files": _digests(work.folder, writers)})


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: file_digest(folder / name) if (folder / name).is_file() else "" for name in names}


def _tables(
    pairs: Pairs, kept: np.ndarray, records: np.ndarray, split: OwnSplit | None
) -> dict[str, Callable[[Path], None]]:
    """What writes each file, by its name."""
    rows = slice(None) if len(kept) == len(pairs.labels) else kept
    tables = {
        "records.npy": lambda path: np.save(path, records),
        "texts.npy": lambda path: np.save(path, pairs.texts[rows]),
        "labels.npy": lambda path: np.save(path, pairs.labels[rows]),
    }
    if pairs.ids is not None or pairs.captions is not None:
        tables["items.jsonl"] = lambda path: _describe(path, pairs, kept.tolist())
    if split is not None:
        tables["split.npz"] = lambda path: np.savez(path, **split._asdict())
    return tables


def _describe(path: Path, pairs: Pairs, kept: list[int]) -> None:
    # Halves of surrogate pairs, which UTF-8 cannot hold, become escapes of JSON.
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        for row in kept:
            item = {"id": str(row) if pairs.ids is None else pairs.ids[row]}
            if pairs.captions is not None:
                caption = pairs.captions[row]
                item["text" if isinstance(caption, str) else "tags"] = caption
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


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
        validation = min(sizes.validation, len(split.training) - 1)
        return SplitSizes(
            len(split.query), len(split.retrieval), len(split.training) - validation, validation
        )
    query = min(sizes.query, max(1, items // 2))
    retrieval = min(sizes.retrieval, items - query)
    validation = min(sizes.validation, retrieval - 1)
    return SplitSizes(query, retrieval, min(sizes.training, retrieval - validation), validation)
