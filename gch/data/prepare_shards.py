"""Shards of a prepared data set: workers read and encode blocks of pictures, the calling thread writes them.

A shard is written beside its place and renamed, then a note of its records. Those that are as their notes say
are not written again.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import errno
import functools
import itertools
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from gch.data.layouts import INDEX_NAME
from gch.data.picture_files import PictureFiles
from gch.data.prepare_work import Work
from gch.data.prepared_index import read_object
from gch.errors import DataError
from gch.quiet import native_stderr_held
from gch.storage import atomic_path, digest, file_digest, write_json

_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND\xae\x42\x60\x82"}
_RECORD_HEADER, _RECORD_FRAME = 12, 16  # bytes that TFRecord writes before a record, and around it


@dataclasses.dataclass(frozen=True)
class _Block:
    """Encoded pictures: (row, bytes, CRC-32), and why others are left out."""

    rows: range
    records: list[tuple[int, bytes, int]]
    left_out: list[str]


def write_shards(work: Work, progress: Callable[[int, int], None]) -> list[dict]:
    """Writes the shards that are not there as their notes say.

    Args:
      work: what is prepared.
      progress: called with the number of pictures done and of all.

    Returns:
      The notes of all shards: `records` of (row, offset, bytes, CRC-32), `left_out`, `bytes` and `sha256`.

    Raises:
      DataError: the source is damaged, or a picture is broken under 'stop'.
      OSError: the folder cannot be written.
    """
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


def _encode(work: Work, rows: range) -> _Block:
    records, left_out = [], []
    for row, picture in _pictures(work, rows, left_out):
        data = picture.tobytes() if work.encoding == "raw" else _compressed(picture, work)
        records.append((row, data, zlib.crc32(data)))
    return _Block(rows, records, left_out)


def _pictures(work: Work, rows: range, left_out: list[str]) -> Iterator[tuple[int, np.ndarray]]:
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


def _compressed(picture: np.ndarray, work: Work) -> bytes:
    options = {"jpeg": {"quality": work.quality, "subsampling": 0}, "png": {"compress_level": 1}}
    # Into a true file Pillow encodes without Python's lock; into one in memory, threads wait for each other.
    with tempfile.TemporaryFile(buffering=0) as file:
        Image.fromarray(picture).save(file, work.encoding, **options[work.encoding])
        file.seek(0)
        data = file.read()
    if not data.endswith(_ENDS[work.encoding]):
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
    read = read_object(_note_path(shard))
    note = read.get("note")
    if note is None or read.get("digest") != _note_digest(note):
        return None
    whole = shard.is_file() and shard.stat().st_size == note["bytes"] and file_digest(shard) == note["sha256"]
    return note if whole else None


def _note_path(shard: Path) -> Path:
    return shard.with_suffix(".json")


def _note_digest(note: object) -> str:
    return digest(json.dumps(note, sort_keys=True))
