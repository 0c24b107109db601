"""Writing a prepared data set (`gch.data.prepared`): side by side, resumable, and never half.

Every shard is written beside its place and renamed, then a note of its records. A run that was stopped goes
on with the shards that have no note. The index comes last.
"""

import concurrent.futures
import contextlib
import errno
import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from gch.data.layouts import INDEX_NAME
from gch.data.pairs import OwnSplit, Pairs, SplitSizes
from gch.data.picture_files import PictureFiles
from gch.data.prepared import FORMAT, VERSION, read_index
from gch.errors import DataError
from gch.quiet import native_stderr_held
from gch.storage import atomic_path, digest, file_digest, write_json

BROKEN = ("skip", "stop")
_PLAN_NAME = "plan.json"
_RECORD_HEADER, _RECORD_FRAME = 12, 16  # bytes that TFRecord writes before a record, and around it
_TFRECORD_SUFFIX = ".tfrecord"


class _StoppedError(Exception):
    """Another shard failed, so this one is not finished."""


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

    Args:
      pairs: the data set, with pictures.
      folder: new, empty, or begun by the same call.
      encoding: 'jpeg', or 'raw' (no loss; three bytes a pixel).
      quality: of JPEG, 1 to 100.
      shard_items: pictures in a shard.
      jobs: shards written side by side.
      broken: pictures of a folder that cannot be decoded are left out ('skip') or end the run ('stop').
      progress: called with the number of pictures done and of all.

    Raises:
      DataError: the folder holds something else, a picture is broken under 'stop', all are, or the disk is
        full; what was written before stays, and the same call goes on.
    """
    if pairs.pictures is None:
        raise DataError(f"{pairs.name}: has features in place of pixels; expected pictures to prepare")
    total = len(pairs.labels)
    plan = digest(FORMAT, VERSION, pairs.digest, encoding, quality, shard_items, total)
    try:
        if not _finished(folder, plan):
            _start(folder, plan)
            _write_shards(pairs, folder, encoding, quality, shard_items, jobs, broken, progress)
            _finish(pairs, folder, plan, encoding, shard_items)
        report_broken(folder, broken)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "; make room, and the same command goes on" if full else ""
        raise DataError(f"{folder}: cannot be written, {error.strerror or error}{advice}") from error


def _start(folder: Path, plan: str) -> None:
    """Makes the folder, or checks that it is the one of the same plan."""
    begun = folder / _PLAN_NAME
    if begun.exists():
        try:
            noted = json.loads(begun.read_text(encoding="utf-8"))
        except ValueError:
            noted = None
        if noted != {"plan": plan}:
            raise DataError(f"{folder}: begun with other data or options; expected a new folder")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: not empty, expected a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(begun, {"plan": plan})


def _finished(folder: Path, plan: str) -> bool:
    """Whether everything is there and as it was written; takes away what is not."""
    if not (folder / INDEX_NAME).is_file():
        return False
    index = read_index(folder)
    if index["plan"] != plan:
        raise DataError(f"{folder}: prepared from other data or with other options; expected a new folder")
    damaged = [
        shard["file"]
        for shard in index["shards"]
        if not (folder / shard["file"]).is_file() or file_digest(folder / shard["file"]) != shard["sha256"]
    ]
    others = index["files"]
    if not damaged and all(
        (folder / name).is_file() and file_digest(folder / name) == known for name, known in others.items()
    ):
        return True
    for name in damaged:
        _note(folder / name).unlink(missing_ok=True)
    (folder / INDEX_NAME).unlink()
    return False


def _note(shard: Path) -> Path:
    return shard.with_suffix(".json")


def _shards(folder: Path, total: int, shard_items: int) -> list[tuple[Path, range]]:
    count = -(-total // shard_items)
    return [
        (
            folder / f"images-{number:05d}-of-{count:05d}{_TFRECORD_SUFFIX}",
            range(number * shard_items, min((number + 1) * shard_items, total)),
        )
        for number in range(count)
    ]


def _write_shards(
    pairs: Pairs,
    folder: Path,
    encoding: str,
    quality: int,
    shard_items: int,
    jobs: int,
    broken: str,
    progress: Callable[[int, int], None],
) -> None:
    with native_stderr_held():
        import tensorflow  # noqa: F401 once, before threads need it
    total, done, counting, stop = len(pairs.labels), 0, threading.Lock(), threading.Event()

    def advance(count: int) -> None:
        nonlocal done
        with counting:
            done += count
            progress(done, total)

    def write(shard: Path, rows: range) -> None:
        if _note(shard).exists() and shard.exists():
            advance(len(rows))
        elif not stop.is_set():
            with contextlib.suppress(_StoppedError):
                _write_shard(pairs, shard, rows, encoding, quality, broken, stop, advance)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        written = [pool.submit(write, *shard) for shard in _shards(folder, total, shard_items)]
        try:
            for shard in concurrent.futures.as_completed(written):
                shard.result()
        except BaseException:
            stop.set()
            for shard in written:
                shard.cancel()
            raise


def _write_shard(
    pairs: Pairs,
    shard: Path,
    rows: range,
    encoding: str,
    quality: int,
    broken: str,
    stop: threading.Event,
    advance: Callable[[int], None],
) -> None:
    import tensorflow as tf

    records, position, left_out = [], 0, []
    try:
        with atomic_path(shard) as temporary:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for row, picture in _pictures(pairs, rows, left_out, broken, advance):
                    if stop.is_set():
                        raise _StoppedError
                    data = picture.tobytes() if encoding == "raw" else _jpeg(picture, quality)
                    writer.write(data)
                    records.append((row, position + _RECORD_HEADER, len(data), zlib.crc32(data)))
                    position += _RECORD_FRAME + len(data)
            if temporary.stat().st_size != position:
                raise OSError(errno.EIO, f"{shard.name} has another size than was written")
            known = file_digest(temporary)
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, "No space left on device") from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message) from error
    note = {"records": records, "left_out": left_out, "bytes": position, "sha256": known}
    write_json(_note(shard), note)


def _pictures(pairs: Pairs, rows: range, left_out: list, broken: str, advance: Callable[[int], None]):
    """The pictures of `rows` that can be read: (row, uint8 (H, W, 3)); notes the others."""
    files = isinstance(pairs.pictures, PictureFiles)
    step = 1 if files else max(pairs.pictures.block, 16)
    for start in range(rows.start, rows.stop, step):
        block = np.arange(start, min(start + step, rows.stop))
        try:
            pictures = pairs.pictures.read(block) if not files else pairs.pictures.decode(start)[None]
        except DataError as error:
            if not files or broken == "stop":
                raise
            left_out.append([start, str(error)])
            pictures = ()
        for row, picture in zip(block, pictures, strict=False):
            yield int(row), picture
        advance(len(block))


def _jpeg(picture: np.ndarray, quality: int) -> bytes:
    import io

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def _finish(pairs: Pairs, folder: Path, plan: str, encoding: str, shard_items: int) -> None:
    """Writes everything but the shards."""
    shards, records, left_out, kept = [], [], [], []
    for path, _ in _shards(folder, len(pairs.labels), shard_items):
        note = json.loads(_note(path).read_text(encoding="utf-8"))
        shards.append(
            {"file": path.name, "records": len(note["records"])}
            | {field: note[field] for field in ("bytes", "sha256")}
        )
        kept += [record[0] for record in note["records"]]
        records += [record[1:] for record in note["records"]]
        left_out += [message for _, message in note["left_out"]]
    if not kept:
        raise DataError(f"{folder}: no picture can be read; the first: {left_out[0]}")
    rows = np.array(kept)
    arrays = {"records.npy": np.array(records, np.int64)}
    arrays |= {"texts.npy": pairs.texts[rows], "labels.npy": pairs.labels[rows]}
    for name, array in arrays.items():
        with atomic_path(folder / name) as temporary:
            np.save(temporary, array)
    described = pairs.ids is not None or pairs.captions is not None
    if described:
        _describe(folder / "items.jsonl", pairs, kept)
    if pairs.own_split is not None:
        with atomic_path(folder / "split.npz") as temporary:
            np.savez(temporary, **_without(pairs.own_split, rows)._asdict())
    files = [*arrays, *(["items.jsonl"] if described else []), *(["split.npz"] if pairs.own_split else [])]
    index = {
        "format": FORMAT,
        "version": VERSION,
        "name": pairs.name,
        "items": len(kept),
        "size": list(pairs.pictures.size),
        "encoding": encoding,
        "default_sizes": list(_sizes(pairs, len(kept))),
        "tag_names": list(pairs.tag_names),
        "label_names": list(pairs.label_names),
        "described": described,
        "split": pairs.own_split is not None,
        "plan": plan,
        "shards": shards,
        "files": {name: file_digest(folder / name) for name in files},
        "left_out": left_out,
    }
    write_json(folder / INDEX_NAME, index)


def _describe(path: Path, pairs: Pairs, kept: list[int]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for row in kept:
            item = {"id": str(row) if pairs.ids is None else pairs.ids[row]}
            if pairs.captions is not None:
                caption = pairs.captions[row]
                item["text" if isinstance(caption, str) else "tags"] = caption
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


def _without(split: OwnSplit, kept: np.ndarray) -> OwnSplit:
    """The split in the numbers of the rows that were kept."""
    return OwnSplit(*(np.flatnonzero(np.isin(kept, rows)) for rows in split))


def _sizes(pairs: Pairs, items: int) -> SplitSizes:
    """The default split, less the items that were left out: as many as must come off the retrieval set."""
    sizes, missing = pairs.default_sizes, len(pairs.labels) - items
    if not missing:
        return sizes
    if pairs.own_split is None:
        retrieval = sizes.retrieval - missing
        training = min(sizes.training, max(1, retrieval - sizes.validation))
        return SplitSizes(sizes.query, retrieval, training, sizes.validation)
    return sizes


def report_broken(folder: Path, broken: str) -> None:
    """Tells which pictures a prepared data set left out; raises DataError where `broken` is 'stop'."""
    left_out = read_index(folder)["left_out"]
    if left_out and broken == "stop":
        raise DataError(f"{left_out[0]}; broken is 'stop' (all {len(left_out)} in {folder / INDEX_NAME})")
    if left_out:
        print(f"Left out, as they cannot be read: {len(left_out)} pictures (all in {folder / INDEX_NAME})")
        for message in left_out[:5]:
            print(f"  {' '.join(message.split())}")
